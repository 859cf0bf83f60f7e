import CLMDB
import Glibc
import Store

extension StoreFailure {
    /// The failure for a result of liblmdb that is not success.
    init(lmdb code: Int32, _ doing: String) {
        switch code {
        case ENOSPC, EDQUOT, EFBIG: self = .noSpace
        case MDB_MAP_FULL: self = .mapFull
        case MDB_INVALID, MDB_VERSION_MISMATCH: self = .format("the data file is not one of this version of LMDB")
        default:
            // mdb_strerror's own buffer is used only for numbers it does not know, and never on Unix.
            let text = code < 0 ? String(cString: mdb_strerror(code)) : systemText(code)
            self = .io("\(doing): \(text)")
        }
    }

    /// The failure for an error number of the system.
    init(system code: Int32, _ doing: String) {
        switch code {
        case ENOSPC, EDQUOT, EFBIG: self = .noSpace
        default: self = .io("\(doing): \(systemText(code))")
        }
    }
}
