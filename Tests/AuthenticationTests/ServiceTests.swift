import Testing

@testable import Authentication

@Suite struct ServiceTests {
    let service: SASLService

    init() throws { service = try SASLService() }

    @Test func startsOnceForAll() async throws {
        let count = try await withThrowingTaskGroup(of: SASLService.self) { group in
            for _ in 0..<8 { group.addTask { try SASLService() } }
            return try await group.reduce(0) { count, _ in count + 1 }
        }
        #expect(count == 8)
    }

    @Test func offersTheBestFirst() {
        let policy = MechanismPolicy()
        let all = service.mechanisms(encrypted: true, bindings: TestServer.bindings.types, policy: policy)
        #expect(
            all == [
                "SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN",
            ])
        #expect(
            service.mechanisms(encrypted: true, bindings: [], policy: policy) == ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"])
    }

    @Test func offersNothingInTheClearUnlessTold() {
        var policy = MechanismPolicy()
        #expect(service.mechanisms(encrypted: false, bindings: TestServer.bindings.types, policy: policy).isEmpty)
        policy.scramWithoutTLS = true
        #expect(
            service.mechanisms(encrypted: false, bindings: TestServer.bindings.types, policy: policy) == [
                "SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1",
            ])
    }

    @Test func offersHashesAllAccountsHave() {
        let policy = MechanismPolicy(mechanisms: ["SCRAM-SHA-256", "SCRAM-SHA-1"], hashes: [.sha1, .sha512])
        #expect(service.mechanisms(encrypted: true, bindings: [.tlsExporter], policy: policy) == ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"])
    }

    @Test func offersNothingElse() {
        let policy = MechanismPolicy(mechanisms: ["EXTERNAL", "DIGEST-MD5", "ANONYMOUS", "SCRAM-SHA-1-PLUS", "plain", "LOGIN"])
        #expect(service.mechanisms(encrypted: true, bindings: [.tlsExporter], policy: policy).isEmpty)
    }

    @Test func bindingTypes() {
        #expect(TestServer.bindings.types == [.tlsExporter, .tlsServerEndPoint])
        #expect(ChannelBindings(tlsExporter: [], tlsUnique: [1]).types == [.tlsUnique])
        #expect(ChannelBindings().types.isEmpty)
    }

    @Test func fakesLookLikeTheMajority() throws {
        let shapes: [SCRAMHash: FakeCredentials.Shape] = [
            .sha1: .init(iterations: 8192, saltLength: 12), .sha256: .init(iterations: 10_000),
        ]
        let fake = FakeCredentials(secret: [1, 2, 3], shapes: shapes)
        let key = try fake.record(for: "nobody", host: "example.com", hash: .sha1)
        #expect(key.iterations == 8192 && key.salt.count == 12 && key.hash == .sha1)
        #expect(try fake.record(for: "nobody", host: "example.com", hash: .sha1) == key)
        #expect(try fake.record(for: "nobody", host: "example.com", hash: .sha256).salt.count == 16)
        #expect(try fake.strongest(for: "nobody", host: "example.com").hash == .sha256)
        let others = [
            try fake.record(for: "nobodx", host: "example.com", hash: .sha1),
            try fake.record(for: "nobody", host: "example.org", hash: .sha1),
            try FakeCredentials(secret: [1, 2, 4], shapes: shapes).record(for: "nobody", host: "example.com", hash: .sha1),
        ]
        for other in others {
            #expect(other.salt != key.salt && other.storedKey != key.storedKey && other.serverKey != key.serverKey)
        }
        let extreme = FakeCredentials.Shape(iterations: .min, saltLength: .max)
        #expect(extreme.iterations == 4096 && extreme.saltLength == SCRAMKey.maximumSaltLength)
        let noShape = try FakeCredentials(secret: [], shapes: [:]).record(for: "nobody", host: "example.com", hash: .sha512)
        #expect(noShape.iterations == 4096 && noShape.salt.count == 16)
    }
}
