public import Store
public import Stanzas

/// The only code that knows topology: JID → partition → (node, loop).
///
/// On one host the keeper of the volume owns all partitions; nothing outside this file and the store may rely on that.
///
/// Confined to its loop.
public final class Placement {
    /// The owner of the partitions, and whether it serves yet.
    public struct Owner: Sendable, Equatable {
        public var node: UInt64
        public var loops: UInt16
        public var epoch: UInt64
        /// False while the owner collects the sessions of the cluster (`RESYNC`).
        public var serves: Bool
        public init(node: UInt64, loops: UInt16, epoch: UInt64, serves: Bool) {
            self.node = node
            self.loops = max(1, loops)
            self.epoch = epoch
            self.serves = serves
        }
    }

    let identity: VolumeIdentity
    /// Domains that have one home for all of their addresses.
    let wholeDomains: Set<String>
    public var owner: Owner?

    /// - Parameter wholeDomains: domains that have one home for all of their addresses: those of components.
    public init(identity: VolumeIdentity, wholeDomains: Set<String> = []) {
        self.identity = identity
        self.wholeDomains = wholeDomains
    }

    /// The partition of a bare JID.
    public func partition(of bare: JID) -> UInt16 {
        guard wholeDomains.isEmpty || !wholeDomains.contains(bare.domain) else { return identity.partition(of: bare.domain) }
        return bare.withBareBytes { identity.partition(of: $0) }
    }

    /// The loop of the owner that serves a partition; nil while nobody is known to own it.
    public func shard(ofPartition partition: UInt16) -> ShardAddress? {
        guard let owner else { return nil }
        return ShardAddress(node: owner.node, loop: partition % owner.loops)
    }

    /// Where a bare JID's rules are applied; nil while nobody serves.
    public func home(of bare: JID) -> ShardAddress? {
        guard let owner, owner.serves else { return nil }
        return ShardAddress(node: owner.node, loop: partition(of: bare) % owner.loops)
    }

    /// Where an answer goes to what the home of `epoch` asked: that loop serves, though the word that all do may still be on its way.
    public func home(of bare: JID, asking epoch: UInt64) -> ShardAddress? {
        owner?.epoch == epoch ? shard(ofPartition: partition(of: bare)) : nil
    }

    /// The current epoch; 0 before the first owner is known.
    public var epoch: UInt64 { owner?.epoch ?? 0 }
}
