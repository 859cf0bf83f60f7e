import Glibc
import LMDBStore
import Store
import Synchronization
import Testing

/// A small seeded generator: the same seed gives the same run everywhere.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }
    mutating func text(_ limit: Int) -> String {
        let letters = Array("abcäß漢🦅 .-")
        return String((0..<Int.random(in: 0...limit, using: &self)).map { _ in letters[Int.random(in: 0..<letters.count, using: &self)] })
    }
}

/// A directory that goes with its owner.
final class Scratch: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/martlet-store-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { buffer in buffer.baseAddress.flatMap { mkdtemp($0) } != nil }
        try #require(made)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { Self.remove(path) }

    private static func remove(_ path: String) {
        if let directory = opendir(path) {
            while let entry = readdir(directory) {
                let name = withUnsafeBytes(of: entry.pointee.d_name) { raw in
                    String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
                }
                if name != ".", name != ".." { remove(path + "/" + name) }
            }
            closedir(directory)
        }
        Glibc.remove(path)
    }
}

/// A kept LMDB volume in a directory of its own.
final class KeptVolume: Sendable {
    static let identity = VolumeIdentity(
        volumeID: [UInt8](repeating: 9, count: 16), partitions: 64, hashKey: SipKey(1, 2), featureLevel: 1, created: 5, unicodeVersion: "15"
    )

    let scratch: Scratch
    let volume: LMDBVolume
    let epoch: UInt64
    let log: StateLog

    convenience init(_ options: LMDBVolume.Options = small) throws {
        let scratch = try Scratch()
        try LMDBVolume.initialise(at: scratch.path, identity: Self.identity, options: options)
        try self.init(reopening: scratch, options)
    }

    init(reopening scratch: Scratch, _ options: LMDBVolume.Options = small) throws {
        let seen = StateLog()
        self.scratch = scratch
        volume = try LMDBVolume(at: scratch.path, options: options) { seen.add($0) }
        let lock = try #require(try KeeperLock.acquireNow(directory: scratch.path, node: "test"))
        epoch = try volume.becomeKeeper(lock)
        log = seen
    }

    deinit { volume.close() }

    static var small: LMDBVolume.Options {
        var options = LMDBVolume.Options()
        options.mapBytes = 64 << 20
        return options
    }
}

/// The states a volume reported.
final class StateLog: Sendable {
    private let states = Mutex<[VolumeState]>([])
    func add(_ state: VolumeState) { states.withLock { $0.append(state) } }
    var all: [VolumeState] { states.withLock { $0 } }
}

extension Volume {
    /// Commits and waits for the answer.
    func commitNow(_ effects: Effects) async -> Result<Void, StoreFailure> {
        await withCheckedContinuation { continuation in
            commit(effects) { continuation.resume(returning: $0) }
        }
    }

    /// Commits puts and waits.
    func put(_ rows: [(Key, [UInt8])]) async throws {
        var effects = Effects()
        for (key, value) in rows { effects.put(key, value) }
        try await commitNow(effects).get()
    }

    /// Every row that is not the volume's own.
    func rows() throws -> [(Key, [UInt8])] {
        try read { snapshot in
            var rows: [(Key, [UInt8])] = []
            try snapshot.scan(prefix: [], from: nil, through: nil, reverse: false) { (key, value) throws(StoreFailure) in
                if let key = Key(key), key.partition != Keys.volumeWide { rows.append((key, [UInt8](value))) }
                return true
            }
            return rows
        }
    }
}
