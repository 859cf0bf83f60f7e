/// The numbers and dates of TOML 1.0.
enum TOMLNumber {
    /// The number a text is; `nil` when it is none, or an integer that does not fit.
    static func value(_ text: String) -> TOMLNode.Value? {
        let unsigned = text.first == "+" || text.first == "-" ? text.dropFirst() : text[...]
        switch unsigned {
        case "inf": return .float(text.first == "-" ? -.infinity : .infinity)
        case "nan": return .float(.nan)
        default: break
        }
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where text.hasPrefix(prefix) {
            guard let digits = digits(text.dropFirst(2), radix: radix) else { return nil }
            return Int64(digits, radix: radix).map { .integer($0) }
        }
        if let digits = digits(unsigned, radix: 10), !hasLeadingZero(unsigned) {
            return Int64((text.first == "-" ? "-" : "") + digits).map { .integer($0) }
        }
        return float(text, unsigned)
    }

    static func isIntegerShaped(_ text: String) -> Bool {
        let unsigned = text.first == "+" || text.first == "-" ? text.dropFirst() : text[...]
        if digits(unsigned, radix: 10) != nil { return !hasLeadingZero(unsigned) }
        return [("0x", 16), ("0o", 8), ("0b", 2)].contains { text.hasPrefix($0.0) && digits(text.dropFirst(2), radix: $0.1) != nil }
    }

    private static func float(_ text: String, _ unsigned: Substring) -> TOMLNode.Value? {
        let parts = unsigned.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 == "e" || $0 == "E" }
        guard let mantissa = parts.first else { return nil }
        let halves = mantissa.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = halves.first, let wholeDigits = digits(whole, radix: 10), !hasLeadingZero(whole) else { return nil }
        var plain = (text.first == "-" ? "-" : "") + wholeDigits
        if halves.count == 2 {
            guard let fraction = digits(halves[1], radix: 10) else { return nil }
            plain += "." + fraction
        }
        if parts.count == 2 {
            let signed = parts[1].first == "+" || parts[1].first == "-"
            guard let exponent = digits(signed ? parts[1].dropFirst() : parts[1], radix: 10) else { return nil }
            plain += "e" + (parts[1].first == "-" ? "-" : "") + exponent
        }
        return Double(plain).map { .float($0) }
    }

    private static func hasLeadingZero(_ text: Substring) -> Bool { text.utf8.first == UInt8(ascii: "0") && text.utf8.count > 1 }

    /// The digits without underscores, each of which must stand between two digits.
    private static func digits(_ text: Substring, radix: Int) -> String? {
        let groups = text.split(separator: "_", omittingEmptySubsequences: false)
        guard groups.allSatisfy({ group in !group.isEmpty && group.utf8.allSatisfy { isDigit($0, radix) } }) else { return nil }
        return groups.joined()
    }

    private static func isDigit(_ byte: UInt8, _ radix: Int) -> Bool {
        switch radix {
        case 16: TOMLCursor.isHexDigit(byte)
        default: byte >= UInt8(ascii: "0") && Int(byte) < 0x30 + radix
        }
    }

    /// Whether a text has the shape of a date, a time, or both: digits where digits stand. No setting is one, so the calendar is not asked.
    static func isDate(_ text: String) -> Bool {
        var shape = text.utf8.map { TOMLCursor.isDigit($0) ? UInt8(ascii: "0") : $0 }[...]
        func take(_ pattern: StaticString) -> Bool {
            let wanted = UnsafeBufferPointer(start: pattern.utf8Start, count: pattern.utf8CodeUnitCount)
            guard shape.starts(with: wanted) else { return false }
            shape = shape.dropFirst(wanted.count)
            return true
        }
        let hasDate = take("0000-00-00")
        if hasDate {
            if shape.isEmpty { return true }
            guard take("T") || take("t") || take(" ") else { return false }
        }
        guard take("00:00:00") else { return false }
        if take(".") {
            let fraction = shape.prefix { $0 == UInt8(ascii: "0") }.count
            guard fraction > 0 else { return false }
            shape = shape.dropFirst(fraction)
        }
        if shape.isEmpty { return true }
        guard hasDate else { return false }
        return (take("Z") || take("z") || take("+00:00") || take("-00:00")) && shape.isEmpty
    }
}
