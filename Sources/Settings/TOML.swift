/// Where something stands in a configuration file: both counted from 1, columns in Unicode scalars.
struct Position: Equatable, Sendable {
    var line: Int
    var column: Int
}

/// A text that is not TOML 1.0: the place, and a sentence without a full stop.
struct TOMLError: Error, Equatable {
    var position: Position
    var sentence: String
}

/// One value, and where it begins.
struct TOMLNode {
    enum Value {
        case string(String)
        case integer(Int64)
        case float(Double)
        case boolean(Bool)
        /// A date, a time, or both, as written: no setting is one.
        case date(String)
        case array([TOMLNode])
        case table(TOMLTable)
    }

    var value: Value
    var position: Position

    /// What it is, with its article, for error sentences.
    var kind: String {
        switch value {
        case .string: "a string"
        case .integer: "an integer"
        case .float: "a float"
        case .boolean: "true or false"
        case .date: "a date"
        case .array: "an array"
        case .table: "a table"
        }
    }
}

/// A table while and after it is read. A class, because headers and dotted keys come back to tables that stand already.
final class TOMLTable {
    /// How the table came to be: it decides who may add to it (TOML 1.0, "Table").
    enum Origin {
        /// Named only as a part of a longer header: its own header may still come.
        case implied
        /// By its header `[a.b]`, or an element of `[[a.b]]`.
        case header
        /// By dotted keys `a.b = 1`; only the same section may add to it.
        case dotted
        /// Written `{ … }`: closed.
        case inline
    }

    struct Entry {
        var key: String
        /// Where the key stands.
        var position: Position
        var node: TOMLNode
    }

    var origin: Origin
    private(set) var entries: [Entry] = []
    private var places: [String: Int] = [:]
    /// The keys whose arrays were begun by `[[key]]` and may grow by another.
    var tableArrays: Set<String> = []

    init(_ origin: Origin) { self.origin = origin }

    subscript(key: String) -> Entry? { places[key].map { entries[$0] } }

    /// Adds a key that is not there yet.
    func add(_ key: String, at position: Position, _ node: TOMLNode) {
        places[key] = entries.count
        entries.append(Entry(key: key, position: position, node: node))
    }

    /// Adds an element to the array under a key that is there.
    func append(_ element: TOMLNode, to key: String) {
        guard let place = places[key], case .array(var elements) = entries[place].node.value else { return }
        elements.append(element)
        entries[place].node.value = .array(elements)
    }
}
