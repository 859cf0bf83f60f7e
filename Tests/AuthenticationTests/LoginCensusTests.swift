import Testing

@testable import Authentication

@Suite struct LoginCensusTests {
    private let all = Set(SCRAMHash.allCases)

    private func account(_ hashes: [SCRAMHash], iterations: Int = 4_096, salt: Int = 16) throws -> Credentials {
        try Credentials(
            hashes.map {
                try SCRAMKey(
                    hash: $0, salt: [UInt8](repeating: 1, count: salt), iterations: iterations,
                    storedKey: [UInt8](repeating: 2, count: $0.length), serverKey: [UInt8](repeating: 3, count: $0.length))
            })
    }

    private func tally(_ accounts: [Credentials]) -> LoginTally {
        var tally = LoginTally()
        for one in accounts { tally.add(one) }
        return tally
    }

    @Test func offersWhatNobodyLacks() throws {
        let full = try account(SCRAMHash.allCases)
        #expect(tally([]).offered(of: all) == all)
        #expect(tally([full, full]).offered(of: all) == all)
        #expect(tally([full, try account([.sha1, .sha256])]).offered(of: all) == [.sha1, .sha256])
        #expect(tally([full, try account([.sha1, .sha256]), try account([.sha256])]).offered(of: all) == [.sha256])
        // What the operator does not allow counts for nothing.
        #expect(tally([full, try account([.sha1, .sha512])]).offered(of: [.sha256, .sha512]) == [.sha512])
    }

    @Test func neverOffersNothing() throws {
        let (one, two) = (try account([.sha1]), try account([.sha256]))
        #expect(tally([one, two, one]).offered(of: all) == [.sha1])
        #expect(tally([one, two]).offered(of: all) == [.sha256])
        #expect(tally([one, one]).offered(of: [.sha512]) == [.sha512])
    }

    @Test func strangersLookLikeMost() throws {
        let census = LoginCensus(secret: [1, 2, 3], iterations: 4_096, mechanisms: SCRAMHash.allCases.map(\.mechanism))
        let empty = try census.host("a.example").fake.record(for: "nobody", host: "a.example", hash: .sha512)
        #expect(empty.iterations == 4_096 && empty.salt.count == 16)
        let odd = try account([.sha256], iterations: 10_000, salt: 20)
        census.replace(with: ["a.example": tally([odd, try account(SCRAMHash.allCases), odd])])
        let host = census.host("a.example")
        #expect(host.hashes == [.sha256])
        let shown = try host.fake.record(for: "nobody", host: "a.example", hash: .sha256)
        #expect(shown.iterations == 10_000 && shown.salt.count == 20)
        // A password in the clear takes as long as for most accounts.
        #expect(try host.fake.strongest(for: "nobody", host: "a.example").hash == .sha256)
        // Another host is none of it.
        #expect(census.host("b.example").hashes == all)
        #expect(try census.host("b.example").fake.record(for: "nobody", host: "b.example", hash: .sha256).iterations == 4_096)
    }

    @Test func aNewAccountCountsAtOnce() throws {
        let census = LoginCensus(secret: [1, 2, 3], iterations: 4_096, mechanisms: SCRAMHash.allCases.map(\.mechanism))
        census.add(try account([.sha1, .sha256]), to: "a.example")
        #expect(census.host("a.example").hashes == [.sha1, .sha256])
        census.add(try account([.sha256, .sha512]), to: "a.example")
        #expect(census.host("a.example").hashes == [.sha256])
        census.replace(with: [:])
        #expect(census.host("a.example").hashes == all)
    }

    @Test func saysNothingOfItsSecret() {
        var dumped = ""
        dump(LoginCensus(secret: Array("pssst".utf8), iterations: 4_096, mechanisms: []), to: &dumped)
        #expect(!dumped.contains("112"))
    }
}
