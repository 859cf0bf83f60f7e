internal import AdminLanguage
internal import Glibc

/// The lines of a descriptor, for whoever reads next: a script, and the commands in it that ask for passwords and lines.
final class Input {
    /// The longest line; a file without line ends is none of ours.
    private static let longest = 1_048_576

    let descriptor: Int32
    let isTerminal: Bool
    /// Whether a line with a dot alone ends the lines a command takes, because other commands may follow.
    let endsAtDot: Bool
    /// Whether nothing more can be read; lines may be left.
    private(set) var isAtEnd = false
    private var buffer: [UInt8] = []
    private var start = 0
    private let isOwned: Bool

    init(_ descriptor: Int32, endsAtDot: Bool, isOwned: Bool = false) {
        self.descriptor = descriptor
        self.endsAtDot = endsAtDot
        self.isOwned = isOwned
        isTerminal = isatty(descriptor) == 1
    }

    /// A file of which a command takes everything.
    convenience init(file path: String) throws(Failure) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(.failure, "\(path): \(String(cString: strerror(errno)))") }
        self.init(descriptor, endsAtDot: false, isOwned: true)
    }

    deinit { if isOwned { close(descriptor) } }

    /// Reads once; waits when there is nothing.
    func fill() throws(Failure) {
        if start > 0 {
            buffer.removeSubrange(..<start)
            start = 0
        }
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = read(descriptor, &chunk, chunk.count)
        if count < 0 {
            guard errno == EINTR || errno == EAGAIN else {
                throw Failure(.failure, "standard input cannot be read (\(String(cString: strerror(errno))))")
            }
            return
        }
        guard count > 0 else {
            isAtEnd = true
            return
        }
        buffer += chunk[..<count]
        guard buffer.count <= Self.longest || buffer.contains(UInt8(ascii: "\n")) else {
            throw Failure(.usage, "standard input has a line of more than \(Self.longest) bytes")
        }
    }

    /// The next line without its end, of those that were read; at the end also one that nothing ends.
    func next() -> [UInt8]? {
        if let end = buffer[start...].firstIndex(of: UInt8(ascii: "\n")) {
            defer { start = end + 1 }
            return Array(buffer[start..<end])
        }
        guard isAtEnd, start < buffer.count else { return nil }
        defer { start = buffer.count }
        return Array(buffer[start...])
    }

    /// The next line, waited for; nil at the end.
    func line() throws(Failure) -> [UInt8]? {
        while true {
            if let line = next() { return line }
            guard !isAtEnd else { return nil }
            try fill()
        }
    }

    /// A terminal whose end was typed can be read on.
    func resume() { if isTerminal { isAtEnd = false } }
}
