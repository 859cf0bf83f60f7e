import Glibc
public import LMDBStore
import Monitoring
public import ServerCore
import Settings
import Stanzas
import Store

/// The directories of a cluster on its host, and its volume.
enum StoreOpening {
    /// Makes a directory with mode 0700 if there is none.
    static func makeDirectory(_ path: String) throws(StartFailure) {
        guard mkdir(path, 0o700) != 0, errno != EEXIST else { return }
        throw StartFailure("node.directory: \(path) cannot be made: \(String(cString: strerror(errno))); make it, or choose another")
    }

    /// Opens the volume, making it first where there is none. Several nodes may come here at once: one makes it, all open it.
    static func open(
        _ directory: String, _ settings: Settings.Store, _ metrics: CommitMetrics, stateChanged: @escaping @Sendable (VolumeState) -> Void
    ) throws(StartFailure) -> LMDBVolume {
        var options = LMDBVolume.Options()
        options.mapBytes = UInt64(clamping: settings.mapGiB) << 30
        options.quotaBytes = UInt64(clamping: settings.quotaMiB) << 20
        options.commitOperations = settings.commitEffects
        options.readers = settings.readers
        options.committed = { metrics.committed(operations: $0, submissions: $1, nanoseconds: $2) }
        // A few tries: another node may hold the lock for the moment in which it makes the volume.
        var last: StoreFailure?
        for attempt in 0..<100 {
            do throws(StoreFailure) {
                // A crash in the first moment can leave a file without a volume in it, so the file alone proves nothing;
                // `initialise` refuses where a volume is.
                if access(directory + "/data.mdb", F_OK) != 0 || holdsNoVolume(last) {
                    try LMDBVolume.initialise(
                        at: directory, identity: .random(created: WallClock().now, unicodeVersion: JID.unicodeVersion), options: options)
                }
                return try LMDBVolume(at: directory, options: options, stateChanged: stateChanged)
            } catch {
                last = error
                if attempt < 99 { usleep(50_000) }
            }
        }
        throw StartFailure("the store in \(directory) cannot be opened: \(last.map { "\($0)" } ?? "unknown")")
    }
}

extension StoreOpening {
    private static func holdsNoVolume(_ failure: StoreFailure?) -> Bool {
        if case .format? = failure { true } else { false }
    }
}

extension ReaderPool: StoreReaders {}
