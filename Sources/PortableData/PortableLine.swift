/// What an account's way into the server is made of: one line each, so that who reads the files and who keeps the accounts may be two
/// programs.
///
///     file PATH                  what follows stood in this file
///     host LINE JID              users of this host follow
///     user LINE XML              an account begins: its start tag
///     part LINE PLACE XML        one thing of the account, on one line, its namespaces in it
///     passed LINE KIND           something that nobody carries, by its kind
///     end                        the account is whole
///     broken LINE SENTENCE       what is wrong; an account that had begun does not go on
public enum PortableLine: Equatable, Sendable {
    case file(String)
    case host(line: Int, jid: String)
    case user(line: Int, xml: String)
    case part(line: Int, place: Portable.Place, xml: String)
    case passed(line: Int, kind: String)
    case end
    case broken(line: Int, reason: String)

    /// The line, without its end.
    public var text: String {
        switch self {
        case .file(let path): "file \(Self.flat(path))"
        case .host(let line, let jid): "host \(line) \(Self.flat(jid))"
        case .user(let line, let xml): "user \(line) \(xml)"
        case .part(let line, let place, let xml): "part \(line) \(place.rawValue) \(xml)"
        case .passed(let line, let kind): "passed \(line) \(Self.flat(kind))"
        case .end: "end"
        case .broken(let line, let reason): "broken \(line) \(Self.flat(reason))"
        }
    }

    /// Reads a line; nil when it is none.
    public init?(_ text: String) {
        let words = text.utf8.split(separator: UInt8(ascii: " "), maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = words.first else { return nil }
        let kind = String(Substring(first))
        let rest = words.count > 1 ? words[1] : Substring().utf8
        if kind == "end" {
            guard words.count == 1 else { return nil }
            self = .end
            return
        }
        if kind == "file" {
            self = .file(String(Substring(rest)))
            return
        }
        let parts = rest.split(separator: UInt8(ascii: " "), maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let line = Int(Substring(parts[0])), line >= 0 else { return nil }
        let tail = String(Substring(parts[1]))
        switch kind {
        case "host": self = .host(line: line, jid: tail)
        case "user": self = .user(line: line, xml: tail)
        case "passed": self = .passed(line: line, kind: tail)
        case "broken": self = .broken(line: line, reason: tail)
        case "part":
            let words = parts[1].split(separator: UInt8(ascii: " "), maxSplits: 1, omittingEmptySubsequences: false)
            guard words.count == 2, let place = Portable.Place(rawValue: String(Substring(words[0]))) else { return nil }
            self = .part(line: line, place: place, xml: String(Substring(words[1])))
        default: return nil
        }
    }

    /// On one line, whatever stood in a file, and not longer than a person reads.
    private static func flat(_ text: String) -> String {
        let line = text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : String($0) }.joined()
        return line.utf8.count <= 4_096 ? line : String(line.prefix(1_000))
    }
}
