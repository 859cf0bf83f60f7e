import Authentication
import BusProtocol
import COpenSSL
import Settings
import Stanzas

extension Benchmark {
    /// Links between nodes, logins, resumptions.
    static let steps = [
        // A batch of 400 bytes from one end of a link to the other.
        Benchmark(name: "bus-frame") {
            let ends = ["a", "b"].enumerated().map { index, name in
                NodeInfo(
                    id: NodeID(name: name, incarnation: UInt64(index) + 1), pid: 1, startTime: 1, featureLevel: 1, loops: 1,
                    volumeID: [7], product: "Martlet")
            }
            var sender = LinkMachine(me: ends[0], peerName: "b", limits: LinkLimits())
            var receiver = LinkMachine(me: ends[1], peerName: "a", limits: LinkLimits())
            sender.connected(at: 1)
            receiver.connected(at: 1)
            let payload = [UInt8](repeating: 65, count: 400)
            var (there, back): ([UInt8], [UInt8]) = ([], [])

            /// Everything that may leave arrives; answers how many payloads.
            func exchange() throws -> Int {
                var found = 0
                while sender.hasOutput || receiver.hasOutput {
                    there.removeAll(keepingCapacity: true)
                    back.removeAll(keepingCapacity: true)
                    sender.write(into: &there, limit: 1 << 20)
                    receiver.write(into: &back, limit: 1 << 20)
                    for frame in try frames(there) where try isDelivery(receiver.receive(frame, at: 1)) { found += 1 }
                    for frame in try frames(back) { _ = try sender.receive(frame, at: 1) }
                }
                return found
            }
            _ = try exchange()
            return {
                guard sender.post(payload, fromLoop: 0, toLoop: 0, lane: .stanza), try exchange() == 1 else {
                    throw Broken("the payload did not arrive")
                }
            }
        },
        // The server's part of a login from the client's first message to the verdict; of what its client computes, one HMAC.
        Benchmark(name: "scram-sha-256", rounds: 200) {
            let service = try SASLService()
            let password = "a password for benchmarks"
            let credentials = try Credentials.derive(password: password, iterations: 4096)
            guard let key = credentials.keys[.sha256] else { throw Broken("no key") }
            var salted = [UInt8](repeating: 0, count: 32)
            PKCS5_PBKDF2_HMAC(password, Int32(password.utf8.count), key.salt, Int32(key.salt.count), 4096, EVP_sha256(), 32, &salted)
            let clientKey = hmac(salted, "Client Key")
            let fake = FakeCredentials(secret: Array("a secret of the cluster".utf8), iterations: 4096)
            let offered = service.mechanisms(encrypted: true, bindings: [], policy: MechanismPolicy())
            let advertised = AdvertisedMechanisms(mechanisms: offered, channelBindings: [])
            let firstBare = "n=romeo,r=fyko+d2lbbFgONRv9qkxdawL"
            return {
                let exchange = SASLExchange(
                    service: service, host: Bed.domain, mechanism: "SCRAM-SHA-256", offered: offered, encrypted: true, bindings: nil,
                    fake: fake, advertised: advertised)
                guard case .needCredentials = exchange.begin(initial: Array("n,,\(firstBare)".utf8)),
                    case .challenge(let challenge) = exchange.credentials(credentials, disabled: false)
                else { throw Broken("no challenge") }
                let text = String(decoding: challenge, as: UTF8.self)
                let withoutProof = "c=biws,\(text.prefix { $0 != "," })"
                let signature = hmac(key.storedKey, "\(firstBare),\(text),\(withoutProof)")
                let proof = Base64.encode(zip(clientKey, signature).map { $0 ^ $1 })
                guard case .success = exchange.respond(Array("\(withoutProof),p=\(proof)".utf8)) else { throw Broken("no login") }
            }
        },
        // A session whose socket was lost and that has one message for its client goes on on another socket of the same loop.
        Benchmark(name: "resume", rounds: 300) {
            let bed = try Bed {
                $0.durability = .relay
                $0.archive = false
            }
            let (romeo, first) = (try bed.online("romeo"), try bed.online("juliet"))
            first.receive("<enable xmlns='\(NS.streamManagement)' resume='true'/>")
            bed.settle()
            bed.volume.isSealed = true
            let message = Sample.chat(to: "juliet@\(Bed.domain)")
            let account = first.account
            let id = first.managementID
            var client = first
            var received: UInt32 = 0
            return {
                client.lose()
                bed.settle()
                romeo.receive(message)
                bed.settle()
                let next = try BenchClient(bed, account: account)
                next.resume(id, h: received)
                bed.settle()
                guard next.session != nil, next.written > message.count else { throw Broken("the session is not resumed") }
                client = next
                received += 1
            }
        },
    ]

    private static func hmac(_ key: [UInt8], _ text: String) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: 32)
        let bytes = Array(text.utf8)
        HMAC(EVP_sha256(), key, Int32(key.count), bytes, bytes.count, &result, nil)
        return result
    }

    private static func isDelivery(_ answer: LinkAnswer?) -> Bool { if case .deliver = answer { true } else { false } }

    private static func frames(_ bytes: [UInt8]) throws -> [Frame] {
        try bytes.withUnsafeBytes { all in
            var found: [Frame] = []
            var position = 0
            while let (frame, size) = try FrameCodec.decode(UnsafeRawBufferPointer(rebasing: all[position...])) {
                found.append(frame)
                position += size
            }
            return found
        }
    }
}
