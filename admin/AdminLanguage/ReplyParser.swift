/// A line that is no reply: the other end speaks another language.
public struct ReplyError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong, with the line (shortened) in it.
    public let description: String

    init(_ what: String, _ line: String) {
        let shown = Words.visible(line)
        description = "\(what): \"\(shown.count > 80 ? shown.prefix(80) + "…" : shown)\""
    }
}

/// Reads the lines of one reply after the other, and sees that they follow the grammar at the head of `Reply.swift`.
public struct ReplyParser: Sendable {
    /// The columns of the table that was begun last in this reply.
    private var columns: Int?

    /// A parser before the first line of a reply.
    public init() {}

    /// Reads one line, without its line feed.
    /// - Throws: `ReplyError` when it is no reply line, a row has no table or the wrong number of values.
    public mutating func next(_ line: String) throws(ReplyError) -> ReplyLine {
        let reply = try ReplyParser.read(line)
        switch reply {
        case .table(_, let names): columns = names.count
        case .row(let values):
            guard let columns else { throw ReplyError("a row came before its table", line) }
            guard values.count == columns else {
                throw ReplyError("a row has \(values.count) values in a table of \(columns) columns", line)
            }
        case .ok, .error: columns = nil
        case .fact, .progress, .warning, .prose, .prompt: break
        }
        return reply
    }

    private static func read(_ line: String) throws(ReplyError) -> ReplyLine {
        guard line.utf8.count <= Words.longestReply else { throw ReplyError("a line is longer than \(Words.longestReply) bytes", line) }
        let (mark, rest) = cut(line[...])
        switch mark {
        case "!": return .warning(try sentence(rest, line))
        case ":": return .prose(try sentence(rest, line))
        case "ok": return .ok(try sentence(rest, line))
        case "error":
            let (word, text) = cut(rest)
            guard let code = ReplyCode(rawValue: String(word)) else { throw ReplyError("an error has no known code", line) }
            return .error(code, try sentence(text, line))
        default: break
        }
        let words: [Word]
        do {
            words = try Words.split(String(rest), longest: Words.longestReply, most: Words.mostInReply)
        } catch {
            throw ReplyError("a reply line cannot be read (\(error.sentence))", line)
        }
        switch mark {
        case "=":
            guard words.count == 2 else { throw ReplyError("a fact is not a key and a value", line) }
            return .fact(key: words[0].text, value: ReplyValue(words[1]))
        case "#":
            guard words.count >= 2 else { throw ReplyError("a table has no columns", line) }
            return .table(name: words[0].text, columns: words.dropFirst().map(\.text))
        case "|": return .row(words.map(ReplyValue.init))
        case "%":
            guard words.count == 2, case .integer(let done) = ReplyValue(words[0]), done >= 0 else {
                throw ReplyError("progress is not two numbers", line)
            }
            switch ReplyValue(words[1]) {
            case .none: return .progress(done: done, total: nil)
            case .integer(let total) where total >= 0: return .progress(done: done, total: total)
            default: throw ReplyError("progress is not two numbers", line)
            }
        case "?":
            guard words.count == 1, let prompt = Prompt(rawValue: words[0].text) else { throw ReplyError("a prompt is not known", line) }
            return .prompt(prompt)
        default: throw ReplyError("a line begins with no mark of a reply", line)
        }
    }

    /// Cuts at the first space, by scalars: a combining mark after the space would make one `Character` of the two.
    private static func cut(_ text: Substring) -> (Substring, Substring) {
        let scalars = text.unicodeScalars
        guard let space = scalars.firstIndex(of: " ") else { return (text, "") }
        return (text[..<space], text[scalars.index(after: space)...])
    }

    private static func sentence(_ text: Substring, _ line: String) throws(ReplyError) -> String {
        guard let plain = Words.unescape(text) else {
            throw ReplyError("an escape is not known or a control character stands in the line", line)
        }
        return plain
    }
}
