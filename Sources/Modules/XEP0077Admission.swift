import Stanzas

/// What the host's account is asked before an account is made.
struct Attempt {
    var prefix: String
    var username: String
    var token: String?
    /// Names the use of the invitation that is held.
    var claim: UInt64

    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.string(prefix)
        writer.string(username)
        writer.string(token ?? "")
        writer.uint64(claim)
        return writer.bytes
    }
}

extension Attempt {
    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let prefix = try? reader.string(), let username = try? reader.string(), let token = try? reader.string(),
            let claim = try? reader.uint64()
        else { return nil }
        self.init(prefix: prefix, username: username, token: token.isEmpty ? nil : token, claim: claim)
    }
}

/// What the host's account is told when a registration with an invitation is over.
struct Claim {
    var token: String
    var id: UInt64
    var isUsed: Bool

    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.string(token)
        writer.uint64(id)
        writer.uint8(isUsed ? 1 : 0)
        return writer.bytes
    }
}

extension Claim {
    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let token = try? reader.string(), let id = try? reader.uint64(), let flag = try? reader.uint8() else { return nil }
        self.init(token: token, id: id, isUsed: flag == 1)
    }
}

/// Attempts by address prefix within the last hour. Confined to the loop of a host's account, bounded in memory: under a flood from very
/// many prefixes the oldest are forgotten.
final class AttemptCounts {
    private static let hour: Int64 = 3_600_000_000
    private static let maximumPrefixes = 65_536
    private let limit: Int
    private var recent: [String: [Int64]] = [:]
    private var older: [String: [Int64]] = [:]
    private var turned: Int64 = 0

    /// - Parameter limit: attempts of one prefix in an hour; 0: no bound.
    init(limit: Int) { self.limit = limit }

    /// Counts an attempt, unless there were too many. One that is refused does not count.
    ///
    /// - Parameter now: wall clock µs.
    func admit(_ prefix: String, now: Int64) -> Bool {
        guard limit > 0 else { return true }
        if now &- turned >= Self.hour || recent.count >= Self.maximumPrefixes / 2 {
            older = recent
            recent = [:]
            turned = now
        }
        var moments = (recent[prefix] ?? older.removeValue(forKey: prefix) ?? []).filter { now &- $0 < Self.hour }
        let isAdmitted = moments.count < limit
        if isAdmitted { moments.append(now) }
        recent[prefix] = moments
        return isAdmitted
    }
}
