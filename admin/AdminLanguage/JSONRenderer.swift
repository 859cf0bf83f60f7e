/// Shows a reply to programs: one JSON value, on one line.
///
/// - One table and nothing else: an array of objects.
/// - Facts, prose, or several tables: one object; facts by their keys (a key that came again gives an array), tables by their
///   names, prose as `text`.
/// - No data: `{"ok":true,"message":…}`, or `{"error":{"code":…,"message":…}}`.
///
/// An error behind data (`partial`) leaves the data as it is; it is told on standard error and by the exit status, as
/// warnings are.
public struct JSONRenderer: Sendable {
    private struct Member {
        var key: String
        var values: [String]
        /// Whether it is an array even with one value or none.
        var isList: Bool
    }

    private var members: [Member] = []
    private var columns: [String] = []
    private var tables = 0

    /// A renderer before the first line of a reply.
    public init() {}

    /// Takes the next line of the reply; the value comes with the last.
    public mutating func take(_ line: ReplyLine) -> Rendered {
        switch line {
        case .fact(let key, let value): add(key, JSONRenderer.json(value), isList: false)
        case .table(let name, let names):
            tables += 1
            columns = JSONRenderer.unique(names)
            add(name, nil, isList: true)
            table = members.firstIndex { $0.key == name }
        case .row(let values):
            guard let table, table < members.count else { return Rendered() }
            members[table].values.append(
                JSONRenderer.object(zip(columns, values).map { ($0, JSONRenderer.json($1)) }))
        case .prose(let text): add("text", JSONRenderer.string(text), isList: true)
        case .progress, .prompt: break
        case .warning(let sentence): return Rendered(err: "warning: \(Words.visible(sentence))\n")
        case .ok(let sentence):
            let message = sentence.isEmpty ? [] : [("message", JSONRenderer.string(sentence))]
            return finish(empty: [("ok", "true")] + message)
        case .error(let code, let sentence):
            let details = JSONRenderer.object([("code", JSONRenderer.string(code.rawValue)), ("message", JSONRenderer.string(sentence))])
            var rendered = finish(empty: [("error", details)])
            rendered.err = "martletctl: \(Words.visible(sentence))\n"
            return rendered
        }
        return Rendered()
    }

    /// The member the rows of the current table go to.
    private var table: Int?

    private mutating func add(_ key: String, _ value: String?, isList: Bool) {
        let added = value.map { [$0] } ?? []
        guard let index = members.firstIndex(where: { $0.key == key }) else {
            members.append(Member(key: key, values: added, isList: isList))
            return
        }
        members[index].values += added
        members[index].isList = true
    }

    private mutating func finish(empty: [(String, String)]) -> Rendered {
        defer { self = JSONRenderer() }
        if members.isEmpty { return Rendered(out: JSONRenderer.object(empty) + "\n") }
        if members.count == 1, tables > 0 { return Rendered(out: JSONRenderer.array(members[0].values) + "\n") }
        return Rendered(
            out: JSONRenderer.object(members.map { ($0.key, $0.isList ? JSONRenderer.array($0.values) : $0.values.first ?? "null") }) + "\n"
        )
    }

    /// Column names as member names: one that comes again gets its place behind it.
    static func unique(_ names: [String]) -> [String] {
        var seen = Set<String>()
        return names.enumerated().map { index, name in
            var unique = name
            while !seen.insert(unique).inserted { unique += "_\(index + 1)" }
            return unique
        }
    }

    private static func array(_ values: [String]) -> String { "[\(values.joined(separator: ","))]" }

    static func object(_ members: [(String, String)]) -> String {
        "{\(members.map { "\(string($0.0)):\($0.1)" }.joined(separator: ","))}"
    }

    static func json(_ value: ReplyValue) -> String {
        switch value {
        case .none: "null"
        case .flag(let flag): flag ? "true" : "false"
        case .integer(let integer): "\(integer)"
        case .number(let number): number.isFinite ? "\(number)" : "null"
        case .text(let text): string(text)
        }
    }

    /// RFC 8259 §7; hidden characters are escaped too, so that the line is safe on a terminal.
    static func string(_ text: String) -> String {
        var json = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": json += "\\\""
            case "\\": json += "\\\\"
            case "\n": json += "\\n"
            case "\r": json += "\\r"
            case "\t": json += "\\t"
            case _ where Words.isHidden(scalar):
                let hex = String(scalar.value, radix: 16)
                json += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: json.unicodeScalars.append(scalar)
            }
        }
        return json + "\""
    }
}
