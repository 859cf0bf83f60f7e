import Settings
import Store
import Telemetry

/// The retention of archives: one pass after the other, in steps between other chores.
struct RetentionChore {
    /// From the end of one pass to the beginning of the next.
    static let rest = Duration.seconds(600)

    var pass: RetentionPass?
    var isReading = false
    var notBefore: MonotonicTime?
}

extension Shard {
    /// What the settings say for each domain.
    private var archiveLimits: [String: ArchiveLimits] {
        let settings = core.settings.archive
        var limits: [String: ArchiveLimits] = [:]
        for host in core.settings.hosts {
            let days = host.archiveDays > 0 ? host.archiveDays : settings.days
            limits[host.domain] = ArchiveLimits(
                age: days > 0 ? Int64(days) * 86_400_000_000 : nil, messages: settings.messages > 0 ? settings.messages : nil,
                bytes: settings.mib > 0 ? settings.mib << 20 : nil)
        }
        return limits
    }

    /// Goes on with the pass over the accounts of this loop, or begins the next.
    func retainArchives() {
        guard placement.owner?.node == core.node, takeover == nil, !retention.isReading else { return }
        if retention.pass == nil {
            guard retention.notBefore.map({ $0 <= loop.now }) ?? true else { return }
            retention.notBefore = loop.now + RetentionChore.rest
            let limits = archiveLimits
            guard limits.values.contains(where: { !$0.isNothing }) else { return }
            let loops = max(1, core.loopCount)
            let own = (0..<core.identity.partitions).filter { $0 % loops == address.loop % loops }
            retention.pass = RetentionPass(partitions: own, limits: limits, now: core.clock.now)
        }
        guard let pass = retention.pass else { return }
        retention.isReading = true
        let epoch = placement.epoch
        core.readers.read { snapshot in
            var pass = pass
            let step = try? pass.step(in: snapshot)
            let next = pass
            self.enter { shard in
                shard.retention.isReading = false
                guard let step, shard.placement.epoch == epoch, shard.placement.owner?.node == shard.core.node else {
                    shard.retention.pass = nil
                    return
                }
                shard.effects.append(step)
                shard.core.metrics.purgedMessages.increment(by: UInt64(step.operations.count))
                shard.retention.pass = next.isDone ? nil : next
            }
        }
    }
}
