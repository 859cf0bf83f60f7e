import AdminLanguage
import Glibc
import Synchronization
import TestKit
import Testing
import XMLStream

/// Whether a round of a drill goes on.
final class Round: Sendable {
    private let isOver = Atomic<Bool>(false)
    func end() { isOver.store(true, ordering: .relaxed) }
    var goesOn: Bool { !isOver.load(ordering: .relaxed) }
}

/// Somebody who writes, or reads, until the round is over or the cluster is gone. A thread uses it, and when that has ended, the test.
protocol Pen: AnyObject, Sendable {
    func run(_ round: Round)
    /// Whether it has done something since there is such a pen.
    var isUnderWay: Bool { get }
}

/// Writes numbered messages over stream management, which says what is handled. Whatever is not acknowledged when the cluster dies is
/// sent again, as any client would.
final class ManagedPen: Pen, @unchecked Sendable {
    // @unchecked: see `Pen`; `count` is atomic.
    let name: String
    private let node: Int
    private let targets: [String]
    private let cluster: ProcessCluster
    private let count = Atomic<Int>(0)
    /// Numbers that came back as errors.
    private(set) var refused: Set<Int> = []

    init(_ name: String, node: Int, to targets: [String], _ cluster: ProcessCluster) {
        self.name = name
        self.node = node
        self.targets = targets
        self.cluster = cluster
    }

    /// Messages below this number are acknowledged.
    var accepted: Int { count.load(ordering: .relaxed) }
    var isUnderWay: Bool { accepted > 0 }

    /// Messages that were acknowledged and not refused.
    var kept: [Int] { (0..<accepted).filter { !refused.contains($0) } }

    func run(_ round: Round) {
        guard let client = try? cluster.connect(name, resource: "pen", node: node), (try? client.enableManagement(resume: false)) != nil
        else { return }
        let base = accepted
        var next = base
        while round.goesOn {
            let batch = next..<(next + 1 + next % 7)
            next = batch.upperBound
            let text = batch.map { Chat.message(to: targets[$0 % targets.count], id: "\(name)-\($0)", filler: $0 % 50 * 20) }.joined()
            let isHandled = (try? client.send(text)) != nil && (try? client.waitUntilHandled()) != nil
            // An error comes before the acknowledgement of what it refuses.
            for stanza in client.receiveAll() where stanza.contains("type='error'") || stanza.contains("type=\"error\"") {
                if let letter = Letter(stanza) { refused.insert(letter.number) }
            }
            count.store(base + Int(client.management?.acknowledged ?? 0), ordering: .relaxed)
            guard isHandled else { break }
        }
        client.drop()
    }
}

/// Changes a roster, one contact after the other, and waits for each result.
final class RosterPen: Pen, @unchecked Sendable {
    // @unchecked: see `Pen`; `count` is atomic.
    private static let contacts = 30
    let name: String
    private let node: Int
    private let cluster: ProcessCluster
    private let count = Atomic<Int>(0)

    init(_ name: String, node: Int, _ cluster: ProcessCluster) {
        self.name = name
        self.node = node
        self.cluster = cluster
    }

    /// Changes below this number have their result.
    var accepted: Int { count.load(ordering: .relaxed) }
    var isUnderWay: Bool { accepted > 0 }

    func run(_ round: Round) {
        guard let client = try? cluster.connect(name, resource: "list", node: node) else { return }
        while round.goesOn {
            let number = accepted
            let contact = number % Self.contacts
            let what = Self.removes(number) ? "subscription='remove'" : "name='\(number)'"
            let item = "<iq type='set' id='r\(number)'><query xmlns='jabber:iq:roster'><item jid='c\(contact)@x.lit' \(what)/></query></iq>"
            guard (try? client.send(item)) != nil, let answer = try? client.receive(where: { $0["id"] == "r\(number)" }),
                answer["type"] == "result"
            else { break }
            count.store(number + 1, ordering: .relaxed)
        }
        client.drop()
    }

    /// A contact is taken out again in its every third turn.
    private static func removes(_ number: Int) -> Bool { number / contacts % 3 == 2 }

    private static func state(after changes: Int) -> [String: String] {
        var state: [String: String] = [:]
        for number in 0..<changes { state["c\(number % contacts)@x.lit"] = removes(number) ? nil : "\(number)" }
        return state
    }

    /// The roster is as it was answered; the change that was under way is there or not.
    func look(_ place: Comment) throws {
        let client = try cluster.connect(name, resource: nil, node: node)
        try client.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
        let query = try client.receive { $0["id"] == "roster" }.first(local: "query", namespace: "jabber:iq:roster")
        var found: [String: String] = [:]
        if let query { for item in query.children { found[item["jid"] ?? ""] = item["name"] } }
        try client.close()
        let isRight = found == Self.state(after: accepted) || found == Self.state(after: accepted + 1)
        #expect(isRight, "\(place): the roster after \(accepted) changes is \(found.sorted { $0.key < $1.key })")
    }
}

/// Makes accounts over the console of a node, and disables every third of them.
final class AccountPen: Pen, @unchecked Sendable {
    // @unchecked: see `Pen`; `count` is atomic.
    private let cluster: ProcessCluster
    private let count = Atomic<Int>(0)

    init(_ cluster: ProcessCluster) { self.cluster = cluster }

    /// Commands below this number were answered with `ok`.
    var accepted: Int { count.load(ordering: .relaxed) }
    var isUnderWay: Bool { accepted > 0 }

    func run(_ round: Round) {
        while round.goesOn {
            let number = accepted
            guard let admin = try? cluster.admin(number % cluster.names.count) else { return }
            let words = ["user", Self.disables(number) ? "disable" : "add", jid(Self.disables(number) ? number - 1 : number)]
            guard let answer = try? admin.ask(words, secret: [XMPPClient.password]) else { return }
            // What was done and not answered before the cut is there already.
            guard answer.error == nil || answer.error == .exists else { return }
            count.store(number + 1, ordering: .relaxed)
        }
    }

    private static func disables(_ number: Int) -> Bool { number % 4 == 3 }
    private func jid(_ number: Int) -> String { "made\(number)@\(cluster.domain)" }

    /// Every account is as it was answered; what was under way is done or not.
    func look(_ admin: ProcessAdmin, _ place: Comment) throws {
        var found: [String: ReplyValue] = [:]
        for row in try admin.demand("user", "list", "made*", "--limit", "1000").rows {
            if case .text(let jid)? = row["jid"] { found[jid] = row["state"] }
        }
        var wanted: [String: ReplyValue] = [:]
        for number in 0..<accepted {
            wanted[jid(Self.disables(number) ? number - 1 : number)] = .text(Self.disables(number) ? "disabled" : "enabled")
        }
        if Self.disables(accepted) {
            found[jid(accepted - 1)] = wanted[jid(accepted - 1)]
        } else {
            found[jid(accepted)] = nil
        }
        #expect(found == wanted, "\(place): the accounts after \(accepted) commands")
        guard let last = (0..<accepted).last(where: { !Self.disables($0) && !Self.disables($0 + 1) }) else { return }
        try cluster.connect("made\(last)", resource: nil, node: 0).close()
    }
}

/// Reads what comes to an account, and remembers it.
final class Eyes: Pen, @unchecked Sendable {
    // @unchecked: see `Pen`.
    private let name: String
    private let cluster: ProcessCluster
    private(set) var read: [Letter] = []
    private let hasRead = Atomic<Bool>(false)
    var isUnderWay: Bool { hasRead.load(ordering: .relaxed) }

    init(_ name: String, _ cluster: ProcessCluster) {
        self.name = name
        self.cluster = cluster
    }

    func run(_ round: Round) {
        guard let client = try? cluster.connect(name, resource: "balcony", node: 2), (try? client.send("<presence/>")) != nil else {
            return
        }
        while round.goesOn, client.end == nil { take(client.receive(by: Deadline(in: .milliseconds(50)))) }
        client.receiveAll().forEach(take)
        client.drop()
    }

    private func take(_ stanza: String?) {
        guard let stanza, let letter = Letter(stanza) else { return }
        read.append(letter)
        hasRead.store(true, ordering: .relaxed)
    }
}
