internal import TestKit

/// Makes new inputs of old ones.
struct Mutator {
    private let words: [[UInt8]]
    private let longest: Int
    private static let numbers: [UInt64] = [
        0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000,
        0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, .max,
    ]

    init(words: [String], longest: Int) {
        self.words = words.map { Array($0.utf8) }
        self.longest = longest
    }

    /// An input that differs from `input` in a few places; `other` is one to take pieces from.
    func mutated(_ input: [UInt8], _ other: [UInt8], _ chance: inout Chance) -> [UInt8] {
        var bytes = input
        for _ in 0...chance.below(1 << chance.below(4)) { change(&bytes, other, &chance) }
        if bytes.count > longest { bytes.removeLast(bytes.count - longest) }
        return bytes
    }

    private func change(_ bytes: inout [UInt8], _ other: [UInt8], _ chance: inout Chance) {
        let at = chance.below(bytes.count + 1)
        switch chance.below(14) {
        case 0: if at < bytes.count { bytes[at] ^= 1 << UInt8(chance.below(8)) }
        case 1: if at < bytes.count { bytes[at] = UInt8(chance.below(256)) }
        case 2: bytes.insert(UInt8(chance.below(256)), at: at)
        case 3: bytes.removeSubrange(range(bytes, &chance))
        case 4: bytes.insert(contentsOf: Array(bytes[range(bytes, &chance)]), at: at)
        case 5, 6: bytes.insert(contentsOf: word(&chance), at: at)
        case 7:
            let word = word(&chance)
            bytes.replaceSubrange(at..<min(bytes.count, at + word.count), with: word)
        case 8: bytes.replaceSubrange(range(bytes, &chance), with: other[range(other, &chance)])
        case 9: bytes = Array(bytes[..<at]) + Array(other[chance.below(other.count + 1)...])
        case 10: number(&bytes, at, &chance)
        case 11: digits(&bytes, &chance)
        case 12: bytes.replaceSubrange(piece(bytes, &chance), with: other[piece(other, &chance)])
        default: bytes.insert(contentsOf: Array(bytes[piece(bytes, &chance)]), at: piece(bytes, &chance).lowerBound)
        }
    }

    private func word(_ chance: inout Chance) -> [UInt8] { words.isEmpty ? [0] : words[chance.below(words.count)] }

    /// A short range, seldom a long one.
    private func range(_ bytes: [UInt8], _ chance: inout Chance) -> Range<Int> {
        let start = chance.below(bytes.count + 1)
        return start..<min(bytes.count, start + chance.below(1 << chance.below(9)))
    }

    /// What a reader would take for one thing: an element or tag, a line, a quoted text, or what stands between spaces.
    private func piece(_ bytes: [UInt8], _ chance: inout Chance) -> Range<Int> {
        let start = chance.below(bytes.count + 1)
        let (open, close): (UInt8, UInt8) =
            switch chance.below(4) {
            case 0: (UInt8(ascii: "<"), UInt8(ascii: ">"))
            case 1: (UInt8(ascii: "\n"), UInt8(ascii: "\n"))
            case 2: (UInt8(ascii: "'"), UInt8(ascii: "'"))
            default: (UInt8(ascii: " "), UInt8(ascii: " "))
            }
        guard let first = bytes[start...].firstIndex(of: open) else { return start..<start }
        var last = first
        for _ in 0...chance.below(6) {
            guard let next = bytes[(last + 1)...].firstIndex(of: close) else { break }
            last = next
            if last + 1 >= bytes.count { break }
        }
        return first..<min(bytes.count, last + (open == close ? 0 : 1))
    }

    /// A number at the edge of something, in 1, 2, 4 or 8 bytes, or as varint.
    private func number(_ bytes: inout [UInt8], _ at: Int, _ chance: inout Chance) {
        var value = Self.numbers[chance.below(Self.numbers.count)]
        var written: [UInt8] = []
        let width = chance.below(5)
        if width == 4 {
            while value >= 0x80 {
                written.append(UInt8(truncatingIfNeeded: value) | 0x80)
                value >>= 7
            }
            written.append(UInt8(truncatingIfNeeded: value))
        } else {
            withUnsafeBytes(of: value.bigEndian) { written = Array($0.suffix(1 << width)) }
        }
        bytes.replaceSubrange(at..<min(bytes.count, at + written.count), with: written)
    }

    /// A number in digits takes the place of another.
    private func digits(_ bytes: inout [UInt8], _ chance: inout Chance) {
        let isDigit = { (byte: UInt8) in byte >= 0x30 && byte <= 0x39 }
        guard let start = bytes[chance.below(bytes.count + 1)...].firstIndex(where: isDigit) else { return }
        let end = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.count
        let value = Self.numbers[chance.below(Self.numbers.count)]
        bytes.replaceSubrange(start..<end, with: Array((chance.below(4) == 0 ? "-\(value)" : "\(value)").utf8))
    }
}
