import COpenSSL
import Stanzas
import Testing

@testable import Authentication

@Suite struct CredentialsTests {
    // MARK: Derivation

    struct Vector: Sendable {
        var hash: SCRAMHash
        var salt: String
        var authMessage: String
        var proof: String
        var signature: String
    }

    /// The examples of RFC 5802 §5 and RFC 7677 §3, password "pencil", 4096 iterations.
    static let vectors = [
        Vector(
            hash: .sha1, salt: "QSXCR+Q6sek8bf92",
            authMessage: "n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,"
                + "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
            proof: "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", signature: "rmF9pqV8S7suAoZWja4dJRkFsKQ="),
        Vector(
            hash: .sha256, salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
            authMessage:
                "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
                + "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            proof: "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", signature: "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
    ]

    @Test(arguments: vectors) func derivesTheKeysOfTheRFCs(_ vector: Vector) throws {
        let salt = try #require(Base64.decode(vector.salt.utf8))
        let credentials = try Credentials.derive(password: "pencil", iterations: 4096, hashes: [vector.hash], salts: { _ in salt })
        let key = try #require(credentials.keys[vector.hash])
        // ServerSignature and ClientProof of the RFC must follow from our two keys.
        #expect(Base64.encode(vector.hash.hmac(key: key.serverKey, Array(vector.authMessage.utf8))) == vector.signature)
        let proof = try #require(Base64.decode(vector.proof.utf8))
        let clientSignature = vector.hash.hmac(key: key.storedKey, Array(vector.authMessage.utf8))
        #expect(vector.hash.digest(zip(proof, clientSignature).map { $0 ^ $1 }) == key.storedKey)
    }

    @Test func derivesWithSHA512() throws {
        let salted = try Array("password".utf8).withUnsafeBytes { try SCRAMHash.sha512.hi($0, salt: Array("salt".utf8), iterations: 4096) }
        let hex = salted.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        #expect(
            hex == "d197b1b33db0143e018b12f3d1d1479e6cdebdcc97c5c0f87f6902e072f457b5"
                + "143f30602641b3d55cd335988cb36b84376060ecd532e039b742a239434af2d5")
    }

    /// Against OpenSSL's own PBKDF2: passwords shorter and longer than a block of the hash, any salt, few rounds and many.
    @Test(arguments: SCRAMHash.allCases) func derivesWhatOpenSSLDoes(_ hash: SCRAMHash) throws {
        for (length, rounds) in [(0, 1), (1, 2), (63, 3), (64, 5), (65, 7), (127, 4), (128, 4), (129, 4), (1023, 4096)] {
            let password = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) }
            let salt = (0..<(length % 60 + 1)).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ 3) }
            let ours = try password.withUnsafeBytes { try hash.hi($0, salt: salt, iterations: rounds) }
            var theirs = [UInt8](repeating: 0, count: hash.length)
            let function =
                switch hash {
                case .sha1: EVP_sha1()
                case .sha256: EVP_sha256()
                case .sha512: EVP_sha512()
                }
            let done = password.withUnsafeBytes {
                PKCS5_PBKDF2_HMAC(
                    $0.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(length), salt, Int32(salt.count), Int32(rounds), function,
                    Int32(hash.length), &theirs)
            }
            #expect(done == 1 && ours == theirs, "\(hash), \(length) bytes, \(rounds) rounds")
        }
    }

    /// Against OpenSSL's own: keys shorter and longer than a block of the hash, and messages on both sides of one.
    @Test(arguments: SCRAMHash.allCases) func hashesWhatOpenSSLDoes(_ hash: SCRAMHash) throws {
        let function =
            switch hash {
            case .sha1: EVP_sha1()
            case .sha256: EVP_sha256()
            case .sha512: EVP_sha512()
            }
        let lengths = [0, 1, 20, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129, 1000]
        for length in lengths {
            let message = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 29 &+ 11) }
            var theirs = [UInt8](repeating: 0, count: hash.length)
            try #require(EVP_Digest(message, message.count, &theirs, nil, function, nil) == 1)
            #expect(hash.digest(message) == theirs, "\(hash), \(length) bytes")
            for keyLength in lengths {
                let key = (0..<keyLength).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 5) }
                try #require(HMAC(function, key, Int32(key.count), message, message.count, &theirs, nil) != nil)
                #expect(hash.hmac(key: key, message) == theirs, "\(hash), a key of \(keyLength) and \(length) bytes")
            }
        }
    }

    @Test func salts() throws {
        let a = try Credentials.derive(password: "pencil", iterations: 4096)
        let b = try Credentials.derive(password: "pencil", iterations: 4096)
        #expect(a.keys.count == 3)
        let all = SCRAMHash.allCases.flatMap { [a.keys[$0]?.salt, b.keys[$0]?.salt] }
        #expect(Set(all).count == 6 && all.allSatisfy { $0?.count == SCRAMKey.saltLength })
    }

    @Test func refusesBadPasswordsAndIterations() {
        #expect(throws: CredentialsError.password(.empty)) { try Credentials.derive(password: "", iterations: 4096) }
        #expect(throws: CredentialsError.password(.disallowedCharacter)) { try Credentials.derive(password: "a\u{7}b", iterations: 4096) }
        #expect(throws: CredentialsError.password(.tooLong)) {
            try Credentials.derive(password: String(repeating: "x", count: 5000), iterations: 4096)
        }
        for iterations in [Int.min, -1, 0, 4095, 1_000_001, Int.max] {
            #expect(throws: CredentialsError.iterations(iterations, allowed: 4096...1_000_000)) {
                try Credentials.derive(password: "pencil", iterations: iterations)
            }
        }
        #expect(throws: CredentialsError.empty) { try Credentials.derive(password: "pencil", iterations: 4096, hashes: []) }
    }

    @Test func verifies() throws {
        let credentials = try Credentials.derive(password: "p\u{E9}ncil \u{2603}", iterations: 4096)
        #expect(credentials.verify("p\u{E9}ncil \u{2603}"))
        // OpaqueString: NFC, and every space is U+0020.
        #expect(credentials.verify("pe\u{301}ncil\u{A0}\u{2603}"))
        for wrong in ["", "pencil", "P\u{E9}ncil \u{2603}", "p\u{E9}ncil \u{2603} ", "\u{7}"] { #expect(!credentials.verify(wrong)) }
    }

    // MARK: Record

    @Test func encodes() throws {
        let credentials = try Credentials.derive(password: "pencil", iterations: 4096)
        #expect(try Credentials.decode(credentials.encode()) == credentials)
        let one = try Credentials([#require(credentials.keys[.sha256])])
        #expect(try Credentials.decode(one.encode()) == one)
    }

    @Test func decodesNothingElse() throws {
        let bytes = try Credentials.derive(password: "pencil", iterations: 4096).encode()
        for length in 0..<bytes.count { #expect(throws: CredentialsError.self) { try Credentials.decode(Array(bytes[..<length])) } }
        #expect(throws: CredentialsError.record(.malformed)) { try Credentials.decode(bytes + [0]) }
        #expect(throws: CredentialsError.record(.unknownVersion)) { try Credentials.decode([2] + bytes.dropFirst()) }
        #expect(throws: CredentialsError.empty) { try Credentials.decode([1, 0]) }
        #expect(throws: CredentialsError.record(.malformed)) { try Credentials.decode([1, 4] + bytes.dropFirst(2)) }
        var generator = SeededGenerator(state: 5802)
        for _ in 0..<2000 {
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                damaged[Int.random(in: 0..<damaged.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            if let credentials = try? Credentials.decode(damaged) { #expect(credentials.encode() == damaged) }
            _ = try? Credentials.decode(generator.bytes(Int.random(in: 0...80, using: &generator)))
        }
    }

    // MARK: Import

    @Test func imports() throws {
        let credentials = try Credentials.derive(password: "pencil", iterations: 5000)
        #expect(try Credentials(importing: credentials.text) == credentials)
        #expect(try Credentials(importing: "\n" + credentials.text.split(separator: " ").joined(separator: " \t\r\n") + " ") == credentials)
        // The key of RFC 5802's example, as other servers write it.
        let text = "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE="
        let imported = try Credentials(importing: text)
        #expect(imported.verify("pencil") && !imported.verify("pen"))
        #expect(imported.text == text)
    }

    @Test(arguments: [
        ("", CredentialsError.empty), (" \n", .empty), ("pencil", .form), ("SCRAM-SHA-1$4096:AAAA$AAAA", .form),
        ("SCRAM-SHA-1$4096$AAAA:AAAA", .form), ("SCRAM-SHA-1$4096:AAAA$AAAA:AAAA$", .form), ("SCRAM-SHA-1$4096:A:A$AAAA:AAAA", .form),
        ("MD5$4096:AAAA$AAAA:AAAA", .mechanism), ("SCRAM-SHA-1-PLUS$4096:AAAA$AAAA:AAAA", .mechanism),
        ("SCRAM-SHA-1$x:AAAA$AAAA:AAAA", .field(.iterations)), ("SCRAM-SHA-1$:AAAA$AAAA:AAAA", .field(.iterations)),
        ("SCRAM-SHA-1$+4096:AAAA$AAAA:AAAA", .field(.iterations)),
        ("SCRAM-SHA-1$99999999999999999999:AAAA$AAAA:AAAA", .field(.iterations)), ("SCRAM-SHA-1$4096:AAA$AAAA:AAAA", .field(.salt)),
        ("SCRAM-SHA-1$4096:AAAA$!AAA:AAAA", .field(.storedKey)), ("SCRAM-SHA-1$4096:AAAA$AAAA:AA=A", .field(.serverKey)),
        ("SCRAM-SHA-1$4096:$AAAA:AAAA", .salt(length: 0)), ("SCRAM-SHA-1$4096:AAAA$AAAA:AAAA", .keyLength(.sha1, length: 3)),
        ("SCRAM-SHA-1$1000:AAAA$AAAA:AAAA", .iterations(1000, allowed: 4096...1_000_000)),
        (
            "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE= "
                + "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE=", .duplicate(.sha1)
        ),
    ]) func namesWhatIsWrongWithAnImport(_ text: String, _ error: CredentialsError) {
        #expect(throws: error) { try Credentials(importing: text) }
        #expect(error.description.hasSuffix(".") && !error.description.contains("AAAA"))
    }

    @Test func printsNoSecret() throws {
        let credentials = try Credentials.derive(password: "pencil", iterations: 4096)
        let key = try #require(credentials.keys[.sha1])
        var dumped = ""
        dump(credentials, to: &dumped)
        dump(key, to: &dumped)
        dumped += "\(credentials) \(key) " + String(reflecting: credentials) + String(reflecting: key)
        let fake = FakeCredentials(secret: Array("pssst".utf8), iterations: 4096)
        dump(fake, to: &dumped)
        #expect(!dumped.contains(Base64.encode(key.storedKey)) && !dumped.contains("\(key.storedKey[0]), \(key.storedKey[1])"))
        #expect(!dumped.contains("- 112\n"))
        #expect("\(credentials)" == "Credentials(SCRAM-SHA-512, SCRAM-SHA-256, SCRAM-SHA-1)")
    }
}
