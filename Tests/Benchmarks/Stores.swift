import Glibc
import LMDBStore
import ServerCore
import Stanzas
import Store
import Synchronization
import XMLStream

/// A store in a directory of its own, which goes with it.
private final class BenchStore {
    let volume: LMDBVolume
    private let directory: String
    private let finished = Mailslot()

    init(_ identity: VolumeIdentity) throws {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/martlet-benchmark-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Broken("no directory in \(parent)") }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        var options = LMDBVolume.Options()
        options.mapBytes = 256 << 20
        options.readers = 1
        try LMDBVolume.initialise(at: directory, identity: identity, options: options)
        volume = try LMDBVolume(at: directory, options: options)
        guard let lock = try KeeperLock.acquireNow(directory: directory, node: "a") else { throw Broken("somebody else has the store") }
        _ = try volume.becomeKeeper(lock)
    }

    /// Returns when it is synced.
    func commit(_ effects: Effects) throws {
        let finished = finished
        volume.commit(effects) { result in
            if case .success = result { finished.post(true) } else { finished.post(false) }
        }
        guard finished.take() else { throw Broken("a commit failed") }
    }

    deinit {
        volume.close()
        for name in ["data.mdb", "lock.mdb", "keeper.lock", "keeper.json"] { unlink("\(directory)/\(name)") }
        rmdir(directory)
    }
}

/// One answer from another thread.
private final class Mailslot: Sendable {
    private let semaphore: UnsafeSendable<UnsafeMutablePointer<sem_t>>
    private let value = Atomic<Bool>(false)

    init() {
        let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
        sem_init(semaphore, 0, 0)
        self.semaphore = UnsafeSendable(semaphore)
    }
    deinit {
        sem_destroy(semaphore.value)
        semaphore.value.deallocate()
    }

    func post(_ answer: Bool) {
        value.store(answer, ordering: .releasing)
        sem_post(semaphore.value)
    }
    func take() -> Bool {
        while sem_wait(semaphore.value) != 0 {}
        return value.load(ordering: .acquiring)
    }
}

private struct UnsafeSendable<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}

extension Benchmark {
    /// Records and rows of archives.
    static let stores = [
        // A message of the sample's size in the archives of both its ends, from the stanza on.
        Benchmark(name: "append-memory") {
            let volume = MemoryVolume(identity: identity)
            var sequence: UInt64 = 0
            let stanza = try encodedChat()
            return {
                sequence += 1
                volume.commit(kept(stanza, sequence)) { _ in }
                guard volume.statistics.submissions == sequence else { throw Broken("it is not kept") }
            }
        },
        // The same on LMDB, synced one by one: what the kernel does for it is not counted.
        Benchmark(name: "append-lmdb", rounds: 300, timedFactor: 1) {
            let store = try BenchStore(identity)
            var sequence: UInt64 = 0
            let stanza = try encodedChat()
            return {
                sequence += 1
                try store.commit(kept(stanza, sequence))
            }
        },
        // An operation is a message of a page of fifty, from the query to the bytes.
        Benchmark(name: "archive-page", rounds: 40, operations: 50) {
            let bed = try Bed()
            let (romeo, juliet) = (try bed.online("romeo"), try bed.online("juliet"))
            let message = Sample.chat(to: "juliet@\(Bed.domain)")
            for _ in 0..<200 {
                romeo.receive(message)
                bed.settle()
            }
            bed.volume.isSealed = true
            let query = Array(
                "<iq type='set' id='q1'><query xmlns='urn:xmpp:mam:2'><set xmlns='\(NS.resultSet)'><max>50</max><before/></set></query></iq>"
                    .utf8)
            return {
                juliet.written = 0
                juliet.receive(query)
                bed.settle()
                guard juliet.written > 50 * message.count else { throw Broken("the page is \(juliet.written) bytes") }
            }
        },
    ]

    private static let identity = VolumeIdentity(
        volumeID: [UInt8](repeating: 7, count: 16), partitions: VolumeIdentity.defaultPartitions, hashKey: SipKey(1, 2),
        featureLevel: VolumeIdentity.currentFeatureLevel, created: 0, unicodeVersion: "")

    private static func encodedChat() throws -> [UInt8] {
        let bytes = Array(Sample.chat.utf8)
        let element = try Element.parse(bytes)
        var encoded: [UInt8] = []
        try bytes.withUnsafeBytes { try Stanza(element, source: $0, streamLang: nil) }.encode(into: &encoded)
        return encoded
    }

    /// What a message writes.
    private static func kept(_ stanza: [UInt8], _ sequence: UInt64) -> Effects {
        var effects = Effects()
        for (account, flags) in [(1, [.archived]), (2, [.archived, .owed])] as [(UInt64, MessageRecord.Flags)] {
            let record = MessageRecord(
                sequence: sequence, stamp: Int64(clamping: sequence), flags: flags, originSession: 1,
                inSeq: UInt32(truncatingIfNeeded: sequence), originIDHash: sequence, peer: 9, stanza: stanza)
            effects.put(Keys.message(UInt16(truncatingIfNeeded: account), account, sequence: sequence), record.encode())
        }
        return effects
    }
}
