import CFaults
import Stanzas
import TestKit
import Testing
import XMLStream

extension AllFaults {
    /// Clients' connections that break after every byte, and at every call: nobody falls over, what was acknowledged arrives, once where the
    /// session goes on, and nothing of a broken connection stays.
    @Suite struct SocketTests {
        @Test func aConnectionMayBreakAtAnyByte() async throws {
            let server = try SocketServer(accounts: ["romeo", "juliet"])
            try await server.start()
            do {
                let evening = try Evening(server)
                faults_arm_bytes(Drill.prefix, Int32(server.port), -1, 0)
                try evening.talk()
                Drill.pause()
                let (received, sent) = (faults_bytes(Int32(FAULTS_RECEIVE)), faults_bytes(Int32(FAULTS_SEND)))
                try evening.reckon("nothing breaks")
                var trials = 0
                for (kind, bytes) in [(CallKind.receive, received), (.send, sent)] {
                    // A prime apart, so that every part of the conversation is met.
                    for count in stride(from: UInt64(0), to: bytes, by: Drill.isLong ? 1 : 199) {
                        faults_arm_bytes(Drill.prefix, Int32(server.port), kind.rawValue, count)
                        let what = "a reset after \(count) bytes, \(kind)"
                        do {
                            try evening.talk()
                            Drill.pause()
                            try evening.reckon(what)
                        } catch { Issue.record("\(what): \(error)") }
                        trials += 1
                    }
                }
                Drill.pause()
                print("faults: client connections: \(received) bytes received, \(sent) sent, \(trials) resets")
                try evening.close()
            } catch {
                Issue.record(error)
            }
            Drill.pause()
            await server.stop()
        }

        @Test func aConnectionMayFailAtAnyCall() async throws {
            let server = try SocketServer(accounts: ["romeo", "juliet"])
            try await server.start()
            do {
                let evening = try Evening(server)
                let calls = try Drill.count(port: server.port) { try evening.talk() }
                try evening.reckon("nothing fails")
                Drill.all("client connections", calls, share: 3, port: server.port, isExact: false) { trial in
                    try evening.talk()
                    Drill.pause()
                    try evening.reckon("\(trial)")
                }
                try evening.close()
            } catch {
                Issue.record(error)
            }
            Drill.pause()
            await server.stop()
        }
    }

    /// Romeo talks over connections that break, juliet listens over one that does not.
    private final class Evening {
        let server: SocketServer
        private let juliet: XMPPClient
        private var evenings = 0
        /// Ids of this evening that were said again in a session of its own, since nobody knows what the server had of them.
        private var repeated: Set<String> = []
        private var descriptors = 0

        init(_ server: SocketServer) throws {
            self.server = server
            juliet = try XMPPClient(port: UInt16(server.port), domain: SocketServer.domain, user: "juliet", resource: "balcony")
            try juliet.send("<presence/>")
            try fence(juliet, "here")
            descriptors = openDescriptors()
        }

        func close() throws { try juliet.close() }

        private var ids: [String] { (0..<4).map { "e\(evenings)-\($0)" } }

        /// One conversation to its end, whatever breaks: login, a roster, messages, a connection that is dropped on purpose, a resumption, one
        /// message more. Whoever loses his connection comes back, resumes if he can, and says again what nobody acknowledged.
        func talk() throws {
            evenings += 1
            repeated = []
            var talk = Talk(port: UInt16(server.port), rest: ids)
            for _ in 0..<8 {
                do {
                    if try talk.goOn() { return repeated = talk.repeated }
                } catch is ProcessFailure {
                    // The connection broke: once more.
                    talk.lost()
                }
            }
            throw Trouble("it breaks again and again")
        }

        /// Everything is there, in order, and once where it was not said again; nothing of the broken connections stays.
        func reckon(_ what: String) throws {
            var came: [String] = []
            for stanza in try fence(juliet, "after-\(evenings)") where stanza.local == "message" { came.append(stanza["id"] ?? "") }
            var seen: [String] = []
            for id in came where !seen.contains(id) { seen.append(id) }
            #expect(seen == ids, "\(what): all of it came in order: \(came)")
            for id in seen where !repeated.contains(id) { #expect(came.count { $0 == id } == 1, "\(what): \(id) came once: \(came)") }
            try eventually(
                "\(what): one connection is left, not \(server.connections), and one session, not \(server.sessions)"
            ) {
                server.connections == 1 && server.sessions == 1 && openDescriptors() == descriptors
            }
        }

        /// Waits until everything before has come, and answers what did.
        @discardableResult
        private func fence(_ client: XMPPClient, _ id: String) throws -> [Element] {
            // This server has no module that answers a ping: the error is an answer too.
            try client.send("<iq type='get' id='\(id)'><ping xmlns='urn:xmpp:ping'/></iq>")
            var came: [Element] = []
            while true {
                let stanza = try Element.parse(Array(try client.receive().utf8))
                if stanza.local == "iq", stanza["id"] == id { return came }
                came.append(stanza)
            }
        }
    }

    /// What a client with stream management knows of its conversation.
    private struct Talk {
        let port: UInt16
        /// Ids that are still to be said.
        var rest: [String]
        /// The session that can be resumed.
        private var known: ClientManagement?
        private var jid = ""
        private var client: XMPPClient?
        /// Said in a session that is lost, and not acknowledged.
        private var doubtful: [String] = []
        private(set) var repeated: Set<String> = []
        private var wasDropped = false

        init(port: UInt16, rest: [String]) {
            self.port = port
            self.rest = rest
        }

        private func message(_ id: String) -> String {
            "<message to='juliet@\(SocketServer.domain)' type='chat' id='\(id)'><body>\(id)</body></message>"
        }

        /// Answers whether everything is said.
        mutating func goOn() throws -> Bool {
            let client = try connect()
            self.client = client
            for id in doubtful { try say(id, client) }
            doubtful = []
            if !wasDropped {
                try client.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
                while rest.count > 1 { try sayNext(client) }
                try client.waitUntilHandled()
                wasDropped = true
                lost()
                return false
            }
            while !rest.isEmpty { try sayNext(client) }
            try client.waitUntilHandled()
            // A session whose farewell is lost waits for its client.
            do { try client.close() } catch is ProcessFailure {}
            guard client.end == "closed" else {
                lost()
                return false
            }
            return true
        }

        private mutating func sayNext(_ client: XMPPClient) throws { try say(rest.removeFirst(), client) }

        private mutating func say(_ id: String, _ client: XMPPClient) throws {
            do { try client.send(message(id)) } catch {
                // Where it is in the client's list, it is said again from there.
                if client.management?.unacknowledged.contains(where: { $0.contains("'\(id)'") }) != true { rest.insert(id, at: 0) }
                throw error
            }
        }

        private mutating func connect() throws -> XMPPClient {
            if let previous = known {
                let client = try XMPPClient(port: port, domain: SocketServer.domain, user: "romeo", resuming: previous, jid: jid)
                guard client.refusal != nil else { return client }
                // The session is over, and what was not acknowledged may have been handled or not.
                known = nil
                doubtful = ids(previous.unacknowledged)
                repeated.formUnion(doubtful)
                client.drop()
            }
            let client = try XMPPClient(port: port, domain: SocketServer.domain, user: "romeo", resource: "orchard")
            jid = client.jid
            try client.enableManagement()
            return client
        }

        /// The connection is gone; what is known of the session stays.
        mutating func lost() {
            if let management = client?.management, management.id != nil { known = management }
            client?.drop()
            client = nil
        }

        private func ids(_ stanzas: [String]) -> [String] {
            stanzas.compactMap { try? Element.parse(Array($0.utf8)) }.filter { $0.local == "message" }.compactMap { $0["id"] }
        }
    }
}
