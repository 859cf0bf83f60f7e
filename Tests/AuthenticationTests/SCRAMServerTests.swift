import Stanzas
import Testing

@testable import Authentication

/// The server's side of SCRAM by itself, and what it tells of the offer (XEP-0474).
@Suite struct SCRAMServerTests {
    struct Vector: Sendable, CustomTestStringConvertible {
        var name: String
        var hash: SCRAMHash
        var salt: String
        var first: String
        var nonce: String
        var binding: String?
        var offer: AdvertisedMechanisms?
        var challenge: String
        var last: String
        var answer: String
        var testDescription: String { name }
    }

    static let vectors = [
        Vector(
            name: "RFC 5802 §5", hash: .sha1, salt: "QSXCR+Q6sek8bf92", first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            nonce: "3rfcNHYJY1ZVvWVs7j", challenge: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            last: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            answer: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="),
        Vector(
            name: "RFC 7677 §3", hash: .sha256, salt: "W22ZaJ0SNY7soEsUEjb6gQ==", first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            challenge: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            last: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            answer: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
        Vector(
            name: "XEP-0474 §6.3", hash: .sha1, salt: "QSXCR+Q6sek8bf92",
            first: "p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6", nonce: "a09117a6-ac50-4f2f-93f1-93799c2bddf6",
            binding: "THIS IS FAKE CB DATA",
            offer: AdvertisedMechanisms(
                mechanisms: ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"], channelBindings: ["tls-server-end-point", "tls-exporter"]),
            challenge:
                "r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,s=QSXCR+Q6sek8bf92,i=4096,h=G6k/rBLDqgOhRRaCuuatSDFkJ08=",
            last:
                "c=cD10bHMtZXhwb3J0ZXIsLFRISVMgSVMgRkFLRSBDQiBEQVRB,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,x=19C6532F-1CF4-4A27-A18D-DC9CEA41BBB3,p=M/SIDjT+dfcxUh89jZEypRvFxB4=",
            answer: "v=MQrMPvv7yv4x4Cq4W4Ih25EqS2c="),
    ]

    private func server(_ vector: Vector, password: String = "pencil") throws -> SCRAMServer {
        let salt = try #require(Base64.decode(vector.salt.utf8))
        let key = try Array(password.utf8).withUnsafeBytes {
            try SCRAMKey(hash: vector.hash, prepared: $0, salt: salt, iterations: 4096)
        }
        return SCRAMServer(
            key: key, first: try SCRAMClientFirst(Array(vector.first.utf8)), binding: vector.binding.map { Array($0.utf8) },
            nonce: Array(vector.nonce.utf8), offer: vector.offer)
    }

    private func verdict(_ server: SCRAMServer, _ last: String, _ hash: SCRAMHash) throws -> String? {
        server.verdict(try SCRAMClientFinal(Array(last.utf8), hash: hash)).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test(arguments: vectors) func saysWhatTheExamplesSay(_ vector: Vector) throws {
        let server = try server(vector)
        #expect(String(decoding: server.challenge, as: UTF8.self) == vector.challenge)
        #expect(try verdict(server, vector.last, vector.hash) == vector.answer)
    }

    /// Every bit of the proof counts, and everything that the proof is made over.
    @Test(arguments: vectors) func takesNothingElse(_ vector: Vector) throws {
        let good = try server(vector)
        #expect(try verdict(try server(vector, password: "pencils"), vector.last, vector.hash) == nil)
        let last = try SCRAMClientFinal(Array(vector.last.utf8), hash: vector.hash)
        for index in last.proof.indices {
            var forged = last
            forged.proof[index] ^= UInt8(1 << (index % 8))
            #expect(good.verdict(forged) == nil)
        }
        for change in [\SCRAMClientFinal.binding, \.nonce, \.withoutProof] {
            var forged = last
            forged[keyPath: change][0] ^= 1
            #expect(good.verdict(forged) == nil)
        }
        // Another offer: the client's proof does not hold for what we said.
        var other = vector
        other.offer = AdvertisedMechanisms(mechanisms: ["SCRAM-SHA-1"], channelBindings: [])
        #expect(try verdict(try server(other), vector.last, vector.hash) == nil)
    }

    @Test func sortsByOctets() {
        func text(_ mechanisms: [String], _ bindings: [String]) -> String {
            String(decoding: AdvertisedMechanisms(mechanisms: mechanisms, channelBindings: bindings).text, as: UTF8.self)
        }
        #expect(
            text(
                ["SCRAM-SHA-512-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "PLAIN"],
                ["tls-server-end-point", "tls-exporter"])
                == "PLAIN\u{1E}SCRAM-SHA-1\u{1E}SCRAM-SHA-1-PLUS\u{1E}SCRAM-SHA-256\u{1E}SCRAM-SHA-512-PLUS\u{1F}tls-exporter\u{1E}tls-server-end-point"
        )
        #expect(text(["B", "a", "A"], []) == "A\u{1E}B\u{1E}a")
    }

    @Test(arguments: SCRAMHash.allCases) func aClientCanCheckTheOffer(_ hash: SCRAMHash) throws {
        var server = try TestServer(("juliet", "pencil"))
        server.isProtected = true
        for bound in [true, false] {
            if !bound { server.bindings = nil }
            let exchange = server.exchange(hash.mechanism)
            guard
                case .challenge(let challenge) = server.settle(
                    exchange.begin(initial: SCRAMClient(hash, "juliet", "pencil").first), exchange)
            else { throw SCRAMClient.Failure.challenge }
            let lists = [server.offered.sorted().joined(separator: "\u{1E}")] + (bound ? ["tls-exporter\u{1E}tls-server-end-point"] : [])
            let expected = Base64.encode(hash.digest(Array(lists.joined(separator: "\u{1F}").utf8)))
            #expect(String(decoding: challenge, as: UTF8.self).hasSuffix(",i=4096,h=\(expected)"))
        }
        server.isProtected = false
        let exchange = server.exchange(hash.mechanism)
        guard case .challenge(let challenge) = server.settle(exchange.begin(initial: SCRAMClient(hash, "juliet", "pencil").first), exchange)
        else { throw SCRAMClient.Failure.challenge }
        #expect(!String(decoding: challenge, as: UTF8.self).contains(",h="))
    }
}
