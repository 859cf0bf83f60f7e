/// Cuts a stream of bytes into lines, with a bound on their length. Both ends of the admin socket use it.
public struct LineFramer: Sendable {
    /// What `next` found.
    public enum Line: Equatable, Sendable {
        /// A whole line, without its line feed and without a carriage return before that.
        case text(String)
        /// A line longer than the bound. All of it was dropped; the next line is whole again.
        case tooLong
        /// A line that is not UTF-8.
        case notUTF8
    }

    /// The most bytes of a line without its line feed. May be changed between two lines.
    public var longest: Int
    private var buffer: [UInt8] = []
    /// Where the first line not yet handed out begins.
    private var start = 0
    /// Up to where no line feed was found.
    private var scanned = 0
    /// Whether the line being read is over the bound already and only its end is awaited.
    private var isDropping = false

    /// - Parameter longest: the most bytes of a line without its line feed; at most this much, and what was appended last,
    ///   is ever held.
    public init(longest: Int) {
        self.longest = max(longest, 1)
    }

    /// Adds bytes as they came. Take the lines out with `next` before adding more.
    public mutating func append(_ bytes: some Sequence<UInt8>) {
        if start > 0 {
            buffer.removeSubrange(..<start)
            scanned -= start
            start = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// The next line, or `nil` when there is no whole one.
    public mutating func next() -> Line? {
        guard let end = buffer[scanned...].firstIndex(of: UInt8(ascii: "\n")) else {
            scanned = buffer.count
            // One byte more than the bound, for the carriage return.
            if isDropping || buffer.count - start > longest + 1 {
                isDropping = true
                buffer.removeAll()
                start = 0
                scanned = 0
            }
            return nil
        }
        var line = buffer[start..<end]
        start = end + 1
        scanned = start
        if isDropping {
            isDropping = false
            return .tooLong
        }
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        guard line.count <= longest else { return .tooLong }
        guard let text = String(validating: line, as: UTF8.self) else { return .notUTF8 }
        return .text(text)
    }

    /// The bytes held that are not a whole line yet.
    public var pending: Int { buffer.count - start }
}
