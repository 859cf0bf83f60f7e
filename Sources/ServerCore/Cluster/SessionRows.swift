import Stanzas
import Store
import Telemetry

/// What a new keeper reads: the rows of sessions that should exist. Those that no living session claims died with their node, and their
/// contacts have to hear of it.
///
/// A read that fails says nothing about sessions. The shard serves meanwhile, since nothing it says stands on these rows, and a disk that
/// never yields them must not keep everybody waiting; they are read again every second, and who is missing is then said to be gone.
extension Shard {
    private static let patience = Duration.seconds(1)

    /// Reads the rows of these partitions, which this loop is home to, until they are read or this is no longer the home.
    func readSessionRows(of partitions: [UInt16], epoch: UInt64) {
        core.readers.read { snapshot in
            var rows: [SessionRow] = []
            var unread: [UInt16] = []
            var failure: StoreFailure?
            for partition in partitions {
                do throws(StoreFailure) {
                    rows += try SessionRow.all(ofPartition: partition, in: snapshot)
                } catch {
                    unread.append(partition)
                    failure = error
                }
            }
            let (found, missing, reason) = (rows, unread, failure)
            self.enter { $0.sessionRowsRead(found, missing, reason, epoch: epoch) }
        }
    }

    private func sessionRowsRead(_ rows: [SessionRow], _ unread: [UInt16], _ failure: StoreFailure?, epoch: UInt64) {
        guard homeEpoch == epoch, placement.epoch == epoch else { return }
        if let takeover {
            takeover.rowsRead(rows, self)
        } else {
            claimLate(rows)
        }
        guard let failure, !unread.isEmpty else { return }
        cannotRead("which sessions there were in \(unread.count) partitions, which is tried again until it succeeds", failure)
        _ = loop.schedule(after: Self.patience) {
            self.enter { shard in
                guard shard.homeEpoch == epoch, shard.placement.epoch == epoch else { return }
                shard.readSessionRows(of: unread, epoch: epoch)
            }
        }
    }

    /// Rows that were read after this shard began to serve: a session that is not there is gone.
    private func claimLate(_ rows: [SessionRow]) {
        guard placement.owner?.node == core.node else { return }
        var orphans: [JID: [SessionRow]] = [:]
        for row in rows { if let jid = try? JID(row.account) { orphans[jid, default: []].append(row) } }
        for (jid, rows) in orphans.sorted(by: { $0.key < $1.key }) { account(jid).receive(.claim([], orphans: rows, isLate: true)) }
    }

    /// Counts and tells what the store could not read.
    func cannotRead(_ what: String, _ failure: StoreFailure) {
        core.metrics.failedLoads.increment()
        guard let unreadable else { return }
        if let lastUnreadable, loop.now < lastUnreadable + .seconds(60) { return }
        lastUnreadable = loop.now
        unreadable("the store cannot read \(what): \(failure)")
    }
}
