extension CommandTable {
    /// Reads one request line.
    /// - Parameters:
    ///   - line: the line without its line feed.
    ///   - debug: whether the commands under `[debug]` exist.
    /// - Throws: `LineError`, whose sentence names the word, its column, and what to write instead.
    public static func parse(_ line: String, debug: Bool = false) throws(LineError) -> Invocation {
        let words = try Words.split(line)
        guard !words.isEmpty else { throw LineError("the line is empty: write a command, or help") }
        let command = try command(of: words, debug: debug)
        var reader = RequestReader(command: command)
        for (index, word) in words.enumerated().dropFirst(command.path.count) {
            try reader.take(word, number: index + 1)
        }
        return try reader.finish()
    }

    /// The words of a request with every path made absolute. A line that is not well formed is left as it is: its reader refuses it.
    ///
    /// - Parameter directory: where relative paths begin, absolute.
    public static func resolvingPaths(_ words: [String], in directory: String) -> [String] {
        guard let parsed = try? command(of: words.map { Word(text: $0, column: 1, isQuoted: true) }, debug: true) else { return words }
        var resolved = Array(words.prefix(parsed.path.count))
        var place = 0
        var isValue: AdminCommand.Option?
        func path(_ text: String) -> String {
            guard !text.isEmpty, text != "-", !text.hasPrefix("/") else { return text }
            // As it will be named in answers: without the "./" of shells.
            return text.hasPrefix("./") && text.utf8.count > 2 ? directory + text.dropFirst() : directory + "/" + text
        }
        for word in words.dropFirst(parsed.path.count) {
            if let option = isValue {
                resolved.append(option.kind.isPath ? path(word) : word)
                isValue = nil
            } else if word.utf8.starts(with: "--".utf8) {
                let name = word.dropFirst(2).prefix { $0 != "=" }
                let option = parsed.options.first { $0.name == name && $0.placeholder != nil }
                if let option, let equals = word.firstIndex(of: "=") {
                    let value = String(word[word.index(after: equals)...])
                    resolved.append(option.kind.isPath ? "--\(name)=\(path(value))" : word)
                } else {
                    isValue = option
                    resolved.append(word)
                }
            } else {
                let argument = place < parsed.arguments.count ? parsed.arguments[place] : nil
                resolved.append(argument?.kind.isPath == true ? path(word) : word)
                if argument?.repeats == false { place += 1 }
            }
        }
        return resolved
    }

    /// The command a line begins with: the longest path that its first words spell.
    private static func command(of words: [Word], debug: Bool) throws(LineError) -> AdminCommand {
        let known = all.filter { debug || !$0.isDebug }
        let texts = words.map(\.text)
        if let found = known.filter({ texts.starts(with: $0.path) }).max(by: { $0.path.count < $1.path.count }) { return found }
        // How many words still lead somewhere; the next one is the one that is wrong.
        let depth = known.map { command in zip(command.path, texts).prefix { $0 == $1 }.count }.max() ?? 0
        let inside = known.filter { $0.path.starts(with: texts.prefix(depth)) }
        guard depth < words.count else {
            let choices = unique(inside.map { $0.path[depth] }).joined(separator: ", ")
            throw LineError(
                "\"\(texts.joined(separator: " "))\" needs one more word: \(choices)", word: depth, column: words[depth - 1].column)
        }
        let wrong = words[depth]
        let choices = unique(inside.map { $0.path[depth] })
        let said = texts.prefix(depth + 1).joined(separator: " ")
        let mend =
            if let near = nearest(wrong.text, among: choices) {
                "did you mean \"\((texts.prefix(depth) + [near]).joined(separator: " "))\"?"
            } else if depth > 0 {
                "after \"\(texts.prefix(depth).joined(separator: " "))\" comes one of \(choices.joined(separator: ", "))"
            } else {
                "\"help\" shows all commands"
            }
        throw LineError(
            "\"\(Words.visible(said))\" is not a command (word \(depth + 1), column \(wrong.column)): \(mend)", word: depth + 1,
            column: wrong.column)
    }

    private static func unique(_ texts: [String]) -> [String] {
        var seen = Set<String>()
        return texts.filter { seen.insert($0).inserted }
    }

    /// The candidate that differs from `text` in at most two letters, and in less than half of them.
    static func nearest(_ text: String, among candidates: [String]) -> String? {
        guard text.count <= 64 else { return nil }
        let scored = candidates.map { (candidate: $0, distance: distance(Array(text), Array($0))) }
        guard let best = scored.min(by: { $0.distance < $1.distance }) else { return nil }
        let isPrefix = text.count >= 2 && best.candidate.hasPrefix(text)
        return isPrefix || (best.distance <= 2 && best.distance * 2 <= best.candidate.count) ? best.candidate : nil
    }

    /// Letters to insert, delete, replace or swap with their neighbour (optimal string alignment).
    private static func distance(_ a: [Character], _ b: [Character]) -> Int {
        var before: [Int] = []
        var last = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var best = min(row[j] + 1, last[j + 1] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, before[j - 1] + 1) }
                row.append(best)
            }
            before = last
            last = row
        }
        return last[b.count]
    }
}

/// Sorts the words behind the path into arguments and options.
private struct RequestReader {
    let command: AdminCommand
    private var arguments: [String: [Invocation.Value]] = [:]
    private var options: [String: Invocation.Value] = [:]
    private var place = 0
    /// The option whose value is the next word.
    private var open: (option: AdminCommand.Option, number: Int, column: Int)?
    private var isPlain = false

    init(command: AdminCommand) { self.command = command }

    mutating func take(_ word: Word, number: Int) throws(LineError) {
        if let open {
            options[open.option.name] = try value(word.text, open.option.kind, "--\(open.option.name)", number, word.column)
            self.open = nil
        } else if !isPlain, word.text == "--" {
            isPlain = true
        } else if !isPlain, word.text.utf8.starts(with: "--".utf8) {
            try takeOption(word, number: number)
        } else {
            try takeArgument(word, number: number)
        }
    }

    private mutating func takeOption(_ word: Word, number: Int) throws(LineError) {
        let body = word.text.unicodeScalars.dropFirst(2)
        let name = String(body.prefix { $0 != "=" })
        guard let option = command.options.first(where: { $0.name == name }) else {
            let names = command.options.map { "--" + $0.name }
            let mend =
                if names.isEmpty {
                    "it takes no options"
                } else if let near = CommandTable.nearest("--" + name, among: names) {
                    "did you mean \(near)?"
                } else {
                    "it has \(names.joined(separator: ", "))"
                }
            throw LineError(
                "\"\(command.name)\" has no option --\(Words.visible(name)) (word \(number), column \(word.column)): \(mend)", word: number,
                column: word.column)
        }
        guard options[name] == nil else {
            throw LineError("--\(name) stands twice (word \(number), column \(word.column)): keep one", word: number, column: word.column)
        }
        let rest = body.firstIndex(of: "=").map { String(body[body.index(after: $0)...]) }
        guard option.placeholder != nil else {
            guard rest == nil else {
                throw LineError(
                    "--\(name) takes no value (word \(number), column \(word.column)): write --\(name) alone", word: number,
                    column: word.column)
            }
            options[name] = .flag
            return
        }
        guard let rest else {
            open = (option, number, word.column)
            return
        }
        options[name] = try value(rest, option.kind, "--\(name)", number, word.column)
    }

    private mutating func takeArgument(_ word: Word, number: Int) throws(LineError) {
        guard place < command.arguments.count else {
            throw LineError(
                "\"\(Words.visible(word.text))\" is one word too many (word \(number), column \(word.column)): write \(command.usage)",
                word: number,
                column: word.column)
        }
        let argument = command.arguments[place]
        arguments[argument.name, default: []].append(try value(word.text, argument.kind, argument.name, number, word.column))
        if !argument.repeats { place += 1 }
    }

    func finish() throws(LineError) -> Invocation {
        if let open {
            throw LineError(
                "--\(open.option.name) needs a value after it (word \(open.number), column \(open.column)): write --\(open.option.name) \(open.option.placeholder ?? "")",
                word: open.number, column: open.column)
        }
        for argument in command.arguments where !argument.isOptional && arguments[argument.name] == nil {
            throw LineError("\"\(command.name)\" needs \(argument.name): write \(command.usage)")
        }
        return Invocation(command: command, arguments: arguments, options: options)
    }

    /// Checks the shape of one word.
    private func value(
        _ text: String, _ kind: AdminCommand.Kind, _ name: String, _ number: Int, _ column: Int
    ) throws(LineError) -> Invocation.Value {
        func refuse(_ mend: String) -> LineError {
            LineError("\"\(Words.visible(text))\" is no \(name) (word \(number), column \(column)): \(mend)", word: number, column: column)
        }
        guard !text.isEmpty else {
            throw LineError("\(name) is empty (word \(number), column \(column)): write a value", word: number, column: column)
        }
        switch kind {
        case .text, .commandWord, .path, .backup: return .text(text)
        case .bareJID:
            guard let shape = JIDShape(text), !shape.hasResource else { throw refuse("write user@host") }
        case .fullJID:
            guard let shape = JIDShape(text), shape.hasResource else { throw refuse("write user@host/resource") }
        case .anyJID:
            guard JIDShape(text) != nil else { throw refuse("write user@host or user@host/resource") }
        case .address:
            guard JIDShape(text) != nil || !text.utf8.contains(where: { $0 == UInt8(ascii: "@") || $0 == UInt8(ascii: " ") }) else {
                throw refuse("write user@host, user@host/resource or a domain")
            }
        case .choice(let words):
            guard words.contains(text) else { throw refuse(RequestReader.mend(text, words, "write one of")) }
        case .choices(let words):
            for part in text.split(separator: ",", omittingEmptySubsequences: false) where !words.contains(String(part)) {
                throw refuse(RequestReader.mend(String(part), words, "write some of"))
            }
        case .host, .component:
            guard !text.utf8.contains(where: { $0 == UInt8(ascii: "@") || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: " ") }) else {
                throw refuse("write the domain alone, as example.org")
            }
        case .node:
            guard text.utf8.count <= 32, text.utf8.allSatisfy(RequestReader.isNodeByte) else {
                throw refuse("write a node's name, 1 to 32 of a-z, 0-9 and '-'; \"node list\" shows them")
            }
        case .integer(let range):
            guard let integer = Int(text), range.contains(integer) else {
                throw refuse("write a number from \(range.lowerBound) to \(range.upperBound)")
            }
            return .integer(integer)
        case .duration:
            guard let seconds = RequestReader.seconds(text) else { throw refuse("write as +300s, 5m, 2h or 1d") }
            return .integer(seconds)
        }
        return .text(text)
    }

    private static func mend(_ text: String, _ words: [String], _ lead: String) -> String {
        CommandTable.nearest(text, among: words).map { "did you mean \"\($0)\"?" } ?? "\(lead) \(words.joined(separator: ", "))"
    }

    private static func isNodeByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): true
        default: false
        }
    }

    /// `[+]digits[s|m|h|d]` in seconds, up to ten years.
    private static func seconds(_ text: String) -> Int? {
        var digits = text.utf8[...]
        if digits.first == UInt8(ascii: "+") { digits = digits.dropFirst() }
        var unit = 1
        switch digits.last {
        case UInt8(ascii: "s"): digits = digits.dropLast()
        case UInt8(ascii: "m"): (unit, digits) = (60, digits.dropLast())
        case UInt8(ascii: "h"): (unit, digits) = (3600, digits.dropLast())
        case UInt8(ascii: "d"): (unit, digits) = (86_400, digits.dropLast())
        default: break
        }
        guard (1...9).contains(digits.count), digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let count = Int(Substring(digits)), count * unit <= 315_576_000
        else { return nil }
        return count * unit
    }
}

/// The parts of a JID by their separators (RFC 7622 §3.2): the first slash, then the first at-sign before it.
private struct JIDShape {
    let hasResource: Bool

    init?(_ text: String) {
        let scalars = text.unicodeScalars
        let slash = scalars.firstIndex(of: "/")
        let bare = scalars[..<(slash ?? scalars.endIndex)]
        guard let at = bare.firstIndex(of: "@"), at > bare.startIndex, bare.index(after: at) < bare.endIndex else { return nil }
        if let slash, scalars.index(after: slash) == scalars.endIndex { return nil }
        hasResource = slash != nil
    }
}
