import CLMDB
import CShims
import Glibc
import Store

/// Whether the data file is there as it was left, as far as its length says: liblmdb believes it, and its pages have no checksums. What it
/// then finds to be impossible ends the process.
enum DataFile {
    /// liblmdb begins anew in a file without a byte, as if nothing had ever been in it.
    static func requireContent(of file: String) throws(StoreFailure) {
        var status = stat()
        guard stat(file, &status) == 0 else { throw StoreFailure(system: errno, "looking at \(file)") }
        guard status.st_size > 0 else { throw .io("\(file) is empty; \(mend)") }
    }

    /// liblmdb maps what its newest root names, and reading beyond the end of a file ends the process.
    ///
    /// Pages at the end that were taken and given back within one commit are never written, so some may be missing.
    static func requireLength(of env: OpaquePointer, _ file: String, pageBytes: UInt64) throws(StoreFailure) {
        var info = MDB_envinfo()
        var descriptor: mdb_filehandle_t = -1
        var status = stat()
        guard mdb_env_info(env, &info) == MDB_SUCCESS, mdb_env_get_fd(env, &descriptor) == MDB_SUCCESS, fstat(descriptor, &status) == 0
        else { throw StoreFailure(system: errno, "looking at \(file)") }
        let wanted = UInt64(info.me_last_pgno)
        let there = UInt64(clamping: status.st_size) / max(1, pageBytes)
        guard wanted <= there &+ 256 else {
            throw .io("\(file) is cut short or damaged: \(there) pages are there, and its root names page \(wanted); \(mend)")
        }
    }

    /// Neither root can be read.
    static func notOurs(_ file: String) -> StoreFailure {
        .format("\(file) is not one of this version of LMDB, or damaged where its roots are; \(mend)")
    }

    private static let mend = "restore a backup (martletctl store restore)"

    /// What is cut off later, what the disk cannot read, and pages that are not as liblmdb wrote them end the process in its midst: with
    /// one of these. Of several open files one is it.
    static func explainFaults(of files: some Collection<String>) {
        let names = files.sorted().joined(separator: " or ")
        guard !names.isEmpty else { return }
        _ = martlet_explain_store_faults(
            "\(names) cannot be read: the disk failed, or the file was cut short or damaged. See the kernel's log; \(mend)",
            "\(names) is damaged: its pages are not as they were written; \(mend)")
    }
}
