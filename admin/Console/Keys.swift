/// What a person did on the keyboard of a terminal.
public enum Key: Equatable, Sendable {
    /// A scalar of text. One that belongs to the character before it, as a combining mark, comes alone.
    case text(Unicode.Scalar)
    /// A text pasted by a terminal that tells pasting from typing.
    case paste(String)
    case enter, tab, backTab, escape, backspace, delete
    case left, right, up, down, home, end, pageUp, pageDown
    case wordLeft, wordRight
    /// A letter, or one of `@[\]^_`, with the control key.
    case control(Character)
    /// A scalar with the meta key, or behind an escape.
    case alt(Unicode.Scalar)
    /// Deletes the word before the cursor, or the one behind it.
    case altBackspace, altDelete
}

/// Bytes of a terminal into keys: UTF-8, control characters, the sequences of xterm, rxvt and the Linux console (ECMA-48), bracketed
/// paste. What it does not know it leaves out, whole.
public struct KeyDecoder: Sendable {
    /// The longest sequence; a longer one is noise.
    private static let longestSequence = 64
    /// The longest paste that is held, in bytes; what is beyond is lost.
    private static let longestPaste = 65_536

    private var pending: [UInt8] = []
    private var pasted: [UInt8]?

    public init() {}

    /// Whether the bytes so far may be the beginning of a sequence, or a lone escape: when nothing follows within some 50 ms, `flush`.
    public var isWaiting: Bool { pasted == nil && pending.first == 0x1B }

    /// Takes bytes as they come.
    public mutating func take(_ bytes: some Sequence<UInt8>) -> [Key] {
        pending += bytes
        var keys: [Key] = []
        while !pending.isEmpty {
            if pasted != nil {
                guard takePaste(&keys) else { break }
                continue
            }
            guard let (key, count) = Self.first(of: pending) else { break }
            pending.removeFirst(min(count, pending.count))
            switch key {
            case .some(.pasteBegins): pasted = []
            case .some(.key(let key)): keys.append(key)
            case nil: break
            }
        }
        return keys
    }

    /// Nothing followed: an escape was an escape.
    public mutating func flush() -> [Key] {
        guard isWaiting else { return [] }
        pending.removeFirst()
        let rest = pending
        pending = []
        return [.escape] + take(rest)
    }

    /// False: its end has not come.
    private mutating func takePaste(_ keys: inout [Key]) -> Bool {
        let end: [UInt8] = [0x1B, 0x5B, 0x32, 0x30, 0x31, 0x7E]  // ESC [ 2 0 1 ~
        var held = pasted ?? []
        guard let place = pending.indices.first(where: { pending[$0...].starts(with: end) }) else {
            // What may be the beginning of the end stays.
            let certain = max(pending.count - end.count + 1, 0)
            held += pending.prefix(certain)
            pasted = Array(held.prefix(Self.longestPaste))
            pending.removeFirst(certain)
            return false
        }
        held += pending[..<place]
        pending.removeFirst(place + end.count)
        pasted = nil
        keys.append(.paste(String(decoding: held.prefix(Self.longestPaste), as: UTF8.self)))
        return true
    }

    private enum Event { case key(Key), pasteBegins }

    /// The first key and the bytes it takes; no key: bytes that mean nothing. nil: more bytes are needed.
    private static func first(of bytes: [UInt8]) -> (Event?, Int)? {
        switch bytes[0] {
        case 0x1B: return escape(bytes)
        case 0x0A, 0x0D: return (.key(.enter), 1)
        case 0x09: return (.key(.tab), 1)
        case 0x08, 0x7F: return (.key(.backspace), 1)
        case 0x00...0x1F:
            let letter = Character(Unicode.Scalar(bytes[0] + 0x40))
            return (.key(.control(Character(letter.lowercased()))), 1)
        case 0x20...0x7E: return (.key(.text(Unicode.Scalar(bytes[0]))), 1)
        default: return scalar(bytes[...]).map { ($0.0.map { .key(.text($0)) }, $0.1) }
        }
    }

    /// One scalar of UTF-8 beyond ASCII; without one: a byte that is none.
    private static func scalar(_ bytes: ArraySlice<UInt8>) -> (Unicode.Scalar?, Int)? {
        guard let first = bytes.first else { return nil }
        let count =
            switch first {
            case 0x00...0x7F: 1
            case 0xC2...0xDF: 2
            case 0xE0...0xEF: 3
            case 0xF0...0xF4: 4
            default: 0
            }
        guard count > 0 else { return (nil, 1) }
        let tail = bytes.dropFirst().prefix(count - 1).prefix { $0 & 0xC0 == 0x80 }
        if tail.count < count - 1 { return bytes.count > tail.count + 1 ? (nil, tail.count + 1) : nil }
        guard let text = String(validating: bytes.prefix(count), as: UTF8.self), let scalar = text.unicodeScalars.first else {
            return (nil, count)
        }
        return (scalar, count)
    }

    private static func escape(_ bytes: [UInt8]) -> (Event?, Int)? {
        guard bytes.count > 1 else { return nil }
        switch bytes[1] {
        case UInt8(ascii: "["): return sequence(bytes)
        case UInt8(ascii: "O"):
            guard bytes.count > 2 else { return nil }
            return (key(final: bytes[2], numbers: []).map(Event.key), 3)
        case 0x1B: return (.key(.escape), 1)
        case 0x7F, 0x08: return (.key(.altBackspace), 2)
        case 0x00...0x1F: return (nil, 2)
        default:
            return scalar(bytes[1...]).map { ($0.0.map { .key(.alt($0)) }, $0.1 + 1) }
        }
    }

    /// ESC [ numbers final.
    private static func sequence(_ bytes: [UInt8]) -> (Event?, Int)? {
        // The function keys of the Linux console: ESC [ [ A.
        if bytes.count > 2, bytes[2] == UInt8(ascii: "[") { return bytes.count > 3 ? (nil, 4) : nil }
        guard let end = bytes.indices.dropFirst(2).first(where: { !(0x20...0x3F).contains(bytes[$0]) }) else {
            return bytes.count > longestSequence ? (nil, bytes.count) : nil
        }
        // Something else began inside it: it stands for itself.
        guard (0x40...0x7E).contains(bytes[end]) else { return (nil, end) }
        let numbers = bytes[2..<end].split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
            .map { Int(String(decoding: $0, as: UTF8.self)) ?? 0 }
        if bytes[end] == UInt8(ascii: "~"), numbers.first == 200 { return (.pasteBegins, end + 1) }
        return (key(final: bytes[end], numbers: numbers).map(Event.key), end + 1)
    }

    private static func key(final: UInt8, numbers: [Int]) -> Key? {
        // 1 + a set of shift 1, alt 2, control 4.
        let modifiers = numbers.count > 1 ? max(numbers[1], 1) - 1 : 0
        let isWord = modifiers & 6 != 0
        switch final {
        case UInt8(ascii: "A"): return .up
        case UInt8(ascii: "B"): return .down
        case UInt8(ascii: "C"): return isWord ? .wordRight : .right
        case UInt8(ascii: "D"): return isWord ? .wordLeft : .left
        // rxvt's arrows with the control key.
        case UInt8(ascii: "c"): return .wordRight
        case UInt8(ascii: "d"): return .wordLeft
        case UInt8(ascii: "H"): return .home
        case UInt8(ascii: "F"): return .end
        case UInt8(ascii: "M"): return .enter
        case UInt8(ascii: "Z"): return .backTab
        case UInt8(ascii: "~"):
            switch numbers.first {
            case 1, 7: return .home
            case 4, 8: return .end
            case 3: return isWord ? .altDelete : .delete
            case 5: return .pageUp
            case 6: return .pageDown
            default: return nil
            }
        default: return nil
        }
    }
}
