/// A line that is not well formed, as one sentence for the person who wrote it.
public struct LineError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The word the error is about, counted from 1; `nil` when it is about the whole line.
    public let word: Int?
    /// Where that word, or the bad character, begins: in Unicode scalars from 1.
    public let column: Int?
    /// What is wrong and what to write instead, with the position in it.
    public let sentence: String

    init(_ sentence: String, word: Int? = nil, column: Int? = nil) {
        self.sentence = sentence
        self.word = word
        self.column = column
    }

    /// The sentence.
    public var description: String { sentence }
}

/// One word of a line.
public struct Word: Equatable, Sendable {
    /// What it says, without quotes and escapes.
    public var text: String
    /// Where it begins, in Unicode scalars from 1.
    public var column: Int
    /// Whether it stood in quotes: then it is text, whatever it looks like.
    public var isQuoted: Bool
}

/// The words of requests and replies. A word is bare, or stands in double quotes.
///
///     line   = [word *(1*ws word)]           ws = space or tab
///     word   = bare / quote *(char / escape) quote
///     bare   = 1*(any scalar but white space, quote and control characters)
///     escape = \\ / \" / \n / \r / \t / \u{1*6HEXDIG}
///
/// A backslash in a bare word is a plain character (XEP-0106 JIDs are full of them). Control characters never stand in a
/// line, in quotes or not: they are escaped. So a line is always printable, and a line feed always ends it.
public enum Words {
    /// The longest request line, in bytes without its line feed. Two of the longest full JIDs fit.
    public static let longestRequest = 8192
    /// The longest reply line, in bytes without its line feed.
    public static let longestReply = 65_536
    /// The most words of a request.
    public static let mostInRequest = 64
    /// The most words of a reply line.
    public static let mostInReply = 256

    /// Takes a line apart.
    /// - Throws: `LineError` when the line is longer than `longest` bytes, has more than `most` words, holds a control
    ///   character, or its quotes or escapes are wrong.
    public static func split(_ line: String, longest: Int = longestRequest, most: Int = mostInRequest) throws(LineError) -> [Word] {
        guard line.utf8.count <= longest else { throw LineError("the line is longer than \(longest) bytes: shorten it") }
        var cursor = Cursor(line.unicodeScalars)
        var words: [Word] = []
        while true {
            while let scalar = cursor.peek, scalar == " " || scalar == "\t" { cursor.advance() }
            guard let first = cursor.peek else { return words }
            guard words.count < most else {
                throw LineError("the line has more than \(most) words: shorten it", word: words.count + 1, column: cursor.column)
            }
            let column = cursor.column
            let number = words.count + 1
            let text = first == "\"" ? try quoted(&cursor, number) : try bare(&cursor, number)
            words.append(Word(text: text, column: column, isQuoted: first == "\""))
        }
    }

    private static func bare(_ cursor: inout Cursor, _ number: Int) throws(LineError) -> String {
        var text = String.UnicodeScalarView()
        while let scalar = cursor.peek, scalar != " ", scalar != "\t" {
            guard scalar != "\"" else {
                throw LineError(
                    "word \(number) has a quote inside it at column \(cursor.column): put the whole word in quotes and write the quote as \\\"",
                    word: number, column: cursor.column)
            }
            guard !isHidden(scalar) else { throw hidden(scalar, cursor.column, number) }
            text.append(scalar)
            cursor.advance()
        }
        return String(text)
    }

    private static func quoted(_ cursor: inout Cursor, _ number: Int) throws(LineError) -> String {
        let start = cursor.column
        var text = String.UnicodeScalarView()
        cursor.advance()
        while let scalar = cursor.peek {
            if scalar == "\"" {
                cursor.advance()
                guard cursor.peek == nil || cursor.peek == " " || cursor.peek == "\t" else {
                    throw LineError(
                        "a space is missing after the closing quote at column \(cursor.column - 1)", word: number, column: cursor.column)
                }
                return String(text)
            }
            guard !isHidden(scalar) else { throw hidden(scalar, cursor.column, number) }
            if scalar == "\\" {
                text.append(try escaped(&cursor, number))
            } else {
                text.append(scalar)
                cursor.advance()
            }
        }
        throw LineError("the quote opened at column \(start) is never closed: add \" at its end", word: number, column: start)
    }

    private static func escaped(_ cursor: inout Cursor, _ number: Int) throws(LineError) -> Unicode.Scalar {
        let column = cursor.column
        guard let scalar = escape(&cursor) else {
            throw LineError(
                "the escape at column \(column) is not known: write \\\\, \\\", \\n, \\r, \\t or \\u{hex}", word: number, column: column)
        }
        return scalar
    }

    /// One escape, the cursor on its backslash; `nil` when it is none.
    private static func escape(_ cursor: inout Cursor) -> Unicode.Scalar? {
        cursor.advance()
        guard let kind = cursor.peek else { return nil }
        cursor.advance()
        switch kind {
        case "\\", "\"": return kind
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "u":
            guard cursor.peek == "{" else { return nil }
            cursor.advance()
            var value: UInt32 = 0
            var digits = 0
            while let scalar = cursor.peek, scalar != "}" {
                guard digits < 6, let digit = hexDigit(scalar) else { return nil }
                value = value << 4 | digit
                digits += 1
                cursor.advance()
            }
            guard digits > 0, cursor.peek == "}" else { return nil }
            cursor.advance()
            return Unicode.Scalar(value)
        default: return nil
        }
    }

    private static func hexDigit(_ scalar: Unicode.Scalar) -> UInt32? {
        switch scalar {
        case "0"..."9": scalar.value - 0x30
        case "a"..."f": scalar.value - 0x57
        case "A"..."F": scalar.value - 0x37
        default: nil
        }
    }

    private static func hidden(_ scalar: Unicode.Scalar, _ column: Int, _ number: Int) -> LineError {
        let hex = String(scalar.value, radix: 16)
        return LineError(
            "the character U+\(String(repeating: "0", count: max(0, 4 - hex.count)))\(hex.uppercased()) at column \(column) may not stand in a line: write it as \\u{\(hex)} in quotes",
            word: number, column: column)
    }

    /// Whether a scalar may not stand in a line as itself: controls, line and paragraph separators, and the marks that turn
    /// the direction of text round, with which a line could be shown as something it is not.
    public static func isHidden(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x00...0x1F, 0x7F...0x9F, 0x2028, 0x2029, 0x061C, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069, 0xFEFF: true
        default: false
        }
    }

    /// Whether a text may stand as a bare word.
    static func isBare(_ text: String) -> Bool {
        !text.isEmpty && text.unicodeScalars.allSatisfy { $0 != " " && $0 != "\"" && !isHidden($0) }
    }

    /// The word that says `text`: bare where it can be, else in quotes.
    public static func quote(_ text: String) -> String {
        isBare(text) ? text : inQuotes(text)
    }

    /// The line that says `words`; `split` gives them back.
    public static func line(_ words: [String]) -> String {
        words.map(quote).joined(separator: " ")
    }

    static func inQuotes(_ text: String) -> String {
        "\"\(escape(text, quotes: true))\""
    }

    /// Escapes backslash, hidden characters and, where asked, quotes. Used for the free text at the end of a reply line and
    /// inside quotes.
    static func escape(_ text: String, quotes: Bool) -> String {
        var escaped = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped.append(contentsOf: "\\\\".unicodeScalars)
            case "\"" where quotes: escaped.append(contentsOf: "\\\"".unicodeScalars)
            case "\n": escaped.append(contentsOf: "\\n".unicodeScalars)
            case "\r": escaped.append(contentsOf: "\\r".unicodeScalars)
            case "\t": escaped.append(contentsOf: "\\t".unicodeScalars)
            case _ where isHidden(scalar): escaped.append(contentsOf: "\\u{\(String(scalar.value, radix: 16))}".unicodeScalars)
            default: escaped.append(scalar)
            }
        }
        return String(escaped)
    }

    /// Takes `escape` back; `nil` when an escape is not known or a hidden character stands in the text.
    static func unescape(_ text: Substring) -> String? {
        var cursor = Cursor(String(text).unicodeScalars)
        var plain = String.UnicodeScalarView()
        while let scalar = cursor.peek {
            if scalar == "\\" {
                guard let escaped = escape(&cursor) else { return nil }
                plain.append(escaped)
            } else {
                guard !isHidden(scalar) else { return nil }
                plain.append(scalar)
                cursor.advance()
            }
        }
        return String(plain)
    }

    /// A text as it may be shown on a terminal: hidden characters as `\u{…}`, everything else as it is.
    public static func visible(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isHidden) else { return text }
        var shown = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if isHidden(scalar) {
                shown.append(contentsOf: "\\u{\(String(scalar.value, radix: 16))}".unicodeScalars)
            } else {
                shown.append(scalar)
            }
        }
        return String(shown)
    }
}

/// A place in a line, counting scalars.
private struct Cursor {
    private let scalars: String.UnicodeScalarView
    private var index: String.UnicodeScalarView.Index
    private(set) var column = 1

    init(_ scalars: String.UnicodeScalarView) {
        self.scalars = scalars
        index = scalars.startIndex
    }

    var peek: Unicode.Scalar? { index < scalars.endIndex ? scalars[index] : nil }

    mutating func advance() {
        guard index < scalars.endIndex else { return }
        index = scalars.index(after: index)
        column += 1
    }
}
