import AdminLanguage
import Glibc
import TestKit
import Testing

extension ClusterTests {
    /// A data file that is not as it was written is named and never served: a node that cannot go on says in one sentence why it ends.
    @Suite(.serialized) struct DamagedStoreTests {
        private static let page = 4_096
        private static let messages = 1_000

        /// What happened to the file, and words of the sentence that tells of it.
        private struct Damage: Sendable {
            var name: String
            var words: [String]
            var change: @Sendable (inout [UInt8]) -> Void
        }

        private static let damages = [
            Damage(name: "empty", words: ["data.mdb is empty", "restore a backup"]) { $0 = [] },
            Damage(name: "one page left", words: ["not one of this version of LMDB"]) { $0.removeSubrange(page...) },
            Damage(name: "two pages left", words: ["data.mdb is cut short", "restore a backup"]) { $0.removeSubrange((2 * page)...) },
            Damage(name: "a third left", words: ["data.mdb is cut short", "restore a backup"]) { $0.removeSubrange(($0.count / 3)...) },
            Damage(name: "text", words: ["not one of this version of LMDB"]) {
                $0 = Array(String(repeating: "What's in a name? ", count: 9_000).utf8)
            },
            Damage(name: "both roots gone", words: ["not one of this version of LMDB"]) {
                $0.replaceSubrange(0..<(2 * page), with: zeros(2 * page))
            },
            Damage(name: "everything behind the roots gone", words: ["reading", "store's disk failed"]) {
                $0.replaceSubrange((2 * page)..., with: zeros($0.count - 2 * page))
            },
            // Both, since the newer one counts: the root of the tree at its place in `MDB_meta`, and the last page behind it.
            Damage(name: "a root that names no page", words: ["reading", "store's disk failed"]) { bytes in
                for root in 0..<2 { bytes.replaceSubrange((root * page + 128)..<(root * page + 134), with: [9, 9, 9, 9, 9, 9]) }
            },
            Damage(name: "a last page far away", words: ["cut short or damaged", "restore a backup"]) { bytes in
                for root in 0..<2 { bytes.replaceSubrange((root * page + 136)..<(root * page + 142), with: [0xA0, 0x86, 0x01, 0, 0, 0]) }
            },
        ]

        private static func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

        @Test func aDamagedFileIsNamedAndNotServed() throws {
            let cluster = try ProcessCluster(nodes: 1, settings: "archive = true\n[offline]\nmessages = 0")
            try cluster.addAccounts(["romeo", "juliet"])
            let romeo = try cluster.connect("romeo", resource: "orchard", node: 0)
            for batch in 0..<(Self.messages / 10) {
                let numbers = (batch * 10)..<(batch * 10 + 10)
                try romeo.send(numbers.map { Chat.message(to: "juliet@\(cluster.domain)", id: "romeo-\($0)", filler: 1_500) }.joined())
            }
            try romeo.ping("kept")
            try stop(cluster)
            let file = cluster.home + "/store/data.mdb"
            let whole = try Files.bytes(of: file)
            for damage in Self.damages {
                var bytes = whole
                damage.change(&bytes)
                try Files.write(bytes, to: file)
                // And again: what a first start does must not hide it from the next.
                for _ in 0..<2 {
                    let before = cluster.log(0).count
                    try cluster.start(0)
                    let ending = try cluster.waitForEnd(0)
                    let said = cluster.log(0).dropFirst(before)
                    #expect(ending == 1, "\(damage.name)")
                    for word in damage.words { #expect(said.contains(word), "\(damage.name): \(said)") }
                }
                #expect(try Files.bytes(of: file) == bytes, "\(damage.name): a node wrote into it")
            }
            // It is gone, and its lock is there.
            #expect(unlink(file) == 0)
            try cluster.start(0)
            #expect(try cluster.waitForEnd(0) == 1)
            #expect(cluster.log(0).contains("data.mdb is gone from"))

            try Files.write(whole, to: file)
            try cluster.start(0)
            try cluster.waitUntilServing(0)
            #expect(try Chat.archive("juliet", on: 0, of: cluster).map(\.id) == (0..<Self.messages).map { "romeo-\($0)" })
            try servesWhatIsNotDamaged(cluster, file)
        }

        /// Letters of one message are flipped in both accounts' records: everything else is served, and this is named.
        private func servesWhatIsNotDamaged(_ cluster: ProcessCluster, _ file: String) throws {
            try stop(cluster)
            var bytes = try Files.bytes(of: file)
            let body = Array("message romeo-77.".utf8)
            var flipped = 0
            for start in bytes.indices.dropLast(body.count)
            where bytes[start] == body[0] && bytes[start..<(start + body.count)].elementsEqual(body) {
                bytes[start + 3] ^= 0x20
                flipped += 1
            }
            #expect(flipped >= 2)
            try Files.write(bytes, to: file)
            try cluster.start(0)
            try cluster.waitUntilServing(0)
            let archive = try Chat.archive("juliet", on: 0, of: cluster).map(\.id)
            #expect(archive == (0..<Self.messages).filter { $0 != 77 }.map { "romeo-\($0)" })
            let verified = try cluster.admin(0).ask(["store", "verify"])
            #expect(verified.fact("findings") == .integer(2), "\(verified)")
            let damaged = try #require(try cluster.monitor(0, "/metrics").value("martlet_records_damaged_total"))
            #expect(damaged >= 1)
            // Whoever is owed it gets the rest.
            let juliet = try cluster.connect("juliet", resource: "balcony", node: 0)
            try juliet.send("<presence/>")
            var numbers: [Int] = []
            while numbers.last != Self.messages - 1 { if let letter = Letter(try juliet.receive()) { numbers.append(letter.number) } }
            #expect(numbers == (0..<Self.messages).filter { $0 != 77 })
        }

        private func stop(_ cluster: ProcessCluster) throws {
            cluster.signal(0, SIGTERM)
            #expect(try cluster.waitForEnd(0) == 0)
        }

        /// A fault that is none of the file's ends the node as it would have, and the file is not blamed.
        @Test func otherFaultsAreNotBlamedOnTheFile() throws {
            let cluster = try ProcessCluster(nodes: 1)
            try stop(cluster)
            for fault in [SIGSEGV, SIGBUS, SIGABRT, SIGFPE] {
                // With its own handlers Swift tells of such a signal and goes on, if nothing failed.
                try cluster.start(0, environment: ["SWIFT_BACKTRACE=enable=no"])
                try cluster.waitUntilServing(0)
                cluster.signal(0, fault)
                #expect(try cluster.waitForEnd(0) == -fault)
                #expect(!cluster.log(0).contains("data.mdb"))
            }
        }

        /// The file is cut short under a node that serves: it ends, with a word.
        @Test func aFileCutShortUnderANodeEndsItWithAWord() throws {
            let cluster = try ProcessCluster(nodes: 1, settings: "archive = true\n[offline]\nmessages = 0")
            try cluster.addAccounts(["romeo", "juliet"])
            let romeo = try cluster.connect("romeo", resource: "orchard", node: 0)
            for number in 0..<50 { try romeo.send(Chat.message(to: "juliet@\(cluster.domain)", id: "romeo-\(number)", filler: 2_000)) }
            try romeo.ping("kept")
            #expect(truncate(cluster.home + "/store/data.mdb", off_t(3 * Self.page)) == 0)
            // Whatever it is asked, it cannot answer from the store any more.
            _ = try? romeo.send("<iq type='set' id='mam'><query xmlns='urn:xmpp:mam:2'/></iq>")
            #expect(try cluster.waitForEnd(0) == -SIGBUS)
            #expect(cluster.log(0).contains("store/data.mdb cannot be read: the disk failed, or the file was cut short"))
        }
    }
}

/// Whole files.
enum Files {
    static func bytes(of path: String) throws -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        var status = stat()
        guard file >= 0, fstat(file, &status) == 0 else { throw ProcessFailure("\(path): \(String(cString: strerror(errno)))") }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        guard read(file, &bytes, bytes.count) == bytes.count else { throw ProcessFailure("\(path) cannot be read") }
        return bytes
    }

    static func write(_ bytes: [UInt8], to path: String) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        defer { close(file) }
        guard file >= 0, Glibc.write(file, bytes, bytes.count) == bytes.count else { throw ProcessFailure("\(path) cannot be written") }
    }
}
