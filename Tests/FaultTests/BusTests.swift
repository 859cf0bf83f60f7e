import Bus
import BusProtocol
import Logging
import Settings
import Synchronization
import Testing

extension AllFaults {
    /// Two nodes and their link, with every call of it failing once: each letter arrives once and in order.
    @Suite struct BusTests {
        /// Letters each way; a few of them are more than a socket holds.
        private static let letters: [[UInt8]] = (0..<24).map { number in
            [UInt8](repeating: UInt8(number), count: number % 8 == 5 ? 250_000 : 40)
        }

        @Test func everyLetterArrivesOnceAndInOrder() throws {
            let calls = try Drill.count { try Self.talk("nothing fails") }
            // NIO has no answer to a thread that cannot be started but to end the process.
            Drill.all("link of two nodes", calls, share: 20, without: [.thread], isExact: false) { try Self.talk("\($0)") }
        }

        private static func talk(_ what: String) throws {
            let scratch = try Scratch()
            let (a, b) = (try Node("a", scratch.path), try Node("b", scratch.path))
            defer {
                a.links.stop()
                b.links.stop()
            }
            try eventually("\(what): the nodes see each other") { a.links.members.count == 1 && b.links.members.count == 1 }
            for letter in letters.prefix(12) {
                a.post(letter, to: b)
                b.post(letter, to: a)
            }
            // The rest when something is on its way, so that acknowledgements are too.
            try eventually("\(what): the first arrive") { !a.received.isEmpty && !b.received.isEmpty }
            for letter in letters.dropFirst(12) {
                a.post(letter, to: b)
                b.post(letter, to: a)
            }
            for (node, name) in [(a, "a"), (b, "b")] {
                try eventually("\(what): \(name) has all, not \(node.received.count), after \(node.downs) losses") {
                    node.received.count >= letters.count || node.downs > 0
                }
                let isWhole = node.received == letters
                #expect(isWhole, "\(what): \(name) has each once and in order")
                #expect(node.downs == 0, "\(what): a lost connection is nobody's death")
            }
        }

        /// A node of this process.
        private final class Node: Sendable {
            let links: StanzaLinks
            private let recorder = Recorder()

            init(_ name: String, _ directory: String) throws {
                var settings = Settings.Cluster()
                settings.beatMilliseconds = 5_000
                let me = NodeInfo.ofThisProcess(name: name, featureLevel: 1, loops: 1, volumeID: [1], product: "Martlet test")
                // A start that failed leaves nothing in the way of the next.
                do throws(BusError) {
                    links = try Self.start(me, directory, settings, recorder)
                } catch {
                    links = try Self.start(me, directory, settings, recorder)
                }
            }

            private static func start(
                _ me: NodeInfo, _ directory: String, _ settings: Settings.Cluster, _ recorder: Recorder
            ) throws(BusError) -> StanzaLinks {
                let links = StanzaLinks(
                    directory: directory, me: me, settings: settings, delegate: recorder,
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
                try links.start()
                return links
            }

            var received: [[UInt8]] { recorder.state.withLock { $0.received } }
            var downs: Int { recorder.state.withLock { $0.downs } }

            func post(_ letter: [UInt8], to other: Node) {
                links.post(letter, to: other.links.me.id, fromLoop: 0, toLoop: 0, lane: .stanza)
            }
        }

        private final class Recorder: BusDelegate {
            struct State {
                var received: [[UInt8]] = []
                var downs = 0
            }
            let state = Mutex(State())
            func busNodeUp(_ node: NodeInfo) {}
            func busNodeDown(_ node: NodeID, reason: NodeDownReason) { state.withLock { $0.downs += 1 } }
            func busReceived(_ payload: [UInt8], from: NodeID, fromLoop: UInt16, toLoop: UInt16, lane: Lane) {
                state.withLock { $0.received.append(payload) }
            }
        }
    }
}
