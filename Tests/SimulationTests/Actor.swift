@testable import ServerCore
import Stanzas
import TestKit
import XMLStream

/// A client in the simulation, and everything it may be judged by.
final class Actor {
    struct Receipt {
        var id: String
        var from: String
        var isDelayed: Bool
        /// The ids that the receiver's account gave it.
        var archived: [String]
    }

    let user: Int
    /// Its stream; another one after a resumption.
    var client: MemoryClient
    var node: Int
    /// Ids of what it sent, by the number its session gives them, and by the number it has in stream management (0: before that).
    var sent: [(id: String, to: Int, inSeq: UInt32, counted: UInt32)] = []
    /// The session as it was last known.
    private(set) var lastSession: Session?
    /// What it heard when it could not resume.
    private(set) var refusals: [String] = []
    /// Its stream broke, and it may come back.
    var isLost = false
    var usesManagement: Bool { management != nil }
    /// As the client counts, on whatever stream.
    var management: ClientManagement? { client.management ?? kept }
    private var kept: ClientManagement?
    private var earlier: [MemoryClient] = []
    var nextSeq: UInt32 = 1
    var receipts: [Receipt] = []
    /// Copies of what other sessions of its account sent or received (XEP-0280), by direction and id.
    var copies: [String: Int] = [:]
    /// Who else said to have made one.
    var forgedCopies: [String] = []
    var errors: Set<String> = []
    /// The last presence of each address it heard from.
    var sees: [String: Bool] = [:]
    var isAvailable = false
    var isOver = false

    init(user: Int, client: MemoryClient, node: Int) {
        self.user = user
        self.client = client
        self.node = node
    }

    var isBound: Bool { !isOver && client.session?.bind != nil && client.closedWith == nil }

    /// It goes on over another stream, or tries to.
    func resume(by client: MemoryClient, node: Int) {
        kept = management
        earlier.append(self.client)
        self.client = client
        self.node = node
        isLost = false
    }

    /// Whether the server said that it has handled what stands at this place of `sent`.
    func isHandled(_ index: Int) -> Bool {
        isHandled(sent[index].inSeq, sent[index].counted)
    }

    /// - Parameters:
    ///   - inSeq: The number that the session gave it.
    ///   - counted: That of stream management; 0: sent before.
    func isHandled(_ inSeq: UInt32, _ counted: UInt32) -> Bool {
        if counted != 0 { return management.map { $0.acknowledged >= counted } ?? false }
        guard let handled = lastSession?.inbound.handledThrough else { return false }
        return Int32(bitPattern: handled &- inSeq) >= 0
    }

    func send(_ xml: String) throws {
        nextSeq &+= 1
        try client.post(xml)
    }

    /// Reads what arrived.
    func read() throws {
        lastSession = client.session ?? lastSession
        // Too many, or its resource is taken.
        if client.bindError != nil { isOver = true }
        // Its stream was taken from it, and whether its session goes on it does not know.
        if let end = client.closedWith, end != "closed", end != "abandoned" {
            if management?.id != nil { isLost = true } else { isOver = true }
        }
        if let error = client.resumeError, !isOver {
            isOver = true
            // Asked for before the home heard that it can be: nobody comes back to it.
            for earlier in earlier { earlier.endAbandoned() }
            refusals.append("\(error.condition.name) h \(error.h.map { String($0) } ?? "unknown")")
        }
        for text in client.takeReceived() {
            let element = try Element.parse(Array(text.utf8))
            switch element.local {
            case "message" where element.children.contains { $0.namespace == "urn:xmpp:carbons:2" }:
                noteCopy(element)
            case "message":
                guard let id = element["id"], let from = element["from"] else { continue }
                if element["type"] == "error" {
                    errors.insert(id)
                } else {
                    let isDelayed = element.children.contains { $0.local == "delay" }
                    let archived = element.children.filter { $0.local == "stanza-id" }.compactMap { $0["id"] }
                    receipts.append(Receipt(id: id, from: from, isDelayed: isDelayed, archived: archived))
                }
            case "presence":
                guard let from = element["from"] else { continue }
                if element["type"] == "error" {
                    if let id = element["id"] { errors.insert(id) }
                    continue
                }
                // Answers to the probes of a session that had its name before may come first.
                if from == client.jid, element["type"] == nil, sees[from] != true { sees.removeAll() }
                if element["type"] == nil { sees[from] = true } else if element["type"] == "unavailable" { sees[from] = false }
                // What it saw says nothing any more: nobody tells it while it is away.
                if from == client.jid, element["type"] == "unavailable" { sees.removeAll() }
            case "iq": if element["type"] == "error", let id = element["id"] { errors.insert(id) }
            default: break
            }
        }
    }

    private func noteCopy(_ element: Element) {
        guard let copy = element.children.first(where: { $0.namespace == "urn:xmpp:carbons:2" }),
            let message = copy.children.first(where: { $0.local == "forwarded" })?.children.first(where: { $0.local == "message" })
        else { return forgedCopies.append("\(element)") }
        if element["from"] != lastSession?.account.description { forgedCopies.append(element["from"] ?? "") }
        if message["type"] != "error" { copies["\(copy.local) \(message["id"] ?? "")", default: 0] += 1 }
    }
}
