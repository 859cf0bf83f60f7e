import Testing

@testable import Stanzas

@Suite struct JIDTests {
    /// RFC 7622 §3.5, table 1.
    @Test(
        arguments: [
            ("juliet@example.com", "juliet", "example.com", nil),
            ("juliet@example.com/foo", "juliet", "example.com", "foo"),
            ("juliet@example.com/foo bar", "juliet", "example.com", "foo bar"),
            ("juliet@example.com/foo@bar", "juliet", "example.com", "foo@bar"),
            (#"foo\20bar@example.com"#, #"foo\20bar"#, "example.com", nil),
            ("fussball@example.com", "fussball", "example.com", nil),
            ("fu\u{DF}ball@example.com", "fu\u{DF}ball", "example.com", nil),
            ("\u{3C0}@example.com", "\u{3C0}", "example.com", nil),
            ("\u{3A3}@example.com/foo", "\u{3C3}", "example.com", "foo"),
            ("\u{3C3}@example.com/foo", "\u{3C3}", "example.com", "foo"),
            ("\u{3C2}@example.com/foo", "\u{3C2}", "example.com", "foo"),
            ("king@example.com/\u{265A}", "king", "example.com", "\u{265A}"),
            ("example.com", nil, "example.com", nil),
            ("example.com/foobar", nil, "example.com", "foobar"),
            ("a.example.com/b@example.net", nil, "a.example.com", "b@example.net"),
        ] as [(String, String?, String, String?)])
    func legal(text: String, local: String?, domain: String, resource: String?) throws {
        let jid = try JID(text)
        #expect(jid.local == local)
        #expect(jid.domain == domain)
        #expect(jid.resource == resource)
        #expect(jid.isBare == (resource == nil))
        #expect(try JID(local: local, domain: domain, resource: resource) == jid)
        #expect(JID(utf8: Array(text.utf8)) == jid)
    }

    /// RFC 7622 §3.5, table 2, and the rules of §3.2 to §3.4.
    @Test(
        arguments: [
            (#""juliet"@example.com"#, .local, .disallowedCharacter),
            ("foo bar@example.com", .local, .disallowedCharacter),
            ("juliet@example.com/ foo", .resource, .disallowedCharacter),
            ("juliet@example.com/\u{A0}foo", .resource, .disallowedCharacter),
            ("@example.com/", .local, .empty),
            ("juliet@example.com/", .resource, .empty),
            ("henry\u{2163}@example.com", .local, .disallowedCharacter),
            ("\u{265A}@example.com", .local, .disallowedCharacter),
            ("juliet@", .domain, .empty),
            ("/foobar", .domain, .empty),
            ("", .domain, .empty),
            ("@", .local, .empty),
            ("a&b@example.com", .local, .disallowedCharacter),
            ("a'b@example.com", .local, .disallowedCharacter),
            ("a:b@example.com", .local, .disallowedCharacter),
            ("a<b@example.com", .local, .disallowedCharacter),
            ("a>b@example.com", .local, .disallowedCharacter),
            // Full-width forms that become a forbidden character must not slip through.
            ("a\u{FF20}b@example.com", .local, .disallowedCharacter),
            ("a\u{FF0F}b@example.com", .local, .disallowedCharacter),
            ("a@b@example.com", .domain, .malformedDomain),
            ("juliet@example.com/a\u{7}b", .resource, .disallowedCharacter),
            ("juliet@example.com/a\u{0}b", .resource, .disallowedCharacter),
            ("ju\u{0}liet@example.com", .local, .disallowedCharacter),
            ("juliet@example.com\u{0}", .domain, .malformedDomain),
            ("a\u{200B}b@example.com", .local, .disallowedCharacter),
            ("a\u{1100}b@example.com", .local, .disallowedCharacter),
            // RFC 5893: digits of two kinds, right-to-left after left-to-right, a neutral end.
            ("\u{627}1\u{660}@example.com", .local, .directionality),
            ("a\u{5D0}@example.com", .local, .directionality),
            ("\u{5D0}a@example.com", .local, .directionality),
            ("\u{5D0}-@example.com", .local, .directionality),
            ("1\u{5D0}@example.com", .local, .directionality),
            ("example..com", .domain, .malformedDomain),
            ("example.com..", .domain, .malformedDomain),
            ("example.com.\u{3002}", .domain, .malformedDomain),
            (".", .domain, .empty),
            ("-example.com", .domain, .malformedDomain),
            ("example-.com", .domain, .malformedDomain),
            ("ab--cd.com", .domain, .malformedDomain),
            ("xn--a.com", .domain, .malformedDomain),
            ("exa_mple.com", .domain, .malformedDomain),
            ("exa mple.com", .domain, .malformedDomain),
            ("\u{2603}.com", .domain, .disallowedCharacter),
            ("\u{1F600}.com", .domain, .disallowedCharacter),
            ("256.1.1.1", .domain, .malformedDomain),
            ("1.2.3", .domain, .malformedDomain),
            ("example.1", .domain, .malformedDomain),
            ("[::1", .domain, .malformedDomain),
            ("[]", .domain, .malformedDomain),
            ("[1.2.3.4]", .domain, .malformedDomain),
            ("[::1]x", .domain, .malformedDomain),
            ("[fe80::1%eth0]", .domain, .malformedDomain),
            ("[fe80::1%25]", .domain, .malformedDomain),
            ("::1", .domain, .malformedDomain),
        ] as [(String, JIDError.Part, JIDError.Reason)])
    func illegal(text: String, part: JIDError.Part, reason: JIDError.Reason) {
        #expect(throws: JIDError(part, reason)) { try JID(text) }
        #expect(JID(utf8: Array(text.utf8)) == nil)
    }

    @Test(arguments: [
        ("JuLiEt@EXAMPLE.Com/FoO", "juliet@example.com/FoO"),
        ("juliet@example.com.", "juliet@example.com"),
        ("juliet@example.com./x", "juliet@example.com/x"),
        // Width mapping before the class is checked (RFC 8265 §3.3.2), full case mapping, NFC.
        ("\u{FF2A}\u{FF55}liet@example.com", "juliet@example.com"),
        ("e\u{301}@example.com", "\u{E9}@example.com"),
        ("E\u{301}@example.com/E\u{301}", "\u{E9}@example.com/\u{C9}"),
        ("\u{130}@example.com", "i\u{307}@example.com"),
        ("\u{3A7}\u{391}\u{39F}\u{3A3}@example.com", "\u{3C7}\u{3B1}\u{3BF}\u{3C3}@example.com"),
        ("juliet@example.com/a\u{3000}b", "juliet@example.com/a b"),
        ("\u{5D0}\u{5D1}1@example.com", "\u{5D0}\u{5D1}1@example.com"),
        // Domains: case, full-width letters and dots, A-labels to U-labels, no transitional mapping.
        ("B\u{DC}CHER.example", "b\u{FC}cher.example"),
        ("xn--bcher-kva.example", "b\u{FC}cher.example"),
        ("XN--BCHER-KVA.example", "b\u{FC}cher.example"),
        ("fa\u{DF}.de", "fa\u{DF}.de"),
        ("\u{FF45}xample\u{3002}com", "example.com"),
        ("example\u{3002}com\u{3002}", "example.com"),
        ("\u{FF11}.2.3.4", "1.2.3.4"),
        ("127.0.0.1/x", "127.0.0.1/x"),
        ("a@[::1]", "a@[::1]"),
        ("a@[2001:DB8:0:0:0:0:0:1]/r", "a@[2001:db8::1]/r"),
        ("[fe80::1%25eth0]", "[fe80::1%25eth0]"),
        ("localhost", "localhost"),
        ("3com.com", "3com.com"),
        ("example.com//", "example.com//"),
    ])
    func prepared(text: String, expected: String) throws {
        let jid = try JID(text)
        #expect(Array(jid.description.utf8) == Array(expected.utf8))
        #expect(try JID(jid.description) == jid)
    }

    @Test func boundaryOfParts() throws {
        let longest = String(repeating: "a", count: 1023)
        #expect(try JID(longest + "@example.com/" + longest).description.utf8.count == 1023 * 2 + 13)
        #expect(throws: JIDError(.local, .tooLong)) { try JID(longest + "a@example.com") }
        #expect(throws: JIDError(.resource, .tooLong)) { try JID("example.com/a" + longest) }
        // 512 two-byte letters are 1,024 bytes.
        #expect(throws: JIDError(.local, .tooLong)) { try JID(String(repeating: "\u{E9}", count: 512) + "@example.com") }
        #expect(throws: JIDError(.resource, .tooLong)) { try JID("example.com/" + String(repeating: "\u{E9}", count: 100_000)) }
        let label = String(repeating: "a", count: 63)
        #expect(throws: Never.self) { try JID([label, label, label, String(repeating: "b", count: 61)].joined(separator: ".")) }
        #expect(throws: JIDError(.domain, .malformedDomain)) {
            try JID([label, label, label, String(repeating: "b", count: 62)].joined(separator: "."))
        }
        #expect(throws: JIDError(.domain, .malformedDomain)) { try JID("a" + label + ".com") }
        #expect(throws: JIDError(.domain, .tooLong)) { try JID(String(repeating: "\u{E9}.", count: 100_000)) }
        #expect(JID(utf8: [0xC3, 0x28]) == nil)
        #expect(JID(utf8: [UInt8(ascii: "a"), 0xFF, UInt8(ascii: "@"), UInt8(ascii: "b")]) == nil)
        #expect(JID(utf8: []) == nil)
    }

    @Test func parts() throws {
        let full = try JID("romeo@montague.example/orchard/x@y")
        #expect(full.bare == (try JID("romeo@montague.example")))
        #expect(full.domainJID == (try JID("montague.example")))
        #expect(try full.bare.with(resource: "home").description == "romeo@montague.example/home")
        #expect(try full.with(resource: "home").resource == "home")
        #expect(full.hasSameBare(as: full.bare))
        #expect(!full.hasSameBare(as: full.domainJID))
        #expect(try !full.hasSameBare(as: JID("romea@montague.example")))
        #expect(full.domainJID.isDomain && !full.isDomain && !full.bare.isDomain)
        #expect(full.bare.isBare && full.bare.bare == full.bare)
        #expect(throws: JIDError(.resource, .empty)) { try full.with(resource: "") }
        #expect(throws: JIDError(.local, .empty)) { try JID(local: "", domain: "a", resource: nil) }
        // Separators inside parts are not cut again.
        #expect(throws: JIDError(.local, .disallowedCharacter)) { try JID(local: "a/b", domain: "c", resource: nil) }
        #expect(throws: JIDError(.domain, .malformedDomain)) { try JID(local: "a", domain: "b/c", resource: nil) }
    }

    @Test func ordersByBytes() throws {
        let jids = try ["b.example", "a@b.example/c", "a.example", "a@b.example"].map { try JID($0) }
        #expect(jids.sorted().map(\.description) == ["a.example", "a@b.example", "a@b.example/c", "b.example"])
        #expect(Set(jids + jids).count == 4)
    }

    /// Whatever is accepted prints as something that reads as the same address, however it was built.
    @Test func preparationIsIdempotent() throws {
        var random = SplitMix(seed: 7622)
        let alphabet: [Unicode.Scalar] = Array(
            ("abcXYZ019-._~ @/:'\"&<>[]%\\\u{0}\u{7F}\u{A0}\u{AD}\u{B7}lß\u{130}\u{131}\u{1C5}éÉ\u{301}\u{300}\u{345}\u{3A3}\u{3C2}\u{1F80}"
                + "\u{5D0}\u{5F3}\u{627}\u{640}\u{660}\u{6F0}\u{94D}\u{915}\u{200C}\u{200D}\u{1100}\u{1161}\u{AC00}\u{212B}\u{2126}\u{2163}"
                + "\u{3000}\u{3002}\u{30FB}\u{30A2}\u{FF21}\u{FF76}\u{FF9E}\u{FF20}\u{FB01}\u{FDFA}\u{1F600}\u{E000}\u{FFFE}\u{10FFFF}")
                .unicodeScalars)
        var accepted = 0
        for _ in 0..<20_000 {
            var text = String.UnicodeScalarView()
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                text.append(alphabet[Int.random(in: 0..<alphabet.count, using: &random)])
            }
            let part = String(text)
            for candidate in [part, part + "@example.com", "example.com/" + part, "a@" + part + ".com"] {
                guard let jid = try? JID(candidate) else { continue }
                accepted += 1
                let again = try JID(jid.description)
                #expect(again == jid && again.hashValue == jid.hashValue, "\(candidate.unicodeScalars.map(\.value))")
                #expect(Array(again.description.utf8) == Array(jid.description.utf8))
                #expect(try JID(local: jid.local, domain: jid.domain, resource: jid.resource) == jid)
                #expect(jid.local?.utf8.contains(where: ASCII.isForbiddenInLocal) != true)
            }
        }
        #expect(accepted > 2000)
    }

    /// Any bytes at all: an answer, never a trap, and the same answer by bytes and by string.
    @Test func anyBytes() {
        var random = SplitMix(seed: 6)
        for _ in 0..<5000 {
            let bytes = (0..<Int.random(in: 0...24, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            let byBytes = JID(utf8: bytes)
            let byString = String(validating: bytes, as: UTF8.self).flatMap { try? JID($0) }
            #expect(byBytes == byString)
        }
    }
}

/// A small seeded generator, so that a failure can be had again.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
