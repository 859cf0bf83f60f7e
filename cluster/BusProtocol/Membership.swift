/// Who is up, as this node sees it. Pure.
public struct Membership: Sendable {
    /// Grows with each change.
    public private(set) var view: UInt64 = 0
    private var nodes: [UInt64: NodeInfo] = [:]
    /// The last dead incarnation of each name: an incarnation comes up once.
    private var departed: [String: UInt64] = [:]
    public let me: NodeInfo

    public init(me: NodeInfo) { self.me = me }

    /// The others, by name.
    public var members: [NodeInfo] { nodes.values.sorted { $0.id < $1.id } }
    /// The level that every node, this one included, can read and write.
    public var featureLevel: UInt16 { nodes.values.reduce(me.featureLevel) { min($0, $1.featureLevel) } }

    public func member(incarnation: UInt64) -> NodeInfo? { nodes[incarnation] }
    /// Whether the incarnation was up and is no more.
    public func isDeparted(_ id: NodeID) -> Bool { departed[id.name] == id.incarnation }

    /// False when it is up already, or was taken for dead.
    @discardableResult
    public mutating func up(_ node: NodeInfo) -> Bool {
        guard !isDeparted(node.id), nodes[node.id.incarnation] == nil else { return false }
        nodes[node.id.incarnation] = node
        view &+= 1
        return true
    }

    /// False when it was not up.
    @discardableResult
    public mutating func down(_ id: NodeID) -> Bool {
        guard nodes.removeValue(forKey: id.incarnation) != nil else { return false }
        departed[id.name] = id.incarnation
        view &+= 1
        return true
    }
}
