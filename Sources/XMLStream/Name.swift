import Synchronization

/// A (local name, namespace) pair the server knows by number.
///
/// Names are made by code alone (`static let ping = Name("ping", "urn:xmpp:ping")`), never from what a peer sent, so the
/// table is as large as the program. Equal pairs have equal numbers in one process; the numbers never travel.
///
/// Static properties are made on first use. An element that was parsed before a name existed therefore says `unknown`:
/// compare with `Element.is(_:)`, which knows, and build dispatch tables over `Element.name` at start.
public struct Name: Hashable, Sendable {
    /// The number of the pair; 0 is `unknown`.
    public let index: UInt16

    /// What an element is called whose name is not in the table.
    public static let unknown = Name(index: 0)

    init(index: UInt16) { self.index = index }

    /// The name for the pair; the same for the same pair. The table holds 65,535 names; beyond them the answer is `unknown`.
    public init(_ local: String, _ namespace: String) {
        index = NameTable.shared.intern(local, namespace)
    }

    /// The local name; empty for `unknown`.
    public var local: String { NameTable.shared.pair(index).local }
    /// The namespace; empty for `unknown` and for names in no namespace.
    public var namespace: String { NameTable.shared.pair(index).namespace }
}

extension Name: CustomStringConvertible {
    public var description: String { "{\(namespace)}\(local)" }
}

/// The table of all names. Parsers remember what they looked up, so the lock is taken rarely.
final class NameTable: Sendable {
    struct Pair: Hashable {
        var local: String
        var namespace: String
    }

    private struct Content {
        var pairs = [Pair(local: "", namespace: "")]
        var numbers: [Pair: UInt16] = [:]
    }

    static let shared = NameTable()
    private let content = Mutex(Content())
    /// Grows with the table: what was looked up in vain under an older generation must be looked up again.
    private let grown = Atomic<Int>(0)

    var generation: Int { grown.load(ordering: .acquiring) }

    func intern(_ local: String, _ namespace: String) -> UInt16 {
        let number = content.withLock { content -> UInt16 in
            let pair = Pair(local: local, namespace: namespace)
            if let number = content.numbers[pair] { return number }
            guard let number = UInt16(exactly: content.pairs.count) else { return 0 }
            content.pairs.append(pair)
            content.numbers[pair] = number
            return number
        }
        grown.add(1, ordering: .releasing)
        return number
    }

    /// The number of a pair, or 0. Adds nothing.
    func find(_ local: String, _ namespace: String) -> UInt16 {
        content.withLock { $0.numbers[Pair(local: local, namespace: namespace)] ?? 0 }
    }

    func pair(_ index: UInt16) -> Pair {
        content.withLock { content in
            let i = Int(index)
            return i < content.pairs.count ? content.pairs[i] : content.pairs[0]
        }
    }
}
