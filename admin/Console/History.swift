/// The lines a person wrote, oldest first.
public struct History: Sendable {
    /// How many lines are kept.
    public static let most = 1000
    /// The lines.
    public private(set) var lines: [String] = []

    public init() {}

    /// Reads what `text` wrote; lines that are not UTF-8 or cannot be typed are left out.
    public init(_ bytes: some Sequence<UInt8>) {
        for line in Array(bytes).split(separator: UInt8(ascii: "\n")) {
            guard let line = String(validating: line, as: UTF8.self) else { continue }
            add(line)
        }
    }

    /// Keeps a line. Not kept: empty ones, the same again, and what begins with a space, as shells have it.
    ///
    /// - Returns: Whether it is kept.
    @discardableResult
    public mutating func add(_ line: String) -> Bool {
        guard line.contains(where: { $0 != " " }), line.utf8.first != UInt8(ascii: " "), line != lines.last,
            !line.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F })
        else { return false }
        lines.append(line)
        if lines.count > Self.most { lines.removeFirst(lines.count - Self.most) }
        return true
    }

    /// A line each.
    public var text: String { lines.map { $0 + "\n" }.joined() }
}
