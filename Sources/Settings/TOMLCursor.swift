/// A place in the bytes of a TOML document, and the tokens that can be taken there.
struct TOMLCursor {
    let bytes: [UInt8]
    private var index = 0
    private var line = 1
    private var lineStart = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var peek: UInt8? { index < bytes.count ? bytes[index] : nil }

    var position: Position {
        // Continuation bytes of UTF-8 are no columns.
        Position(line: line, column: bytes[lineStart..<index].reduce(1) { $1 & 0xC0 == 0x80 ? $0 : $0 + 1 })
    }

    func error(_ sentence: String) -> TOMLError { TOMLError(position: position, sentence: sentence) }

    /// Goes on over bytes that are no line feeds.
    mutating func skip(_ count: Int) { index = min(index + count, bytes.count) }

    mutating func take(_ byte: UInt8) -> Bool {
        guard peek == byte else { return false }
        index += 1
        return true
    }

    func sees(_ text: StaticString) -> Bool {
        bytes[index...].starts(with: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func takeWhile(_ belongs: (UInt8) -> Bool) -> ArraySlice<UInt8> {
        let run = bytes[index...].prefix(while: belongs)
        index = run.endIndex
        return run
    }

    mutating func skipSpace() { _ = takeWhile { $0 == 0x20 || $0 == 0x09 } }

    /// Takes a line feed, or carriage return and line feed.
    private mutating func takeNewline() -> Bool {
        guard sees("\n") || sees("\r\n") else { return false }
        index += peek == UInt8(ascii: "\n") ? 1 : 2
        line += 1
        lineStart = index
        return true
    }

    private mutating func skipComment() throws(TOMLError) {
        guard take(UInt8(ascii: "#")) else { return }
        while let byte = peek, !sees("\n"), !sees("\r\n") {
            guard byte == 0x09 || (byte >= 0x20 && byte != 0x7F) else { throw error("a control character in a comment: remove it") }
            index += 1
        }
    }

    /// Over space, comments and line ends.
    mutating func skipBlankLines() throws(TOMLError) {
        repeat {
            skipSpace()
            try skipComment()
        } while takeNewline()
    }

    /// Over what may follow on the line, and its end.
    mutating func endLine() throws(TOMLError) {
        skipSpace()
        try skipComment()
        guard peek == nil || takeNewline() else { throw error("something stands behind the end of this: begin a new line") }
    }

    // MARK: Strings

    /// `"…"` with escapes, on one line.
    mutating func basicString() throws(TOMLError) -> String {
        let start = self
        index += 1
        var text: [UInt8] = []
        while let byte = peek {
            switch byte {
            case UInt8(ascii: "\""):
                index += 1
                return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): text += try escape()
            case 0x09, 0x20...0x7E, 0x80...0xFF:
                text.append(byte)
                index += 1
            default: throw sees("\n") || sees("\r\n") ? start.error("the string is not closed on its line: add \"") : controlCharacter()
            }
        }
        throw start.error("the string is not closed on its line: add \"")
    }

    /// `'…'` without escapes, on one line.
    mutating func literalString() throws(TOMLError) -> String {
        let start = self
        index += 1
        let text = takeWhile { $0 == 0x09 || ($0 >= 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "'")) }
        guard take(UInt8(ascii: "'")) else {
            throw peek == nil || sees("\n") || sees("\r\n")
                ? start.error("the string is not closed on its line: add '") : controlCharacter()
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// `"""…"""` or `'''…'''`. A line end right behind the opening is no part of it; one or two quotes may stand before the closing.
    mutating func multilineString(_ quote: UInt8) throws(TOMLError) -> String {
        let start = self
        index += 3
        _ = takeNewline()
        var text: [UInt8] = []
        while let byte = peek {
            if byte == quote {
                let quotes = takeWhile { $0 == quote }.count
                guard quotes >= 3 else {
                    text += [UInt8](repeating: quote, count: quotes)
                    continue
                }
                guard quotes <= 5 else { throw error("too many quotes at the end of the string") }
                text += [UInt8](repeating: quote, count: quotes - 3)
                return String(decoding: text, as: UTF8.self)
            }
            if takeNewline() {
                text.append(UInt8(ascii: "\n"))
            } else if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
                text += try multilineEscape()
            } else if byte == 0x09 || (byte >= 0x20 && byte != 0x7F) {
                text.append(byte)
                index += 1
            } else {
                throw controlCharacter()
            }
        }
        throw start.error("the string is not closed: add three quotes")
    }

    /// An escape, or a backslash at the end of a line, which takes away all white space up to the next character.
    private mutating func multilineEscape() throws(TOMLError) -> [UInt8] {
        var ahead = self
        ahead.index += 1
        ahead.skipSpace()
        guard ahead.takeNewline() else { return try escape() }
        repeat { ahead.skipSpace() } while ahead.takeNewline()
        self = ahead
        return []
    }

    private mutating func escape() throws(TOMLError) -> [UInt8] {
        let start = self
        index += 1
        let kind = peek
        index = min(index + 1, bytes.count)
        switch kind {
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): return kind.map { [$0] } ?? []
        case UInt8(ascii: "u"), UInt8(ascii: "U"):
            let digits = bytes[index...].prefix(kind == UInt8(ascii: "u") ? 4 : 8)
            let wanted = kind == UInt8(ascii: "u") ? 4 : 8
            if digits.count == wanted, digits.allSatisfy(TOMLCursor.isHexDigit),
                let code = UInt32(String(decoding: digits, as: UTF8.self), radix: 16),
                let scalar = Unicode.Scalar(code)
            {
                index += wanted
                return Array(String(Character(scalar)).utf8)
            }
        default: break
        }
        throw start.error("the escape is not known: a backslash itself is written \\\\, or the string in single quotes")
    }

    private func controlCharacter() -> TOMLError { error("a control character in a string: write it as \\uXXXX in double quotes") }

    // MARK: Bytes

    static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    static func isHexDigit(_ byte: UInt8) -> Bool {
        isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "F")).contains(byte)
    }

    static func isKeyByte(_ byte: UInt8) -> Bool {
        isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
            || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
    }

    static func isScalarByte(_ byte: UInt8) -> Bool {
        isKeyByte(byte) || byte == UInt8(ascii: "+") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: ":")
    }
}
