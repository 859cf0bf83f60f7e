import CLMDB
import Glibc
import Store

/// A renewed read transaction as a snapshot. After `end` it refuses everything, so one that escapes cannot touch the map.
final class LMDBSnapshot: Snapshot {
    private var transaction: OpaquePointer?
    private let database: MDB_dbi

    init(_ transaction: OpaquePointer, _ database: MDB_dbi) {
        self.transaction = transaction
        self.database = database
    }

    func end() { transaction = nil }

    var rows: UInt64? {
        guard let transaction else { return nil }
        var figures = MDB_stat()
        return mdb_stat(transaction, database, &figures) == MDB_SUCCESS ? UInt64(figures.ms_entries) : nil
    }

    func get(_ key: Key) throws(StoreFailure) -> [UInt8]? {
        guard let transaction else { throw .closed }
        var value = MDB_val()
        let result = key.bytes.withUnsafeBytes { raw in
            var key = MDB_val(raw)
            return mdb_get(transaction, database, &key, &value)
        }
        switch result {
        case MDB_SUCCESS: return [UInt8](value.bytes)
        case MDB_NOTFOUND: return nil
        default: throw StoreFailure(lmdb: result, "reading a row")
        }
    }

    func scan(
        prefix: [UInt8], from: Key?, through: Key?, reverse: Bool,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StoreFailure) -> Bool
    ) throws(StoreFailure) {
        guard let transaction else { throw .closed }
        var opened: OpaquePointer?
        let result = mdb_cursor_open(transaction, database, &opened)
        guard result == MDB_SUCCESS, let cursor = opened else { throw StoreFailure(lmdb: result, "reading rows") }
        defer { mdb_cursor_close(cursor) }
        let low = from.map { $0.bytes.lexicographicallyPrecedes(prefix) ? prefix : $0.bytes } ?? prefix
        var key = MDB_val()
        var value = MDB_val()
        var found = reverse ? last(cursor, prefix, through, &key, &value) : seek(cursor, low, &key, &value)
        while found == MDB_SUCCESS {
            // Both bounds are checked on every row: the walk starts at one of them and ends beyond the other.
            guard key.bytes.starts(with: prefix), reverse || through.map({ Self.compare(key.bytes, $0.bytes) <= 0 }) ?? true,
                !reverse || Self.compare(key.bytes, low) >= 0
            else { return }
            guard try body(key.bytes, value.bytes), self.transaction != nil else { return }
            found = mdb_cursor_get(cursor, &key, &value, reverse ? MDB_PREV : MDB_NEXT)
        }
        guard found == MDB_NOTFOUND else { throw StoreFailure(lmdb: found, "reading rows") }
    }

    /// The first row at or after `bound`.
    private func seek(_ cursor: OpaquePointer, _ bound: [UInt8], _ key: inout MDB_val, _ value: inout MDB_val) -> Int32 {
        guard !bound.isEmpty else { return mdb_cursor_get(cursor, &key, &value, MDB_FIRST) }
        // LMDB takes keys up to its own limit only; a longer bound is longer than every key.
        guard bound.count <= Key.limit else { return MDB_NOTFOUND }
        return bound.withUnsafeBytes { raw in
            key = MDB_val(raw)
            return mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE)
        }
    }

    /// The last row at or before `through` that can start with `prefix`.
    private func last(
        _ cursor: OpaquePointer, _ prefix: [UInt8], _ through: Key?, _ key: inout MDB_val, _ value: inout MDB_val
    ) -> Int32 {
        let end = Self.successor(of: prefix)
        if let through, end.map({ through.bytes.lexicographicallyPrecedes($0) }) ?? true {
            let found = seek(cursor, through.bytes, &key, &value)
            if found == MDB_SUCCESS, Self.compare(key.bytes, through.bytes) == 0 { return found }
            return mdb_cursor_get(cursor, &key, &value, found == MDB_SUCCESS ? MDB_PREV : MDB_LAST)
        }
        guard let end else { return mdb_cursor_get(cursor, &key, &value, MDB_LAST) }
        let found = seek(cursor, end, &key, &value)
        return mdb_cursor_get(cursor, &key, &value, found == MDB_SUCCESS ? MDB_PREV : MDB_LAST)
    }

    /// The lowest bytes above everything that starts with `prefix`; nil when there are none.
    private static func successor(of prefix: [UInt8]) -> [UInt8]? {
        var bytes = prefix
        while let last = bytes.popLast() {
            if last < 0xFF { return bytes + [last + 1] }
        }
        return nil
    }

    private static func compare(_ a: UnsafeRawBufferPointer, _ b: [UInt8]) -> Int {
        b.withUnsafeBytes { b in
            let common = min(a.count, b.count)
            if common > 0, let a = a.baseAddress, let b = b.baseAddress {
                let order = memcmp(a, b, common)
                if order != 0 { return Int(order) }
            }
            return a.count - b.count
        }
    }
}
