/// A reader of TOML 1.0 that keeps the place of every key and value.
///
/// The library readers at hand give the values without their lines, and an error that cannot say where is no help to the
/// one who must mend it. Nesting is bounded, every byte is looked at once, and nothing in a file can stop the process.
struct TOMLParser {
    /// How deep arrays and inline tables may stand in each other.
    static let deepest = 16

    var cursor: TOMLCursor
    private let root = TOMLTable(.header)
    /// The table of the last header.
    private var section: TOMLTable
    /// The tables dotted keys made in this section; only here may they grow.
    private var dotted: [ObjectIdentifier: TOMLTable] = [:]

    private init(_ bytes: [UInt8]) {
        cursor = TOMLCursor(bytes)
        section = root
    }

    /// Reads a document.
    static func parse(_ text: String) throws(TOMLError) -> TOMLTable {
        var parser = TOMLParser(Array(text.utf8))
        try parser.document()
        return parser.root
    }

    private mutating func document() throws(TOMLError) {
        if cursor.bytes.starts(with: [0xEF, 0xBB, 0xBF]) { cursor.skip(3) }
        while true {
            try cursor.skipBlankLines()
            guard let byte = cursor.peek else { return }
            if byte == UInt8(ascii: "[") { try header() } else { try pair(in: section) }
            try cursor.endLine()
        }
    }

    // MARK: Keys and tables

    private mutating func header() throws(TOMLError) {
        cursor.skip(1)
        let isArray = cursor.take(UInt8(ascii: "["))
        cursor.skipSpace()
        var keys = try dottedKey()
        let last = keys.removeLast()
        guard cursor.take(UInt8(ascii: "]")), !isArray || cursor.take(UInt8(ascii: "]")) else {
            throw cursor.error(isArray ? "the header is not closed: write ]]" : "the header is not closed: write ]")
        }
        dotted = [:]
        var table = root
        for key in keys { table = try descend(into: key, of: table) }
        if isArray {
            section = TOMLTable(.header)
            let element = TOMLNode(value: .table(section), position: last.position)
            if table[last.name] == nil {
                table.add(last.name, at: last.position, TOMLNode(value: .array([element]), position: last.position))
                table.tableArrays.insert(last.name)
            } else if table.tableArrays.contains(last.name) {
                table.append(element, to: last.name)
            } else {
                throw TOMLError(
                    position: last.position, sentence: "\"\(last.name)\" is something else already: it cannot become an array of tables")
            }
            return
        }
        guard let entry = table[last.name] else {
            section = TOMLTable(.header)
            table.add(last.name, at: last.position, TOMLNode(value: .table(section), position: last.position))
            return
        }
        guard case .table(let standing) = entry.node.value, standing.origin == .implied else {
            throw TOMLError(
                position: last.position,
                sentence: "\"\(last.name)\" stands already in line \(entry.position.line): write everything of it there")
        }
        standing.origin = .header
        section = standing
    }

    /// The table a part of a header names: made when it is not there, the last element of an array of tables.
    private func descend(into key: Key, of table: TOMLTable) throws(TOMLError) -> TOMLTable {
        guard let entry = table[key.name] else {
            let made = TOMLTable(.implied)
            table.add(key.name, at: key.position, TOMLNode(value: .table(made), position: key.position))
            return made
        }
        switch entry.node.value {
        case .table(let standing) where standing.origin != .inline: return standing
        case .array(let elements) where table.tableArrays.contains(key.name):
            if case .table(let standing)? = elements.last?.value { return standing }
        default: break
        }
        throw TOMLError(
            position: key.position,
            sentence: "\"\(key.name)\" is \(entry.node.kind) in line \(entry.position.line): nothing can be put into it")
    }

    /// `key = value`.
    private mutating func pair(in target: TOMLTable, depth: Int = 0) throws(TOMLError) {
        var keys = try dottedKey()
        guard cursor.take(UInt8(ascii: "=")) else { throw cursor.error("a key without a value: write key = value") }
        cursor.skipSpace()
        let last = keys.removeLast()
        var table = target
        for key in keys {
            guard let entry = table[key.name] else {
                let made = TOMLTable(.dotted)
                dotted[ObjectIdentifier(made)] = made
                table.add(key.name, at: key.position, TOMLNode(value: .table(made), position: key.position))
                table = made
                continue
            }
            guard case .table(let standing) = entry.node.value, standing.origin == .dotted, dotted[ObjectIdentifier(standing)] != nil else {
                throw TOMLError(
                    position: key.position,
                    sentence: "\"\(key.name)\" is \(entry.node.kind) in line \(entry.position.line): write the key there")
            }
            table = standing
        }
        if let entry = table[last.name] {
            throw TOMLError(position: last.position, sentence: "\"\(last.name)\" stands already in line \(entry.position.line): keep one")
        }
        table.add(last.name, at: last.position, try value(depth: depth))
    }

    private struct Key {
        var name: String
        var position: Position
    }

    /// One or more keys with dots between them, and the space behind.
    private mutating func dottedKey() throws(TOMLError) -> [Key] {
        var keys: [Key] = []
        repeat {
            cursor.skipSpace()
            guard keys.count < TOMLParser.deepest else { throw cursor.error("a key of more than \(TOMLParser.deepest) parts") }
            let position = cursor.position
            let name: String
            switch cursor.peek {
            case UInt8(ascii: "\""): name = try cursor.basicString()
            case UInt8(ascii: "'"): name = try cursor.literalString()
            default:
                let bytes = cursor.takeWhile(TOMLCursor.isKeyByte)
                guard !bytes.isEmpty else { throw cursor.error("a key is expected here: letters, digits, '_' and '-'") }
                name = String(decoding: bytes, as: UTF8.self)
            }
            keys.append(Key(name: name, position: position))
            cursor.skipSpace()
        } while cursor.take(UInt8(ascii: "."))
        return keys
    }

    // MARK: Values

    private mutating func value(depth: Int) throws(TOMLError) -> TOMLNode {
        let position = cursor.position
        guard depth < TOMLParser.deepest else { throw cursor.error("values nested deeper than \(TOMLParser.deepest)") }
        let value: TOMLNode.Value
        switch cursor.peek {
        case UInt8(ascii: "\""):
            value = .string(cursor.sees("\"\"\"") ? try cursor.multilineString(UInt8(ascii: "\"")) : try cursor.basicString())
        case UInt8(ascii: "'"):
            value = .string(cursor.sees("'''") ? try cursor.multilineString(UInt8(ascii: "'")) : try cursor.literalString())
        case UInt8(ascii: "["): value = .array(try array(depth: depth))
        case UInt8(ascii: "{"): value = .table(try inlineTable(depth: depth))
        default: value = try scalar()
        }
        return TOMLNode(value: value, position: position)
    }

    private mutating func array(depth: Int) throws(TOMLError) -> [TOMLNode] {
        cursor.skip(1)
        var elements: [TOMLNode] = []
        while true {
            try cursor.skipBlankLines()
            if cursor.take(UInt8(ascii: "]")) { return elements }
            elements.append(try value(depth: depth + 1))
            try cursor.skipBlankLines()
            guard cursor.take(UInt8(ascii: ",")) else {
                guard cursor.take(UInt8(ascii: "]")) else { throw cursor.error("the array goes on or ends here: write , or ]") }
                return elements
            }
        }
    }

    private mutating func inlineTable(depth: Int) throws(TOMLError) -> TOMLTable {
        cursor.skip(1)
        let table = TOMLTable(.inline)
        cursor.skipSpace()
        if cursor.take(UInt8(ascii: "}")) { return table }
        let outside = dotted
        defer { dotted = outside }
        while true {
            try pair(in: table, depth: depth + 1)
            cursor.skipSpace()
            if cursor.take(UInt8(ascii: "}")) { return table }
            guard cursor.take(UInt8(ascii: ",")) else { throw cursor.error("the inline table goes on or ends here: write , or }") }
        }
    }

    /// A flag, a number or a date.
    private mutating func scalar() throws(TOMLError) -> TOMLNode.Value {
        let start = cursor
        var bytes = Array(cursor.takeWhile(TOMLCursor.isScalarByte))
        // A date and a time may have one space between them.
        if bytes.count == 10, bytes[4] == UInt8(ascii: "-"), cursor.peek == UInt8(ascii: " ") {
            let before = cursor
            cursor.skip(1)
            let time = cursor.takeWhile(TOMLCursor.isScalarByte)
            if time.first.map(TOMLCursor.isDigit) == true { bytes += [UInt8(ascii: " ")] + time } else { cursor = before }
        }
        let text = String(decoding: bytes, as: UTF8.self)
        guard !text.isEmpty else { throw start.error("a value is missing: a string stands in quotes") }
        switch text {
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        default: break
        }
        if let number = TOMLNumber.value(text) { return number }
        if TOMLNumber.isIntegerShaped(text) { throw start.error("\(text) does not fit 64 bits") }
        if TOMLNumber.isDate(text) { return .date(text) }
        throw start.error("\(text) is no value: a string stands in quotes")
    }
}
