/// The XML declaration of a stream, checked by the stream's own rules so that the parser never sees it (RFC 6120 §11.4 to §11.6).
enum XMLDeclaration {
    /// - Parameter bytes: from `<?` to the first '>'.
    /// - Throws: `.unsupportedEncoding` for an encoding other than UTF-8, `.restricted` for another processing instruction,
    ///   `.notWellFormed` for anything else that is not `<?xml version='1.0' encoding='UTF-8' standalone='…'?>`.
    static func check(_ bytes: UnsafeRawBufferPointer) throws(ParseError) {
        var cursor = Cursor(bytes)
        guard cursor.take("<?xml"), let next = cursor.peek, Cursor.isSpace(next) else { throw ParseError(.restricted) }
        guard let version = cursor.pseudoAttribute("version"), version == Array("1.0".utf8) else { throw ParseError(.notWellFormed) }
        if let encoding = cursor.pseudoAttribute("encoding") {
            guard encoding.count == 5, zip(encoding, "utf-8".utf8).allSatisfy({ lowercase($0) == $1 }) else {
                throw ParseError(.unsupportedEncoding)
            }
        }
        if let standalone = cursor.pseudoAttribute("standalone") {
            guard standalone == Array("yes".utf8) || standalone == Array("no".utf8) else { throw ParseError(.notWellFormed) }
        }
        guard cursor.take("?>", afterSpace: true), cursor.peek == nil else { throw ParseError(.notWellFormed) }
    }

    private static func lowercase(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte }

    private struct Cursor {
        private let bytes: UnsafeRawBufferPointer
        private var position = 0

        init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

        static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }

        var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

        /// Takes `literal` if it stands here, after white space if that is allowed.
        mutating func take(_ literal: StaticString, afterSpace: Bool = false) -> Bool {
            let saved = position
            if afterSpace { skipSpace() }
            let length = literal.utf8CodeUnitCount
            guard bytes.count - position >= length else {
                position = saved
                return false
            }
            for i in 0..<length where bytes[position + i] != literal.utf8Start[i] {
                position = saved
                return false
            }
            position += length
            return true
        }

        /// The value of `name='value'` behind white space, or nil with nothing taken.
        mutating func pseudoAttribute(_ name: StaticString) -> [UInt8]? {
            let saved = position
            guard let first = peek, Self.isSpace(first), take(name, afterSpace: true), take("=", afterSpace: true) else {
                position = saved
                return nil
            }
            skipSpace()
            guard let quote = peek, quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
                position = saved
                return nil
            }
            position += 1
            let start = position
            while let byte = peek, byte != quote { position += 1 }
            guard peek != nil else {
                position = saved
                return nil
            }
            let value = Array(bytes[start..<position])
            position += 1
            return value
        }

        private mutating func skipSpace() {
            while let byte = peek, Self.isSpace(byte) { position += 1 }
        }
    }
}
