import DequeModule
import Telemetry
import Stanzas
import Store

/// A shard of a new keeper collects what the sessions of the cluster know, and the rows of those that should exist, before it
/// serves. Sessions are the truth; a row that nobody claims is a session that died with its node.
final class Takeover {
    let epoch: UInt64
    /// Shards that have not finished reporting.
    private var awaited: Set<ShardAddress>
    private var reports: [JID: [SessionReport]] = [:]
    private var rows: [SessionRow]?

    init(epoch: UInt64, awaiting: Set<ShardAddress>) {
        self.epoch = epoch
        awaited = awaiting
    }

    func add(_ report: SessionReport) {
        guard report.epoch == epoch else { return }
        reports[report.account, default: []].append(report)
    }

    func shardReported(_ shard: ShardAddress, epoch: UInt64, _ here: Shard) {
        guard epoch == self.epoch else { return }
        awaited.remove(shard)
        finishIfComplete(here)
    }

    /// A node that died or was fenced reports no more; what it reported is void.
    func nodeLost(_ node: UInt64, _ here: Shard) {
        awaited = awaited.filter { $0.node != node }
        for (jid, list) in reports { reports[jid] = list.filter { $0.session.shard.node != node } }
        finishIfComplete(here)
    }

    /// A node that joined while the takeover runs is asked like the others.
    func nodeJoined(_ node: UInt64, loops: UInt16) {
        for loop in 0..<loops { awaited.insert(ShardAddress(node: node, loop: loop)) }
    }

    /// Rows were read; those of partitions that could not be read come later, perhaps when this is over.
    func rowsRead(_ rows: [SessionRow], _ here: Shard) {
        self.rows = (self.rows ?? []) + rows
        finishIfComplete(here)
    }

    private func finishIfComplete(_ here: Shard) {
        guard awaited.isEmpty, let rows else { return }
        var orphans: [JID: [SessionRow]] = [:]
        for row in rows {
            guard let jid = try? JID(row.account) else { continue }
            let isClaimed = reports[jid]?.contains { $0.session.key == row.session } ?? false
            if !isClaimed { orphans[jid, default: []].append(row) }
        }
        here.serve(epoch: epoch, reports: reports, orphans: orphans)
    }
}

extension Shard {
    // MARK: As the new keeper's shard

    /// This process became the keeper: ask every shard of the cluster for its sessions. Called on each loop of the process.
    ///
    /// Other loops may be faster: their letters about this epoch begin it here too, and then this call finds it begun.
    public func becomeHome(epoch: UInt64) {
        guard epoch > homeEpoch else { return }
        homeEpoch = epoch
        ceaseHome()
        placement.owner = .init(node: core.node, loops: core.loopCount, epoch: epoch, serves: false)
        var awaited: Set<ShardAddress> = []
        for (node, loops) in members { for loop in 0..<loops { awaited.insert(ShardAddress(node: node, loop: loop)) } }
        takeover = Takeover(epoch: epoch, awaiting: awaited)
        if address.loop == 0 {
            for shard in awaited.sorted() { post(.resync(owner: core.node, loops: core.loopCount, epoch: epoch), to: shard) }
        }
        let mine = stride(from: address.loop, to: UInt16(core.identity.partitions), by: Int(core.loopCount).clampedToUInt16)
        readSessionRows(of: Array(mine), epoch: epoch)
    }

    /// Nothing of what this shard knew as a home counts any more.
    func ceaseHome() {
        for account in accounts.values { account.retire() }
        accounts.removeAll()
        copies.removeAll()
        components.removeAll()
        idle.removeAll()
        gated.removeAll()
        touchedInboxes.removeAll()
        goneRows.removeAll()
        effects = Effects()
        // Submitted again, or told again, to the home that serves next.
        waitingForHome.removeAll()
        takeover = nil
    }

    /// What a session says of itself: to the takeover that runs, or to an account that serves already.
    func reported(_ report: SessionReport) {
        if report.epoch > placement.epoch { becomeHome(epoch: report.epoch) }
        if let takeover { return takeover.add(report) }
        guard placement.owner?.node == core.node, report.epoch == placement.epoch else { return }
        if let component = componentHome(report.account) { return component.claim([report]) }
        account(report.account).receive(.claim([report], orphans: [], isLate: true))
    }

    /// Every session is known or properly ended: serve.
    func serve(epoch: UInt64, reports: [JID: [SessionReport]], orphans: [JID: [SessionRow]]) {
        // `placement` says so only when every loop serves: until then sessions keep what they have, in order (`ownerServes`).
        takeover = nil
        for jid in Set(reports.keys).union(orphans.keys) {
            if let component = componentHome(jid) {
                component.claim(reports[jid] ?? [])
                continue
            }
            account(jid).receive(.claim(reports[jid] ?? [], orphans: orphans[jid] ?? [], isLate: false))
        }
        let waiting = waitingForHome
        waitingForHome.removeAll()
        for (letter, from) in waiting { receive(letter, from: from) }
        core.shardServes(self, epoch: epoch)
        core.metrics.takeovers.increment()
    }

    // MARK: As a shard with sessions

    /// A new keeper asks. What is unhandled stays here until it serves.
    func reportSessions(owner: UInt64, loops: UInt16, epoch: UInt64) {
        guard epoch >= placement.epoch else { return }
        if owner == core.node {
            becomeHome(epoch: epoch)
        } else if placement.owner?.node != owner || placement.epoch != epoch {
            if placement.owner?.node == core.node { ceaseHome() }
            placement.owner = .init(node: owner, loops: loops, epoch: epoch, serves: false)
        }
        for session in sessions.values.sorted(by: { $0.id < $1.id }) {
            guard let report = session.report(epoch: epoch) else { continue }
            let partition = placement.partition(of: session.account)
            guard let home = placement.shard(ofPartition: partition) else { continue }
            post(.report(report), to: home)
        }
        reportComponents(epoch: epoch)
        for loop in 0..<loops {
            post(.reported(epoch: epoch, from: address), to: ShardAddress(node: owner, loop: loop))
        }
    }

    /// The keeper serves: submit again what is unhandled, in order, and open commands.
    func ownerServes(owner: UInt64, epoch: UInt64) {
        guard let current = placement.owner, current.node == owner, current.epoch == epoch, !current.serves else { return }
        placement.owner?.serves = true
        for session in sessions.values.sorted(by: { $0.id < $1.id }) { session.submitAgain() }
        for session in componentSessions.values.sorted(by: { $0.id < $1.id }) { session.submitAgain() }
        resumeAgain()
        for command in pendingCommands.values.sorted(by: { $0.letter.id < $1.letter.id }) { send(command.letter) }
    }

    // MARK: Members

    /// The link to a node stands.
    public func nodeUp(_ node: UInt64, loops: UInt16) {
        members[node] = loops
        if isLeaving { sayLeaving(true, to: node, loops: loops) }
        askNewcomer(node, loops: loops)
        guard placement.owner?.node == core.node else { return }
        if let takeover {
            takeover.nodeJoined(node, loops: loops)
            if address.loop == 0 {
                for loop in 0..<loops {
                    post(.resync(owner: core.node, loops: core.loopCount, epoch: takeover.epoch), to: ShardAddress(node: node, loop: loop))
                }
            }
        } else if address.loop == 0 {
            // Already serving: the newcomer is told who the keeper is; it has no sessions yet, or they are resynced here.
            for loop in 0..<loops {
                let shard = ShardAddress(node: node, loop: loop)
                post(.resync(owner: core.node, loops: core.loopCount, epoch: placement.epoch), to: shard)
                post(.serves(owner: core.node, epoch: placement.epoch), to: shard)
            }
        }
    }

    /// A node died, was fenced, or left: its sessions are over, and if it was the keeper nobody serves for now.
    public func nodeDown(_ node: UInt64) {
        members[node] = nil
        leavingNodes.remove(node)
        if placement.owner?.node == node { placement.owner = nil }
        takeover?.nodeLost(node, self)
        tracer?.end { $1.node == node }
        waitingForHome.removeAll { $0.from.node == node }
        questionsLost(node)
        guard placement.owner?.node == core.node, takeover == nil else { return }
        for account in Array(accounts.values) where account.knowsSessions(ofNode: node) { account.receive(.nodeLost(node)) }
        for component in Array(components.values) { component.nodeLost(node) }
    }
}

extension Int {
    /// For strides over partitions: at least 1.
    fileprivate var clampedToUInt16: Int { Swift.max(1, Swift.min(self, Int(UInt16.max))) }
}
