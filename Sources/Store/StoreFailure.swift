/// Why the store could not do what was asked.
public enum StoreFailure: Error, Sendable, Equatable {
    /// The file system is full.
    case noSpace
    /// The data has reached `[store] quota_mib`.
    case quota
    /// The disk, or the file system, failed.
    case io(String)
    /// A row does not match its checksum or its shape. `key` in hexadecimal.
    case damaged(key: String, reason: String)
    /// This process does not hold the volume's lock, so it may not write.
    case notKeeper
    /// The volume was closed.
    case closed
    /// The reserved address space (`[store] map_gib`) is used up.
    case mapFull
    /// An earlier commit failed, and no probe has succeeded since.
    case readOnly
    /// A long task was ended on purpose before its end; what it made is removed.
    case abandoned(String)
    /// The volume, or what was asked of it, is not of a form this version knows.
    case format(String)
}

extension StoreFailure: CustomStringConvertible {
    /// One sentence for the log and the administrator. Holds no stored value.
    public var description: String {
        switch self {
        case .noSpace: "no space is left on the file system of the store"
        case .quota: "the store has reached its quota ([store] quota_mib)"
        case .io(let reason): "the store's disk failed: \(reason)"
        case .damaged(let key, let reason): "row \(key) of the store is damaged: \(reason)"
        case .notKeeper: "this node is not the keeper of the volume"
        case .closed: "the store is closed"
        case .mapFull: "the store's address space is used up ([store] map_gib)"
        case .readOnly: "the store is read-only since a commit failed"
        case .abandoned(let reason): "abandoned: \(reason)"
        case .format(let reason): "the store is not of a known form: \(reason)"
        }
    }
}
