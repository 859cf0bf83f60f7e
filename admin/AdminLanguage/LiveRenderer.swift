/// Shows a reply without end, line by line as it comes.
///
/// To people a trace reads as stories: what a stanza is stands at its first station, and again where it becomes another, as an error or
/// a copy. To programs each row is one JSON object on a line of its own, and nothing else is on standard output.
public struct LiveRenderer: Sendable {
    /// Stanzas whose header is remembered.
    private static let remembered = 4_096

    private let isJSON: Bool
    private var columns: [String] = []
    private var facts: [String] = []
    private var widths: [Int] = []
    /// What each stanza was called last.
    private var headers: [String: String] = [:]
    private var isTrace = false

    /// - Parameter isJSON: for programs.
    public init(isJSON: Bool) { self.isJSON = isJSON }

    /// Takes the next line of the reply.
    public mutating func take(_ line: ReplyLine) -> Rendered {
        switch line {
        case .fact(let key, let value):
            facts.append("\(Words.visible(key)) \(TextRenderer.cell(value))")
            return Rendered()
        case .table(let name, let names):
            columns = JSONRenderer.unique(names)
            isTrace = name == "trace"
            widths = names.map(\.count)
            defer { facts = [] }
            return isJSON || facts.isEmpty ? Rendered() : Rendered(err: facts.joined(separator: ", ") + "; ctrl-c ends it\n")
        case .row(let values):
            if isJSON { return Rendered(out: JSONRenderer.object(zip(columns, values).map { ($0, JSONRenderer.json($1)) }) + "\n") }
            return Rendered(out: isTrace ? station(values) : row(values))
        case .progress, .prompt: return Rendered()
        case .warning(let sentence): return Rendered(err: "warning: \(Words.visible(sentence))\n")
        case .prose(let text): return isJSON ? Rendered() : Rendered(out: Words.visible(text) + "\n")
        case .ok(let sentence): return Rendered(err: sentence.isEmpty ? "" : Words.visible(sentence) + "\n")
        case .error(_, let sentence): return Rendered(err: "martletctl: \(Words.visible(sentence))\n")
        }
    }

    /// A row of any table: as wide as what came before.
    private mutating func row(_ values: [ReplyValue]) -> String {
        let cells = values.map(TextRenderer.cell)
        for (column, cell) in cells.enumerated() where column < widths.count { widths[column] = max(widths[column], min(cell.count, 40)) }
        let padded = cells.enumerated().map { column, cell in
            column == cells.count - 1 ? cell : TextRenderer.padded(cell, column < widths.count ? widths[column] : 0, right: false)
        }
        return padded.joined(separator: "  ") + "\n"
    }

    private mutating func station(_ values: [ReplyValue]) -> String {
        let named = Dictionary(zip(columns, values)) { first, _ in first }
        func text(_ column: String) -> String { named[column].map { $0 == .none ? "" : TextRenderer.cell($0) } ?? "" }
        let story = text("stanza")
        let id = text("id")
        let header =
            "\(text("kind")) \(text("type")), \(text("from").isEmpty ? "-" : text("from")) to \(text("to").isEmpty ? "-" : text("to"))"
            + (id.isEmpty ? "" : ", id \(id)")
        let place = TextRenderer.padded("\(text("node"))/\(text("loop"))", 5, right: false)
        var line = "\(text("time")) \(story) \(place) \(TextRenderer.padded(text("station"), 12, right: false))"
        if headers[story] != header {
            if headers.count >= Self.remembered { headers.removeAll() }
            headers[story] = header
            line += " [\(header)]"
        }
        if !text("detail").isEmpty { line += " " + text("detail") }
        if !text("content").isEmpty { line += "\n    " + text("content") }
        return line + "\n"
    }
}
