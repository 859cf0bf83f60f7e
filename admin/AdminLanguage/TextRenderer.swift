/// What a renderer wants written: `out` to standard output, `err` to standard error. Whole lines.
public struct Rendered: Equatable, Sendable {
    /// For standard output.
    public var out = ""
    /// For standard error.
    public var err = ""
    /// Nothing, unless it is given.
    public init(out: String = "", err: String = "") {
        self.out = out
        self.err = err
    }
}

/// Shows a reply to people: facts under each other, tables with aligned columns, sentences as they are.
///
/// Rows are held until `window` of them have come, so that the widths fit; a longer table keeps the widths of its first
/// window and goes on line by line, so memory stays bounded whatever the server sends.
///
/// On a terminal the widest texts of a table give way until it fits, numbers never: sentences go on below their beginning, names lose
/// their middle. Where that leaves too little, rows are shown as facts. Long values of facts go on in further lines.
public struct TextRenderer: Sendable {
    private static let window = 1000
    /// A column of texts narrower than this says nothing any more.
    private static let narrowest = 8
    /// The cells of a line of the terminal; nil: as long as it takes.
    private let width: Int?
    /// The columns it goes without first.
    private let dispensable: [String]
    /// The places of the columns that are shown, when they are not all.
    private var kept: [Int]?
    private var columns: [String] = []
    private var rows: [[ReplyValue]] = []
    private var widths: [Int]?
    /// Whether the table does not fit, and its rows are shown as facts.
    private var isBlocks = false
    private var rightAligned: [Bool] = []
    /// The columns of sentences, which say nothing when their middle is missing.
    private var isProse: [Bool] = []
    private var facts: [(String, ReplyValue)] = []
    /// Whether something was printed before, so that the next block is set off.
    private var hasBlock = false

    /// A renderer before the first line of a reply.
    ///
    /// - Parameters:
    ///   - width: the cells of a line of the terminal; nil where there is none: then nothing is shortened.
    ///   - dispensable: columns that a table goes without before its texts are shortened, the first first.
    public init(width: Int? = nil, dispensable: [String] = []) {
        self.width = width
        self.dispensable = dispensable
    }

    /// Takes the next line of the reply.
    public mutating func take(_ line: ReplyLine) -> Rendered {
        switch line {
        case .fact(let key, let value):
            let shown = flushTable()
            facts.append((Words.visible(key), value))
            return Rendered(out: shown)
        case .table(_, let names):
            let shown = flush()
            columns = names.map { Words.visible($0) }
            return Rendered(out: shown)
        case .row(let values):
            let shown = flushFacts()
            rows.append(values)
            guard rows.count >= TextRenderer.window || widths != nil else { return Rendered(out: shown) }
            return Rendered(out: shown + flushRows())
        case .progress, .prompt: return Rendered()
        case .warning(let sentence): return Rendered(err: "warning: \(Words.visible(sentence))\n")
        case .prose(let text):
            let shown = flush()
            hasBlock = true
            return Rendered(out: shown + Words.visible(text) + "\n")
        case .ok(let sentence):
            let shown = flush()
            defer { self = TextRenderer(width: width, dispensable: dispensable) }
            return Rendered(out: shown + (sentence.isEmpty ? "" : Words.visible(sentence) + "\n"))
        case .error(_, let sentence):
            let shown = flush()
            defer { self = TextRenderer(width: width, dispensable: dispensable) }
            return Rendered(out: shown, err: "martletctl: \(Words.visible(sentence))\n")
        }
    }

    private mutating func flush() -> String { flushFacts() + flushTable() }

    private mutating func block() -> String {
        defer { hasBlock = true }
        return hasBlock ? "\n" : ""
    }

    private mutating func flushFacts() -> String {
        guard !facts.isEmpty else { return "" }
        defer { facts = [] }
        return block() + lines(facts.map { ($0.0, TextRenderer.cell($0.1)) })
    }

    /// Keys and values under each other; a value that is too long goes on below its beginning.
    private func lines(_ facts: [(key: String, value: String)]) -> String {
        let keys = facts.map { CellWidth.of($0.key) }.max() ?? 0
        let indent = keys + 2
        var text = ""
        for (key, value) in facts {
            let start = TextRenderer.padded(key, keys, right: false) + "  "
            guard let width, indent + CellWidth.of(value) > width else {
                text += start + value + "\n"
                continue
            }
            if width - indent >= 20 {
                text +=
                    start + CellWidth.wrapped(value, cells: width - indent).joined(separator: "\n" + String(repeating: " ", count: indent))
                    + "\n"
            } else {
                text += key + "\n    " + CellWidth.wrapped(value, cells: width - 4).joined(separator: "\n    ") + "\n"
            }
        }
        return text
    }

    private mutating func flushTable() -> String {
        defer {
            columns = []
            widths = nil
            kept = nil
            isBlocks = false
        }
        guard !columns.isEmpty, (widths == nil && !isBlocks) || !rows.isEmpty else { return "" }
        return flushRows()
    }

    private mutating func flushRows() -> String {
        defer { rows = [] }
        var text = ""
        let isFirst = widths == nil && !isBlocks
        if isFirst { spare() }
        if let kept { rows = rows.map { row in kept.map { $0 < row.count ? row[$0] : .none } } }
        let cells = rows.map { $0.map(TextRenderer.cell) }
        if isFirst {
            var natural = columns.map { CellWidth.of($0) }
            rightAligned = columns.indices.map { column in
                let values = rows.compactMap { column < $0.count ? $0[column] : nil }.filter { $0 != .none }
                return !values.isEmpty && values.allSatisfy(TextRenderer.isNumber)
            }
            isProse = columns.indices.map { column in
                cells.contains { column < $0.count && TextRenderer.isSentence($0[column]) }
            }
            for row in cells {
                for (column, cell) in row.enumerated() where column < natural.count {
                    natural[column] = max(natural[column], CellWidth.of(cell))
                }
            }
            text = block()
            if let fitting = fitting(natural) {
                widths = fitting
                text += line(columns.map { $0.uppercased() }, fitting)
            } else {
                isBlocks = true
            }
        }
        for (number, row) in cells.enumerated() {
            if isBlocks {
                if number > 0 || !isFirst { text += "\n" }
                text += lines(Array(zip(columns, row)))
            } else {
                text += line(row, widths ?? [])
            }
        }
        return text
    }

    /// Goes without columns, one after the other, until the table fits as it is.
    private mutating func spare() {
        guard let width else { return }
        let natural = columns.indices.map { column in
            rows.reduce(CellWidth.of(columns[column])) { max($0, column < $1.count ? CellWidth.of(TextRenderer.cell($1[column])) : 0) }
        }
        var left = Array(columns.indices)
        for name in dispensable where left.reduce(0, { $0 + natural[$1] + 2 }) - 2 > width { left.removeAll { columns[$0] == name } }
        guard left.count < columns.count else { return }
        kept = left
        columns = left.map { columns[$0] }
    }

    /// The widths with which a table fits: the widest texts are cut to one measure. nil: it does not fit.
    private func fitting(_ natural: [Int]) -> [Int]? {
        guard let width else { return natural }
        let room = width - 2 * (natural.count - 1)
        let fixed = natural.indices.filter { rightAligned[$0] }.reduce(0) { $0 + natural[$1] }
        let texts = natural.indices.filter { !rightAligned[$0] }.map { natural[$0] }
        guard fixed + texts.reduce(0, +) > room else { return natural }
        var left = room - fixed
        var measure = 0
        // From the narrowest: each takes what it needs, as long as the others could have as much.
        for (number, natural) in texts.sorted().enumerated() {
            measure = max(left, 0) / (texts.count - number)
            guard natural <= measure else { break }
            left -= natural
        }
        guard measure >= TextRenderer.narrowest else { return nil }
        return natural.indices.map { rightAligned[$0] ? natural[$0] : min(natural[$0], measure) }
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        var parts: [[String]] = []
        for (column, cell) in cells.enumerated() {
            let room = column < widths.count ? widths[column] : 0
            if width == nil || isRight(column) || CellWidth.of(cell) <= room {
                parts.append([cell])
            } else if column < isProse.count, isProse[column] {
                parts.append(CellWidth.wrapped(cell, cells: room))
            } else {
                parts.append([CellWidth.shortened(cell, to: room)])
            }
        }
        var text = ""
        for number in 0..<max(parts.lazy.map(\.count).max() ?? 0, 1) {
            var line = ""
            // What is left of a sentence stands below it; nothing is written behind the last word.
            for (column, part) in parts.enumerated() where parts[column...].contains(where: { number < $0.count }) {
                let isLast = !parts[(column + 1)...].contains { number < $0.count }
                let right = isRight(column)
                let room = column < widths.count ? widths[column] : 0
                line +=
                    TextRenderer.padded(number < part.count ? part[number] : "", isLast && !right ? 0 : room, right: right)
                    + (isLast ? "" : "  ")
            }
            text += line + "\n"
        }
        return text
    }

    private func isRight(_ column: Int) -> Bool { column < rightAligned.count && rightAligned[column] }

    /// Four words or more.
    private static func isSentence(_ cell: String) -> Bool { cell.utf8.lazy.filter { $0 == UInt8(ascii: " ") }.count >= 3 }

    static func padded(_ text: String, _ width: Int, right: Bool) -> String {
        let space = String(repeating: " ", count: max(0, width - CellWidth.of(text)))
        return right ? space + text : text + space
    }

    private static func isNumber(_ value: ReplyValue) -> Bool {
        switch value {
        case .integer, .number: true
        case .flag, .text, .none: false
        }
    }

    static func cell(_ value: ReplyValue) -> String {
        switch value {
        case .none: "-"
        case .flag(let flag): flag ? "yes" : "no"
        case .integer(let integer): "\(integer)"
        case .number(let number): "\(number)"
        case .text(let text): Words.visible(text)
        }
    }
}
