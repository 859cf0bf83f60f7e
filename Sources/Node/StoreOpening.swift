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
        var last = StoreFailure.notKeeper
        // A few tries: another node may hold the lock for the moment in which it makes the volume.
        for _ in 0..<100 {
            do throws(StoreFailure) {
                if !isThere(directory) {
                    try LMDBVolume.initialise(
                        at: directory, identity: .random(created: WallClock().now, unicodeVersion: JID.unicodeVersion), options: options)
                }
            } catch {
                last = error
                if error == .notKeeper {
                    usleep(50_000)
                    continue
                }
                // Made by another node since it was looked for.
                guard isThere(directory) else { break }
            }
            // What is wrong with a file that is there does not pass.
            do throws(StoreFailure) { return try LMDBVolume(at: directory, options: options, stateChanged: stateChanged) } catch {
                last = error
                break
            }
        }
        throw StartFailure("the store in \(directory) cannot be opened: \(last)")
    }

    private static func isThere(_ directory: String) -> Bool { access(directory + "/data.mdb", F_OK) == 0 }
}

extension ReaderPool: StoreReaders {}
