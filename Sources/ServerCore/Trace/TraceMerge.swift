internal import DequeModule

/// Puts what the loops of a cluster report in the order in which it happened.
///
/// A station waits until every loop has told all it saw before that moment; for one that says nothing for long nobody waits. Of one
/// loop the order is its own; between loops the moment decides, and where that is the same, the order of the stations.
public struct TraceMerge: Sendable {
    /// A station, and where it was.
    public struct Entry: Sendable, Equatable {
        public var node: String
        public var loop: UInt16
        public var event: TraceEvent
    }

    private struct Source: Sendable {
        var name: String
        var events: Deque<TraceEvent> = []
        var through: Int64
    }

    /// µs that a loop may be behind the others before they go on without it.
    private let patience: Int64
    private var sources: [ShardAddress: Source] = [:]

    public init(patience: Int64 = 2_000_000) { self.patience = patience }

    /// Loops that report.
    public var shards: Set<ShardAddress> { Set(sources.keys) }

    public mutating func add(_ report: TraceReport) {
        let shard = ShardAddress(node: report.node, loop: report.loop)
        sources[shard, default: Source(name: report.nodeName, through: report.through)].events.append(contentsOf: report.events)
        // A loop that ended it has nothing more to say.
        sources[shard]?.through = report.state == .ended ? .max : report.through
    }

    /// The stations that nothing earlier can come before any more.
    public mutating func takeReady() -> [Entry] {
        let throughs = sources.values.map(\.through).filter { $0 != .max }
        guard let latest = throughs.max() else { return takeAll() }
        let waited = throughs.filter { $0 >= latest - patience }
        return take(through: waited.min() ?? latest)
    }

    /// Everything.
    public mutating func takeAll() -> [Entry] { take(through: .max) }

    private mutating func take(through limit: Int64) -> [Entry] {
        var entries: [Entry] = []
        while true {
            var next: (shard: ShardAddress, event: TraceEvent)?
            for (shard, source) in sources {
                guard let first = source.events.first, first.stamp <= limit else { continue }
                if let found = next,
                    (found.event.stamp, found.event.station.rawValue, found.shard) < (first.stamp, first.station.rawValue, shard)
                {
                    continue
                }
                next = (shard, first)
            }
            guard let next, let name = sources[next.shard]?.name else { return entries }
            sources[next.shard]?.events.removeFirst()
            entries.append(Entry(node: name, loop: next.shard.loop, event: next.event))
        }
    }
}
