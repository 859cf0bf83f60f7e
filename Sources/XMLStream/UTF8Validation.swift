/// Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing beyond U+10FFFF.
///
/// libxml2 takes overlong two-byte forms in some places; a peer that decodes them would read other characters than the server did.
func isValidUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let base = bytes.baseAddress else { return true }
    let count = bytes.count
    var i = 0
    while i < count {
        while count - i >= 8 {
            if base.loadUnaligned(fromByteOffset: i, as: UInt64.self) & 0x8080_8080_8080_8080 != 0 { break }
            i += 8
        }
        guard i < count else { break }
        let first = base.load(fromByteOffset: i, as: UInt8.self)
        if first < 0x80 {
            i += 1
            continue
        }
        // Table 3-7 of the Unicode standard: only the second byte's range depends on the first.
        let length: Int
        var low: UInt8 = 0x80
        var high: UInt8 = 0xBF
        switch first {
        case 0xC2...0xDF: length = 2
        case 0xE0...0xEF:
            length = 3
            if first == 0xE0 { low = 0xA0 }
            if first == 0xED { high = 0x9F }
        case 0xF0...0xF4:
            length = 4
            if first == 0xF0 { low = 0x90 }
            if first == 0xF4 { high = 0x8F }
        default: return false
        }
        guard count - i >= length else { return false }
        let second = base.load(fromByteOffset: i + 1, as: UInt8.self)
        guard second >= low, second <= high else { return false }
        for j in 2..<max(length, 2) where base.load(fromByteOffset: i + j, as: UInt8.self) & 0xC0 != 0x80 { return false }
        i += length
    }
    return true
}
