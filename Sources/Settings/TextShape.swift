internal import Glibc

extension Settings {
    /// Whether a text may be the name of a node: 1 to 32 of a–z, 0–9 and '-'.
    public static func isNodeName(_ text: String) -> Bool {
        (1...32).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || TOMLCursor.isDigit(byte) || byte == UInt8(ascii: "-")
            }
    }
}

extension Settings.Backup {
    /// `at` in minutes since midnight; 0 when it is no time of day.
    public var minuteOfDay: Int { Self.minuteOfDay(at) ?? 0 }

    /// The minute that `HH:MM` names; nil when the text is not of that form.
    static func minuteOfDay(_ text: String) -> Int? {
        let bytes = Array(text.utf8)
        guard bytes.count == 5, bytes[2] == UInt8(ascii: ":"), [0, 1, 3, 4].allSatisfy({ TOMLCursor.isDigit(bytes[$0]) }) else {
            return nil
        }
        let hour = Int(bytes[0] - 48) * 10 + Int(bytes[1] - 48)
        let minute = Int(bytes[3] - 48) * 10 + Int(bytes[4] - 48)
        return hour < 24 && minute < 60 ? hour * 60 + minute : nil
    }
}

/// An `address:port` to listen on, taken apart. Names are no addresses: which one they mean would change under the server.
public struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    /// An IPv4 or IPv6 literal without brackets.
    public let address: String
    /// 1 to 65535.
    public let port: Int
    /// Whether `address` is an IPv6 literal.
    public let isIPv6: Bool
    /// Whether only this machine reaches it: 127.0.0.0/8 or ::1.
    public let isLoopback: Bool

    /// Reads `127.0.0.1:5222` or `[::1]:5222`; `nil` for anything else.
    public init?(_ text: String) {
        let utf8 = text.utf8
        guard let colon = utf8.lastIndex(of: UInt8(ascii: ":")) else { return nil }
        let digits = utf8[utf8.index(after: colon)...]
        guard (1...5).contains(digits.count), digits.allSatisfy(TOMLCursor.isDigit), digits.first != UInt8(ascii: "0"),
            let port = Int(String(Substring(digits))), port <= 65_535
        else { return nil }
        var host = utf8[..<colon]
        isIPv6 = host.first == UInt8(ascii: "[")
        if isIPv6 {
            guard host.last == UInt8(ascii: "]"), host.count > 2 else { return nil }
            host = host.dropFirst().dropLast()
        }
        let address = String(Substring(host))
        var raw = [UInt8](repeating: 0, count: 16)
        guard !address.utf8.contains(0), inet_pton(isIPv6 ? AF_INET6 : AF_INET, address, &raw) == 1 else { return nil }
        self.address = address
        self.port = port
        isLoopback = isIPv6 ? raw == [UInt8](repeating: 0, count: 15) + [1] : raw[0] == 127
    }

    /// As it is written in the file.
    public var description: String { isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)" }
}

/// Shapes of texts that need no table of Unicode; the server prepares names in full when it starts.
enum TextShape {
    /// No control characters in it.
    static func isLine(_ text: String) -> Bool { text.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value) } }

    /// An address of the web, as far as it matters: `http://` or `https://` and something without a space behind it.
    static func isLink(_ text: String) -> Bool {
        guard isLine(text), text.utf8.count <= 2000, !text.utf8.contains(0x20) else { return false }
        return ["https://", "http://"].contains { text.hasPrefix($0) && text.utf8.count > $0.utf8.count }
    }

    /// The domain with small ASCII letters; `nil` when it cannot be one: labels of 1 to 63 bytes, no separators of JIDs, no space.
    static func domain(_ text: String) -> String? {
        guard (1...253).contains(text.utf8.count), isLine(text) else { return nil }
        let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        let isGood = labels.allSatisfy { label in
            (1...63).contains(label.count) && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
                && label.allSatisfy { $0 >= 0x80 || (TOMLCursor.isKeyByte($0) && $0 != UInt8(ascii: "_")) }
        }
        guard isGood else { return nil }
        return String(decoding: text.utf8.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 + 0x20 : $0 }, as: UTF8.self)
    }

    /// A domain or an address, IPv6 in brackets, with a port or without.
    static func isLocation(_ text: String) -> Bool {
        if ListenAddress(text) != nil || ListenAddress(text + ":1") != nil { return true }
        let parts = text.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count <= 2, let host = parts.first, domain(String(Substring(host))) != nil else { return false }
        guard parts.count == 2 else { return true }
        return parts[1].count <= 5 && UInt16(String(Substring(parts[1]))).map { $0 > 0 } == true
    }

    /// `local@domain`, neither with the characters RFC 7622 §3.3.1 keeps out of a localpart.
    static func isBareJID(_ text: String) -> Bool {
        guard let at = text.utf8.firstIndex(of: UInt8(ascii: "@")) else { return false }
        let local = text[..<at]
        return (1...1023).contains(local.utf8.count) && isLine(String(local))
            && !local.unicodeScalars.contains { "\"&'/:<>@ ".unicodeScalars.contains($0) }
            && domain(String(text[text.utf8.index(after: at)...])) != nil
    }

    /// The candidate nearest to a text, when it is near enough to be meant: at most two letters differ, and less than half.
    static func nearest(_ text: String, among candidates: [String]) -> String? {
        guard text.utf8.count <= 64 else { return nil }
        let scored = candidates.map { ($0, distance(Array(text.utf8), Array($0.utf8))) }
        guard let best = scored.min(by: { $0.1 < $1.1 }), best.1 <= 2, best.1 * 2 <= best.0.utf8.count else { return nil }
        return best.0
    }

    /// Letters to insert, delete or replace.
    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var last = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices { row.append(min(row[j] + 1, last[j + 1] + 1, last[j] + (a[i] == b[j] ? 0 : 1))) }
            last = row
        }
        return last[b.count]
    }
}

/// Writing TOML.
enum TOMLText {
    /// A basic string.
    static func quote(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\t": quoted += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let hex = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
