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
public struct TextRenderer: Sendable {
    private static let window = 1000
    private var columns: [String] = []
    private var rows: [[ReplyValue]] = []
    private var widths: [Int]?
    private var rightAligned: [Bool] = []
    private var facts: [(String, ReplyValue)] = []
    /// Whether something was printed before, so that the next block is set off.
    private var hasBlock = false

    /// A renderer before the first line of a reply.
    public init() {}

    /// Takes the next line of the reply.
    public mutating func take(_ line: ReplyLine) -> Rendered {
        switch line {
        case .fact(let key, let value):
            let shown = flushTable()
            facts.append((key, value))
            return Rendered(out: shown)
        case .table(_, let names):
            let shown = flush()
            columns = names
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
            defer { self = TextRenderer() }
            return Rendered(out: shown + (sentence.isEmpty ? "" : Words.visible(sentence) + "\n"))
        case .error(_, let sentence):
            let shown = flush()
            defer { self = TextRenderer() }
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
        let width = facts.map { $0.0.count }.max() ?? 0
        return facts.reduce(into: block()) { text, fact in
            text += TextRenderer.padded(fact.0, width, right: false) + "  " + TextRenderer.cell(fact.1) + "\n"
        }
    }

    private mutating func flushTable() -> String {
        defer {
            columns = []
            widths = nil
        }
        guard !columns.isEmpty, widths == nil || !rows.isEmpty else { return "" }
        return flushRows()
    }

    private mutating func flushRows() -> String {
        defer { rows = [] }
        var text = ""
        let cells = rows.map { $0.map(TextRenderer.cell) }
        if widths == nil {
            var fitting = columns.map(\.count)
            rightAligned = columns.indices.map { column in
                let values = rows.compactMap { column < $0.count ? $0[column] : nil }.filter { $0 != .none }
                return !values.isEmpty && values.allSatisfy(TextRenderer.isNumber)
            }
            for row in cells {
                for (column, cell) in row.enumerated() where column < fitting.count { fitting[column] = max(fitting[column], cell.count) }
            }
            widths = fitting
            text = block() + line(columns.map { $0.uppercased() }, fitting)
        }
        for row in cells { text += line(row, widths ?? []) }
        return text
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        var text = ""
        for (column, cell) in cells.enumerated() {
            let isLast = column == cells.count - 1
            let right = column < rightAligned.count && rightAligned[column]
            let width = column < widths.count && !(isLast && !right) ? widths[column] : 0
            text += TextRenderer.padded(cell, width, right: right) + (isLast ? "" : "  ")
        }
        return text + "\n"
    }

    static func padded(_ text: String, _ width: Int, right: Bool) -> String {
        let space = String(repeating: " ", count: max(0, width - text.count))
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
