/// One line of `user import`: who, and what they log in with. The JID is not prepared and the keys are not decoded here.
public enum ImportLine: Equatable, Sendable {
    /// The JID, and the password: everything behind the first space or tab, as it stands.
    case password(jid: String, password: String)
    /// The JID, and its keys, each as `MECHANISM$ITERATIONS:SALT$STOREDKEY:SERVERKEY`, with one space between them.
    case keys(jid: String, keys: String)

    /// Why a line is refused: a sentence for its writer that never repeats a secret.
    public struct Refusal: Error, Equatable, Sendable {
        /// What is wrong, and what to write.
        public let sentence: String
    }

    /// The longest line in bytes: the longest bare JID (2,047), a password of 1,023 bytes or the keys of three hashes.
    public static let longest = 8192

    /// Reads a line; `nil` for an empty one.
    /// - Parameter keys: whether the lines hold keys (`--keys`).
    public static func parse(_ line: String, keys: Bool) throws(Refusal) -> ImportLine? {
        let scalars = line.unicodeScalars
        guard scalars.contains(where: { $0 != " " && $0 != "\t" }) else { return nil }
        guard let gap = scalars.firstIndex(where: { $0 == " " || $0 == "\t" }) else {
            throw Refusal(
                sentence: keys ? "no key: write the JID, a space and the keys" : "no password: write the JID, a space and the password")
        }
        let jid = String(scalars[..<gap])
        guard !jid.isEmpty else { throw Refusal(sentence: "no JID: the line begins with a space") }
        let rest = scalars[scalars.index(after: gap)...]
        guard keys else {
            guard !rest.isEmpty else { throw Refusal(sentence: "the password is empty") }
            return .password(jid: jid, password: String(rest))
        }
        let words = rest.split { $0 == " " || $0 == "\t" }.map { String($0) }
        guard !words.isEmpty else { throw Refusal(sentence: "no key: write the JID, a space and the keys") }
        var seen = Set<String>()
        for (index, word) in words.enumerated() {
            guard let mechanism = mechanism(ofKey: word) else {
                throw Refusal(sentence: "key \(index + 1) is not MECHANISM$ITERATIONS:SALT$STOREDKEY:SERVERKEY")
            }
            guard seen.insert(mechanism).inserted else { throw Refusal(sentence: "key \(index + 1) is a second key for \(mechanism)") }
        }
        return .keys(jid: jid, keys: words.joined(separator: " "))
    }

    /// The mechanism of a key of the right shape.
    private static func mechanism(ofKey word: String) -> String? {
        let parts = word.utf8.split(separator: UInt8(ascii: "$"), omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        let salted = parts[1].split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        let pair = parts[2].split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard salted.count == 2, pair.count == 2, (1...9).contains(salted[0].count),
            salted[0].allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            [salted[1], pair[0], pair[1]].allSatisfy(isBase64)
        else { return nil }
        let mechanism = String(Substring(parts[0]))
        return ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"].contains(mechanism) ? mechanism : nil
    }

    /// RFC 4648 §4, not empty, with its padding.
    private static func isBase64(_ text: Substring.UTF8View.SubSequence) -> Bool {
        guard !text.isEmpty, text.count % 4 == 0 else { return false }
        let padding = text.reversed().prefix { $0 == UInt8(ascii: "=") }.count
        return padding <= 2
            && text.dropLast(padding).allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "+"), UInt8(ascii: "/"):
                    true
                default: false
                }
            }
    }
}
