/// The ASCII part of the rules of RFC 7622: what needs no preparation at all, by byte.
enum ASCII {
    static let space = UInt8(ascii: " ")

    /// Printable ASCII but upper case and `"&'/:<>@`: what preparation of a localpart leaves as it is.
    static func isLocal(_ byte: UInt8) -> Bool {
        byte > 0x20 && byte < 0x7F && !isUpper(byte) && !isForbiddenInLocal(byte)
    }

    /// RFC 7622 §3.3.1.
    static func isForbiddenInLocal(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "/"), UInt8(ascii: ":"), UInt8(ascii: "<"),
            UInt8(ascii: ">"), UInt8(ascii: "@"):
            true
        default: false
        }
    }

    /// Printable ASCII and space: what OpaqueString leaves as it is.
    static func isResource(_ byte: UInt8) -> Bool { byte >= 0x20 && byte < 0x7F }

    static func isUpper(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") }
    static func isLower(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z") }
    static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    /// A domain name of lower-case NR-LDH labels (RFC 5890 §2.3.1) within the lengths of RFC 1034 §3.1, whose last label is no number:
    /// what preparation of a domainpart leaves as it is. Everything else is looked at more closely.
    static func isDomain(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard (1...253).contains(bytes.count) else { return false }
        var start = 0
        var onlyDigits = true
        for index in 0...bytes.count {
            if index < bytes.count, bytes[index] != UInt8(ascii: ".") {
                let byte = bytes[index]
                guard isLower(byte) || isDigit(byte) || byte == UInt8(ascii: "-") else { return false }
                onlyDigits = onlyDigits && isDigit(byte)
                continue
            }
            let length = index - start
            guard (1...63).contains(length), bytes[start] != UInt8(ascii: "-"), bytes[index - 1] != UInt8(ascii: "-") else { return false }
            if length >= 4, bytes[start + 2] == UInt8(ascii: "-"), bytes[start + 3] == UInt8(ascii: "-") { return false }
            if index == bytes.count { return !onlyDigits }
            start = index + 1
            onlyDigits = true
        }
        return false
    }
}
