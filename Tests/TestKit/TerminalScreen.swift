import AdminLanguage

/// What is seen on a terminal of the kind of xterm: as much of ECMA-48 as the console writes. What it does not know it counts in
/// `unknown`, so that a test sees it.
public struct TerminalScreen: Sendable {
    public private(set) var width: Int
    public private(set) var height: Int
    /// Where the cursor stands, from 0.
    public private(set) var row = 0
    public private(set) var column = 0
    /// Sequences that it does not know.
    public private(set) var unknown: [String] = []
    /// Whether the terminal was asked to mark pastes.
    public private(set) var marksPastes = false
    /// Whether the second screen is shown, which full-screen programs use.
    public private(set) var isAlternate = false
    /// How often the bell rang.
    public private(set) var bells = 0
    /// Lines that left the screen at its top.
    public private(set) var scrolled: [String] = []
    private var cells: [[String]]
    private var saved: (cells: [[String]], row: Int, column: Int)?
    /// The last cell of a row was written: what follows goes over.
    private var isFull = false
    private var pending: [UInt8] = []

    public init(width: Int = 80, height: Int = 24) {
        self.width = width
        self.height = height
        cells = Array(repeating: Array(repeating: " ", count: width), count: height)
    }

    /// The rows, without the spaces at their ends.
    public var lines: [String] { cells.map(Self.text) }

    /// All that was and is seen, row by row, without empty rows at the end.
    public var text: String {
        var all = scrolled + lines
        while all.last == "" { all.removeLast() }
        return all.joined(separator: "\n")
    }

    /// The row of the cursor.
    public var line: String { lines[row] }

    private static func text(_ row: [String]) -> String {
        var text = row.joined()
        while text.last == " " { text.removeLast() }
        return text
    }

    public mutating func write(_ text: String) { write(Array(text.utf8)) }

    /// Takes bytes as they come.
    public mutating func write(_ bytes: some Sequence<UInt8>) {
        pending += bytes
        // A scalar or a sequence may be cut anywhere.
        while let count = step() { pending.removeFirst(count) }
    }

    private mutating func step() -> Int? {
        guard let first = pending.first else { return nil }
        switch first {
        case 0x0D: column = 0
        case 0x0A: lineFeed()
        case 0x08: column = max(column - 1, 0)
        case 0x07: bells += 1
        case 0x1B: return sequence()
        case 0x00..<0x20: unknown.append("control \(first)")
        default:
            let count = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
            guard pending.count >= count else { return nil }
            put(String(decoding: pending.prefix(count), as: UTF8.self))
            return count
        }
        isFull = false
        return 1
    }

    private mutating func put(_ scalar: String) {
        // A mark joins what stands before it.
        var before = isFull ? column : column - 1
        if before > 0, cells[row][before].isEmpty { before -= 1 }
        if before >= 0, (cells[row][before] + scalar).count == 1 {
            cells[row][before] += scalar
            return
        }
        let count = CellWidth.of(scalar)
        if isFull || column + count > width {
            column = 0
            lineFeed()
        }
        isFull = false
        cells[row][column] = scalar
        if count == 2 { cells[row][column + 1] = "" }
        if column + count >= width {
            column = width - 1
            isFull = true
        } else {
            column += count
        }
    }

    private mutating func lineFeed() {
        guard row == height - 1 else {
            row += 1
            return
        }
        let gone = cells.removeFirst()
        if !isAlternate { scrolled.append(Self.text(gone)) }
        cells.append(Array(repeating: " ", count: width))
    }

    private mutating func sequence() -> Int? {
        guard pending.count > 1 else { return nil }
        guard pending[1] == UInt8(ascii: "[") else {
            unknown.append("escape \(pending[1])")
            return 2
        }
        guard let end = pending.indices.dropFirst(2).first(where: { (0x40...0x7E).contains(pending[$0]) }) else { return nil }
        let body = String(decoding: pending[2..<end], as: UTF8.self)
        let number = Int(body.split(separator: ";").first ?? "") ?? 0
        let count = max(number, 1)
        isFull = false
        switch (pending[end], body) {
        case (UInt8(ascii: "A"), _): row = max(row - count, 0)
        case (UInt8(ascii: "B"), _): row = min(row + count, height - 1)
        case (UInt8(ascii: "C"), _): column = min(column + count, width - 1)
        case (UInt8(ascii: "D"), _): column = max(column - count, 0)
        case (UInt8(ascii: "H"), ""): (row, column) = (0, 0)
        case (UInt8(ascii: "J"), ""), (UInt8(ascii: "J"), "0"):
            clearRow(from: column)
            for row in cells.indices.dropFirst(row + 1) { cells[row] = Array(repeating: " ", count: width) }
        case (UInt8(ascii: "J"), "2"): cells = Array(repeating: Array(repeating: " ", count: width), count: height)
        case (UInt8(ascii: "K"), ""): clearRow(from: column)
        case (UInt8(ascii: "m"), _): break
        case (UInt8(ascii: "h"), "?2004"): marksPastes = true
        case (UInt8(ascii: "l"), "?2004"): marksPastes = false
        case (UInt8(ascii: "h"), "?1049"):
            saved = (cells, row, column)
            isAlternate = true
            cells = Array(repeating: Array(repeating: " ", count: width), count: height)
        case (UInt8(ascii: "l"), "?1049"):
            if let saved { (cells, row, column) = saved }
            saved = nil
            isAlternate = false
        case (UInt8(ascii: "h"), "?25"), (UInt8(ascii: "l"), "?25"): break
        default: unknown.append(body + String(Character(Unicode.Scalar(pending[end]))))
        }
        return end + 1
    }

    private mutating func clearRow(from column: Int) {
        for column in column..<width { cells[row][column] = " " }
    }
}
