import AdminLanguage
import Glibc
import TestKit
import Testing
import XMLStream

/// A cluster on a disk whose power fails again and again under load: messages with their acks, roster changes with their results,
/// accounts with their `ok`; and the oracle that remembers what was acknowledged.
final class PowerDrill {
    /// Its messages are read as they come, and archived.
    private static let reader = "juliet"
    /// Its messages are owed until the end.
    private static let away = "away"

    private let cluster: ProcessCluster
    private let disk: PowerDisk
    private let seed: UInt64
    private var chance: Chance
    private let backups: String
    /// A secret that the server made when it first began.
    private let secret: String
    private let writers: [ManagedPen]
    private let roster: RosterPen
    private let accounts: AccountPen
    /// The reader's archive as it was found after the last cut.
    private var archive: [(id: String, archived: String)] = []
    private var cuts = 0
    private var delivered = 0
    private var unasked = 0
    private var slowestStart: UInt64 = 0

    init(seed: UInt64) throws {
        self.seed = seed
        chance = Chance(seed: seed)
        let disk = try PowerDisk(mebibytes: 96)
        self.disk = disk
        let cluster = try ProcessCluster(nodes: 3, loops: 2, settings: "archive = true\n[offline]\nmessages = 0", disk: disk)
        self.cluster = cluster
        let targets = [Self.reader, Self.away].map { "\($0)@\(cluster.domain)" }
        writers = (0..<3).map { ManagedPen("writer\($0)", node: $0, to: targets, cluster) }
        roster = RosterPen("nurse", node: 1, cluster)
        accounts = AccountPen(cluster)
        backups = cluster.directory + "/backups"
        secret = ProcessCluster.text(of: Self.secretFile(of: cluster))
        try cluster.addAccounts([Self.reader, Self.away, "marker", roster.name] + writers.map(\.name))
    }

    private var acknowledged: Int { writers.reduce(roster.accepted + accounts.accepted) { $0 + $1.accepted } }

    /// Load, a cut in the midst of it, and a look at what is left.
    func strike() throws {
        let round = Round()
        let eyes = Eyes(Self.reader, cluster)
        let pens: [any Pen] = writers + [roster, accounts, eyes]
        let threads = try pens.map { pen in try ProcessThread { pen.run(round) } }
        defer {
            round.end()
            for thread in threads { thread.join() }
        }
        let goal = acknowledged + 20 + chance.below(300)
        let patience = Deadline(in: .patient)
        while acknowledged < goal || !pens.allSatisfy(\.isUnderWay), !patience.isOver {
            // The cache of the disk writes what it likes, in what order it likes.
            if chance.one(in: 3) { disk.stir(at: Int64(chance.below(96)) << 20, count: Int64(1 + chance.below(512)) << 12) }
            poll(nil, 0, 1)
        }
        // Nothing is waited for: the cut comes at any moment of a commit, not at the one in which an answer did.
        usleep(UInt32(chance.below(3_000)))
        try disk.cut()
        cuts += 1
        // What is acknowledged between the cut and the death counts, too.
        usleep(UInt32(chance.below(20_000)))
        for node in cluster.names.indices { cluster.signal(node, SIGKILL) }
        for node in cluster.names.indices { try cluster.waitForEnd(node) }
        round.end()
        for thread in threads { thread.join() }
        try disk.restore()
        let start = Deadline.now
        for node in cluster.names.indices { try cluster.start(node) }
        for node in cluster.names.indices { try cluster.waitUntilServing(node, seeing: 3) }
        slowestStart = max(slowestStart, Deadline.now - start)
        try look(eyes.read)
    }

    private var place: Comment { "cut \(cuts) of the run with MARTLET_SEED=\(seed)" }

    private static func secretFile(of cluster: ProcessCluster) -> String { "\(cluster.home)/components/plays.\(cluster.domain).secret" }

    private func look(_ read: [Letter]) throws {
        #expect(!secret.isEmpty && ProcessCluster.text(of: Self.secretFile(of: cluster)) == secret, "\(place): a component's secret")
        // A backup of it is whole: every row of every account is read.
        guard case .text(let path)? = try cluster.admin(chance.below(3)).demand("store", "backup", "\(backups)-\(cuts)").fact("path") else {
            throw ProcessFailure("no backup")
        }
        let verified = try ProcessCluster.files(["store", "verify", path])
        #expect(verified.error == nil && verified.fact("findings") == .integer(0), "\(place): \(verified.lines)")
        let new = try Chat.archive(Self.reader, after: archive.last?.archived, on: chance.below(3), of: cluster)
        archive += new
        expectAccepted(archive.map(\.id), to: 0, in: "the archive of \(Self.reader)")
        // What came was kept before, under the id it came with; what is not marked as late came in the order of the archive.
        let place = place
        let positions = Dictionary(archive.enumerated().map { ($1.id, $0) }) { first, _ in first }
        var last = -1
        for letter in read {
            guard let position = positions[letter.id] else {
                Issue.record("\(place): \(letter.id) was delivered and is not kept")
                continue
            }
            #expect(archive[position].archived == letter.stanzaID, "\(place): \(letter.id) is archived under another id")
            if !letter.isDelayed {
                #expect(position > last, "\(place): \(letter.id) came late")
                last = position
            }
        }
        delivered += read.count
        try roster.look(place)
        try accounts.look(try cluster.admin(chance.below(3)), place)
    }

    /// All that was acknowledged is among these ids, in the order of each writer, nothing twice.
    private func expectAccepted(_ ids: [String], to target: Int, in what: String) {
        let letters = ids.filter { $0.hasPrefix("writer") }
        let there = Set(letters)
        #expect(there.count == letters.count, "\(place): something is twice in \(what)")
        for writer in writers {
            let numbers = letters.filter { $0.hasPrefix(writer.name + "-") }.compactMap {
                $0.split(separator: "-").last.flatMap { Int($0) }
            }
            #expect(zip(numbers, numbers.dropFirst()).allSatisfy { $0 < $1 }, "\(place): \(writer.name) in disorder in \(what)")
            let lost = writer.kept.filter { $0 % 2 == target && !there.contains("\(writer.name)-\($0)") }
            #expect(lost.isEmpty, "\(place): acknowledged to \(writer.name), and not in \(what)")
        }
    }

    /// Reads what is owed, and every archive from its beginning.
    func finish() throws {
        let owed = try Chat.drain(Self.away, on: 0, of: cluster)
        expectAccepted(owed.map(\.id), to: 1, in: "what was owed to \(Self.away)")
        for writer in writers {
            let own = try Chat.archive(writer.name, on: chance.below(3), of: cluster).map(\.id)
            for target in 0..<2 { expectOwn(own, of: writer, to: target) }
        }
        #expect(writers.allSatisfy { $0.accepted > 0 } && roster.accepted > 0 && accounts.accepted > 0 && delivered > 0)
        print(
            """
            power loss: \(cuts) cuts (MARTLET_SEED=\(seed)); acknowledged: \(writers.reduce(0) { $0 + $1.kept.count }) messages, \
            \(roster.accepted) roster changes, \(accounts.accepted) account changes; refused when the disk was gone: \
            \(writers.reduce(0) { $0 + $1.refused.count }); delivered: \(delivered); slowest start of all nodes \(slowestStart / 1_000_000) ms
            """)
    }

    private func expectOwn(_ ids: [String], of writer: ManagedPen, to target: Int) {
        let there = Set(ids)
        #expect(there.count == ids.count, "\(place): something is twice in the archive of \(writer.name)")
        let lost = writer.kept.filter { $0 % 2 == target && !there.contains("\(writer.name)-\($0)") }
        #expect(lost.isEmpty, "\(place): not in the archive of its writer")
    }
}
