import ServerCore
import Settings
import Stanzas

extension Benchmark {
    /// From the framer of the sender to the bytes for the receiver, with all the ticks between, on one loop.
    static let routing = [
        chat("chat-relay") {
            $0.durability = .relay
            $0.archive = false
        },
        // Kept for the receiver and archived for both; the volume takes it and does nothing.
        chat("chat-kept") { _ in },
        Benchmark(name: "iq-session") {
            let bed = try Bed()
            let (romeo, juliet) = (try bed.online("romeo"), try bed.online("juliet"))
            guard let to = juliet.session?.fullJID, let from = romeo.session?.fullJID else { throw Broken("no session") }
            bed.befriend(romeo, [juliet])
            bed.volume.isSealed = true
            let request = Array("<iq type='get' id='i1' to='\(to)'><ping xmlns='urn:xmpp:ping'/></iq>".utf8)
            let result = Array("<iq type='result' id='i1' to='\(from)'/>".utf8)
            return {
                (romeo.written, juliet.written) = (0, 0)
                romeo.receive(request)
                bed.settle()
                juliet.receive(result)
                bed.settle()
                guard juliet.written > request.count, romeo.written > result.count else { throw Broken("no answer") }
            }
        },
        Benchmark(name: "iq-ping") {
            let bed = try Bed()
            let romeo = try bed.online("romeo")
            bed.volume.isSealed = true
            let request = Array("<iq type='get' id='i1' to='\(Bed.domain)'><ping xmlns='urn:xmpp:ping'/></iq>".utf8)
            return {
                romeo.written = 0
                romeo.receive(request)
                bed.settle()
                guard romeo.written > 0 else { throw Broken("no answer") }
            }
        },
        // An operation is a delivery.
        Benchmark(name: "presence", rounds: 50, operations: 100) {
            let bed = try Bed()
            let romeo = try bed.online("romeo")
            let contacts = try (0..<100).map { try bed.online("contact\($0)") }
            bed.befriend(romeo, contacts)
            bed.volume.isSealed = true
            let shown = ["away", "dnd"].map { Array("<presence><show>\($0)</show><status>At the orchard</status></presence>".utf8) }
            var round = 0
            return {
                for contact in contacts { contact.written = 0 }
                round += 1
                romeo.receive(shown[round % 2])
                bed.settle()
                for contact in contacts where contact.written == 0 { throw Broken("\(contact.account) got nothing") }
            }
        },
    ]

    private static func chat(_ name: String, _ change: @escaping @Sendable (inout Settings.Host) -> Void) -> Benchmark {
        Benchmark(name: name) {
            let bed = try Bed(change)
            let (romeo, juliet) = (try bed.online("romeo"), try bed.online("juliet"))
            bed.volume.isSealed = true
            let message = Sample.chat(to: "juliet@\(Bed.domain)")
            return {
                juliet.written = 0
                romeo.receive(message)
                bed.settle()
                guard juliet.written > message.count else { throw Broken("the message did not arrive") }
            }
        }
    }
}
