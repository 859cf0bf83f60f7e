/// A loop of a node. `node` is the node's incarnation (`NodeID.incarnation`), so a restarted node never gets old mail.
public struct ShardAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var node: UInt64
    public var loop: UInt16
    public init(node: UInt64, loop: UInt16) {
        self.node = node
        self.loop = loop
    }
    public static func < (a: ShardAddress, b: ShardAddress) -> Bool { (a.node, a.loop) < (b.node, b.loop) }
    public var description: String { "\(String(node, radix: 16))/\(loop)" }
}

/// A session, wherever it lives. The number is unique within its shard and never reused.
public struct SessionRef: Hashable, Sendable, CustomStringConvertible {
    public var shard: ShardAddress
    public var id: UInt64
    /// One number for the session, where the store needs one. It stays when the session moves to another loop.
    public var key: UInt64

    /// - Parameter key: Of a session that came from another loop; a new one makes its own.
    public init(shard: ShardAddress, id: UInt64, key: UInt64? = nil) {
        self.shard = shard
        self.id = id
        self.key = key ?? Self.makeKey(shard, id)
    }
    public var description: String { "\(shard)/\(id)" }

    // The address says which one it is; the key belongs to what it is.
    public static func == (a: SessionRef, b: SessionRef) -> Bool { a.id == b.id && a.shard == b.shard }
    public func hash(into hasher: inout Hasher) {
        hasher.combine(shard)
        hasher.combine(id)
    }

    /// Different for the sessions of different nodes, whose own numbers may be the same.
    private static func makeKey(_ shard: ShardAddress, _ id: UInt64) -> UInt64 {
        var mixed = shard.node &+ 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return (mixed ^ (mixed >> 31)) &+ id
    }
}

/// Which submission of which session a letter belongs to: the address of its completion, and what a repeat is known by.
public struct Ticket: Hashable, Sendable {
    public var session: SessionRef
    /// The session's number of the stanza, from 1.
    public var inSeq: UInt32
    /// True when the session submits it again after a takeover.
    public var isRepeat: Bool
    /// Every submission of the session up to this one is handled, so none of them will ever be repeated.
    public var settled: UInt32
    public init(session: SessionRef, inSeq: UInt32, isRepeat: Bool = false, settled: UInt32 = 0) {
        self.session = session
        self.inSeq = inSeq
        self.isRepeat = isRepeat
        self.settled = settled
    }
}

/// Identity of a binding, issued by the home: of two that claim one resource the higher stays.
public struct BindID: Hashable, Comparable, Sendable {
    /// Keeper epoch that issued it.
    public var epoch: UInt64
    /// Counter within the epoch and loop.
    public var counter: UInt64
    public init(epoch: UInt64, counter: UInt64) {
        self.epoch = epoch
        self.counter = counter
    }
    public static func < (a: BindID, b: BindID) -> Bool { (a.epoch, a.counter) < (b.epoch, b.counter) }
}
