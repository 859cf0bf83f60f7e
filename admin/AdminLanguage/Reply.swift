// The language of the admin socket, on one page.
//
// Both ways everything is lines of UTF-8, ended by one line feed. The server speaks first:
//
//     martlet 1 NODE                 the version of this language, and the node that answers
//
// A client then sends one request a line (`Words`, `CommandTable`) and reads the reply, which ends with `ok` or `error`;
// then it may send the next. The first character of a reply line says what it is:
//
//     = key value                    a fact; a key that comes again makes a list
//     # name column column …         a table begins
//     | value value …                a row of that table: as many values as it has columns
//     % done total                   progress; `total` is `-` while it is not known
//     ! sentence                     a warning; the request goes on
//     : text                         prose, for people: the pages of `help`
//     ? password                     the server wants a secret: the next line the client sends is it, taken as it stands
//     ? consent                      the server wants to be told to go on: the next line is "yes" or "no"
//     ? lines                        the server wants lines, ended by `.` alone; a line that begins with `.` gets one more
//     ok [sentence]                  the end: everything asked for was done
//     error code sentence            the end: it was not, or not all; the codes are `ReplyCode`
//
// A sentence or a text runs to the end of its line; in it a backslash and every control character is escaped as in `Words`.
// A value is a word:
//
//     -                              nothing
//     true  false                    a flag
//     17  -4                         an integer of 64 bits
//     0.25  1e+30                    a number
//     anything else, or in quotes    a text; one that would look like the others is put in quotes
//
// Progress, warnings and `? lines` may come while the client is still sending lines: it reads while it writes.

/// Why a reply is an error.
public enum ReplyCode: String, Sendable, CaseIterable {
    /// The request is not well formed, or no such command.
    case usage
    /// What the request names is not there.
    case notFound = "not-found"
    /// What the request would make is there already.
    case exists
    /// A value is well formed but may not be used: a JID that RFC 7622 refuses, a host that is not served, an empty password.
    case invalid
    /// The server may not do this now or here: a setting forbids it.
    case refused
    /// A part of the server is not able to serve: no keeper, store read-only.
    case unavailable
    /// The work was begun and could not be finished.
    case failed
    /// The answer is true but not whole: some node did not answer, or some lines were not accepted.
    case partial
}

/// How `martletctl` ends.
public enum ExitStatus: Int32, Sendable {
    case success = 0
    /// The server answered with an error.
    case failure = 1
    /// The request was not understood.
    case usage = 2
    /// Done in part: some node did not answer, or some lines were refused.
    case partial = 3
    /// No node could be reached, or it fell silent.
    case noConnection = 4

    /// The status for an error of the server.
    public init(_ code: ReplyCode) {
        switch code {
        case .usage: self = .usage
        case .partial: self = .partial
        case .notFound, .exists, .invalid, .refused, .unavailable, .failed: self = .failure
        }
    }
}

/// One value in a reply.
public enum ReplyValue: Equatable, Sendable {
    case none
    case flag(Bool)
    case integer(Int64)
    /// A finite number; anything else is sent as `none`.
    case number(Double)
    case text(String)

    /// A text, or nothing.
    public init(_ text: String?) { self = text.map(ReplyValue.text) ?? .none }
    /// An integer, held at the ends of `Int64` when it does not fit.
    public init(_ integer: some BinaryInteger) { self = .integer(Int64(clamping: integer)) }
    /// A flag.
    public init(_ flag: Bool) { self = .flag(flag) }
}

extension ReplyValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral, ExpressibleByNilLiteral {
    /// A text.
    public init(stringLiteral value: String) { self = .text(value) }
    /// An integer.
    public init(integerLiteral value: Int64) { self = .integer(value) }
    /// A flag.
    public init(booleanLiteral value: Bool) { self = .flag(value) }
    /// Nothing.
    public init(nilLiteral: ()) { self = .none }
}

extension ReplyValue {
    /// The word that says this value.
    var word: String {
        switch self {
        case .none: "-"
        case .flag(let flag): flag ? "true" : "false"
        case .integer(let integer): "\(integer)"
        case .number(let number): number.isFinite ? "\(number)" : "-"
        case .text(let text): Words.isBare(text) && !ReplyValue.looksTyped(text) ? text : Words.inQuotes(text)
        }
    }

    init(_ word: Word) {
        guard !word.isQuoted else {
            self = .text(word.text)
            return
        }
        switch word.text {
        case "-": self = .none
        case "true": self = .flag(true)
        case "false": self = .flag(false)
        case let text:
            switch NumberShape(text) {
            case .integer: self = Int64(text).map(ReplyValue.integer) ?? .text(text)
            case .number:
                let number = Double(text)
                self = number.flatMap { $0.isFinite ? ReplyValue.number($0) : nil } ?? .text(text)
            case .none: self = .text(text)
            }
        }
    }

    private static func looksTyped(_ text: String) -> Bool {
        text == "-" || text == "true" || text == "false" || NumberShape(text) != .none
    }
}

/// Whether a text is written like an integer or a number of JSON.
enum NumberShape {
    case none, integer, number

    init(_ text: String) {
        var rest = text.utf8[...]
        func digits() -> Int {
            let run = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }.count
            rest = rest.dropFirst(run)
            return run
        }
        self = .none
        if rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
        let startsWithZero = rest.first == UInt8(ascii: "0")
        let whole = digits()
        guard whole > 0, !(startsWithZero && whole > 1) else { return }
        var shape = NumberShape.integer
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            guard digits() > 0 else { return }
            shape = .number
        }
        if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
            rest = rest.dropFirst()
            if rest.first == UInt8(ascii: "-") || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
            guard digits() > 0 else { return }
            shape = .number
        }
        if rest.isEmpty { self = shape }
    }
}

/// What the server wants from the client.
public enum Prompt: String, Sendable, CaseIterable {
    /// One line, taken as it stands, never shown.
    case password
    /// Lines up to a lone `.`.
    case lines
    /// `yes` or `no`, by the person who asked, after what was said so far.
    case consent
}

/// One line of a reply.
public enum ReplyLine: Equatable, Sendable {
    case fact(key: String, value: ReplyValue)
    case table(name: String, columns: [String])
    case row([ReplyValue])
    case progress(done: Int64, total: Int64?)
    case warning(String)
    case prose(String)
    case prompt(Prompt)
    case ok(String)
    case error(ReplyCode, String)

    /// The line, without its line feed.
    public var text: String {
        switch self {
        case .fact(let key, let value): "= \(Words.quote(key)) \(value.word)"
        case .table(let name, let columns): "# \(Words.line([name] + columns))"
        case .row(let values): "| " + values.map(\.word).joined(separator: " ")
        case .progress(let done, let total): "% \(done) \(total.map { "\($0)" } ?? "-")"
        case .warning(let sentence): ReplyLine.join("!", sentence)
        case .prose(let text): ReplyLine.join(":", text)
        case .prompt(let prompt): "? \(prompt.rawValue)"
        case .ok(let sentence): ReplyLine.join("ok", sentence)
        case .error(let code, let sentence): ReplyLine.join("error \(code.rawValue)", sentence)
        }
    }

    private static func join(_ mark: String, _ sentence: String) -> String {
        sentence.isEmpty ? mark : "\(mark) \(Words.escape(sentence, quotes: false))"
    }

    /// Whether the reply ends with this line.
    public var isEnd: Bool {
        switch self {
        case .ok, .error: true
        case .fact, .table, .row, .progress, .warning, .prose, .prompt: false
        }
    }
}

/// The first line a server sends.
public struct Greeting: Equatable, Sendable {
    /// The version of the language that is described at the head of this file.
    public static let currentVersion = 1
    /// The version of the language the server speaks.
    public var version: Int
    /// The name of the node that answers.
    public var node: String

    /// The greeting of a node, in this version unless another is given.
    public init(node: String, version: Int = currentVersion) {
        self.node = node
        self.version = version
    }

    /// The line, without its line feed.
    public var text: String { "martlet \(version) \(Words.quote(node))" }

    /// Reads the line; `nil` when it is none: something else listens there.
    public init?(_ line: String) {
        guard let words = try? Words.split(line), words.count == 3, words[0].text == "martlet", let version = Int(words[1].text),
            version > 0
        else { return nil }
        self.init(node: words[2].text, version: version)
    }
}

/// The server's pen: appends reply lines to bytes that the socket takes away with `take`.
public struct Reply: Sendable {
    private var bytes: [UInt8] = []

    /// Nothing written yet.
    public init() {}

    /// Appends any line.
    public mutating func append(_ line: ReplyLine) {
        bytes.append(contentsOf: line.text.utf8)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// Appends the greeting.
    public mutating func greet(_ greeting: Greeting) {
        bytes.append(contentsOf: greeting.text.utf8)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// Appends a fact.
    public mutating func fact(_ key: String, _ value: ReplyValue) { append(.fact(key: key, value: value)) }
    /// Begins a table with at least one column.
    public mutating func table(_ name: String, _ columns: [String]) { append(.table(name: name, columns: columns)) }
    /// Appends a row of the table begun last, with a value for each of its columns.
    public mutating func row(_ values: [ReplyValue]) { append(.row(values)) }
    /// Appends a row of the table begun last, with a value for each of its columns.
    public mutating func row(_ values: ReplyValue...) { append(.row(values)) }
    /// Appends progress; both counts are not negative, `total` is `nil` while it is not known.
    public mutating func progress(_ done: some BinaryInteger, of total: (some BinaryInteger)?) {
        append(.progress(done: Int64(clamping: done), total: total.map { Int64(clamping: $0) }))
    }
    /// Appends a warning.
    public mutating func warning(_ sentence: String) { append(.warning(sentence)) }
    /// Appends one line of prose.
    public mutating func prose(_ text: String) { append(.prose(text)) }
    /// Asks the client for something; what it sends next is that.
    public mutating func prompt(_ prompt: Prompt) { append(.prompt(prompt)) }
    /// Ends the reply: everything was done.
    public mutating func ok(_ sentence: String = "") { append(.ok(sentence)) }
    /// Ends the reply: it was not done, or not all.
    public mutating func error(_ code: ReplyCode, _ sentence: String) { append(.error(code, sentence)) }

    /// The bytes written since the last call.
    public mutating func take() -> [UInt8] {
        defer { bytes.removeAll() }
        return bytes
    }

    /// The bytes waiting to be taken: a long reply is flushed when this is large.
    public var count: Int { bytes.count }
}
