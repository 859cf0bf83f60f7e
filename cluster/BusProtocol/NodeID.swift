/// A life of a node: its name, and a number that is new with each start.
public struct NodeID: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The node's configured name, unique on its volume.
    public let name: String
    /// Random for each start of the process; 0 is never used.
    public let incarnation: UInt64

    public init(name: String, incarnation: UInt64) {
        self.name = name
        self.incarnation = incarnation
    }

    public static func < (a: NodeID, b: NodeID) -> Bool { (a.name, a.incarnation) < (b.name, b.incarnation) }
    public var description: String { "\(name)#\(String(incarnation, radix: 16))" }
}
