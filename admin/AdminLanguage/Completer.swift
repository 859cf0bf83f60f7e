/// What the last word of a line may become.
public struct Completer: Equatable, Sendable {
    /// What stands before each candidate in the same word: `--node=`, or the words of a list before the last.
    public var lead = ""
    /// What there is of the word behind the lead.
    public var prefix = ""
    /// The words that the table knows to go on so.
    public var fixed: [String] = []
    /// Who knows others.
    public var source: CompletionSource?
    /// Whether more of the same word may follow: no space behind it.
    public var isOpen = false

    /// - Parameters:
    ///   - words: the words before, without quotes.
    ///   - word: what there is of the word.
    ///   - commands: those there are.
    public init(after words: [String], word: String, in commands: [AdminCommand]) {
        prefix = word
        let next = commands.filter { $0.path.count > words.count && $0.path.starts(with: words) }.map { $0.path[words.count] }
        fixed = Completer.matching(next, word)
        let command = commands.filter { words.starts(with: $0.path) }.max { $0.path.count < $1.path.count }
        guard let command else { return }
        behind(command, words.dropFirst(command.path.count), word, commands)
    }

    private static func matching(_ words: [String], _ prefix: String) -> [String] {
        var seen = Set<String>()
        return words.filter { $0.utf8.starts(with: prefix.utf8) && seen.insert($0).inserted }
    }

    /// Behind the path: arguments by their places, options anywhere.
    private mutating func behind(_ command: AdminCommand, _ words: ArraySlice<String>, _ word: String, _ commands: [AdminCommand]) {
        var place: [String] = []
        var used = Set<String>()
        var open: AdminCommand.Option?
        var isPlain = false
        for word in words {
            if open != nil {
                open = nil
            } else if !isPlain, word == "--" {
                isPlain = true
            } else if !isPlain, word.utf8.starts(with: "--".utf8) {
                let name = String(word.dropFirst(2).prefix { $0 != "=" })
                used.insert(name)
                if !word.contains("=") { open = command.options.first { $0.name == name && $0.placeholder != nil } }
            } else {
                place.append(word)
            }
        }
        if let open { return take(open.kind, word, place, commands) }
        if !isPlain, word.utf8.starts(with: "-".utf8) {
            guard let equals = word.firstIndex(of: "=") else {
                fixed += Completer.matching(command.options.filter { !used.contains($0.name) }.map { "--" + $0.name }, word)
                return
            }
            let name = word[..<equals].dropFirst(2)
            guard let option = command.options.first(where: { $0.name == name && $0.placeholder != nil }) else { return }
            take(option.kind, String(word[word.index(after: equals)...]), place, commands)
            lead = String(word[...equals]) + lead
            return
        }
        let last = command.arguments.last
        let argument = place.count < command.arguments.count ? command.arguments[place.count] : last?.repeats == true ? last : nil
        if let argument {
            take(argument.kind, word, place, commands)
        } else if word.isEmpty {
            fixed += command.options.filter { !used.contains($0.name) }.map { "--" + $0.name }
        }
    }

    private mutating func take(_ kind: AdminCommand.Kind, _ word: String, _ place: [String], _ commands: [AdminCommand]) {
        prefix = word
        source = CompletionSource(kind)
        switch kind {
        case .choice(let words): fixed = Completer.matching(words, word)
        case .choices(let words):
            let before = word.lastIndex(of: ",").map { String(word[...$0]) } ?? ""
            let taken = Set(before.split(separator: ",").map(String.init))
            lead = before
            prefix = String(word.dropFirst(before.count))
            fixed = Completer.matching(words.filter { !taken.contains($0) }, prefix)
            isOpen = true
        case .commandWord:
            // The words of a command are completed as a line of their own is.
            self = Completer(after: place, word: word, in: commands)
        default: break
        }
    }

    /// The request that asks the server for the others; nil where it knows none.
    ///
    /// - Parameter limit: how many words are wanted at most.
    public func request(limit: Int = CommandTable.defaultCompletions) -> String? {
        guard let source, source != .file else { return nil }
        return Words.line(["complete", source.rawValue, "--limit", "\(limit)"] + (prefix.isEmpty ? [] : ["--", prefix]))
    }

    /// The longest text that all words begin with, by characters.
    public static func common(_ words: [String]) -> String {
        guard var common = words.first else { return "" }
        for word in words.dropFirst() {
            common = String(zip(common, word).prefix { $0 == $1 }.map(\.0))
        }
        return common
    }
}

/// A line on the way to being one: its whole words, and the beginning of the last.
public struct PartialLine: Equatable, Sendable {
    /// The whole words, without quotes.
    public var words: [String] = []
    /// What there is of the last word, without quotes.
    public var word = ""
    /// Where that word begins, quote included, in characters from 0.
    public var start = 0

    /// Reads what stands before the cursor; quotes need not be closed, and nothing is refused.
    public init(_ line: [Character]) {
        var text: String?
        var isQuoted = false
        var index = 0
        while index < line.count {
            let character = line[index]
            if isQuoted {
                if character == "\\", index + 1 < line.count {
                    index += 1
                    text?.append(line[index])
                } else if character == "\"" {
                    isQuoted = false
                } else {
                    text?.append(character)
                }
            } else if character == " " || character == "\t" {
                if let text { words.append(text) }
                text = nil
            } else {
                if text == nil { start = index }
                if character == "\"", text == nil {
                    isQuoted = true
                    text = ""
                } else {
                    text = (text ?? "") + String(character)
                }
            }
            index += 1
        }
        word = text ?? ""
        if text == nil { start = line.count }
    }
}
