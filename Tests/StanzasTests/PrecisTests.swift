import Testing

@testable import Stanzas

/// RFC 8265 §3.6 and §4.3, RFC 5892 Appendix A.
@Suite struct PrecisTests {
    /// RFC 8265 §3.6, table 1: the profile itself, without what RFC 7622 §3.3.1 takes away.
    @Test(arguments: [
        ("juliet@example.com", "juliet@example.com"), ("fussball", "fussball"), ("fu\u{DF}ball", "fu\u{DF}ball"),
        ("\u{3C0}", "\u{3C0}"), ("\u{3A3}", "\u{3C3}"), ("\u{3C3}", "\u{3C3}"), ("\u{3C2}", "\u{3C2}"),
    ])
    func legalUserpart(text: String, expected: String) throws {
        #expect(try Profile.usernameCaseMapped(text, part: .local) == expected)
    }

    /// RFC 8265 §3.6, table 2.
    @Test(arguments: [
        ("foo bar", JIDError.Reason.disallowedCharacter), ("", .empty), ("henry\u{2163}", .disallowedCharacter),
        ("\u{221E}", .disallowedCharacter),
    ])
    func illegalUserpart(text: String, reason: JIDError.Reason) {
        #expect(throws: JIDError(.local, reason)) { try Profile.usernameCaseMapped(text, part: .local) }
        #expect(throws: JIDError(.local, reason)) { try JID.prepareUsername(text) }
    }

    /// RFC 8265 §4.3, tables 3 and 4.
    @Test(arguments: [
        ("correct horse battery staple", "correct horse battery staple"), ("Correct Horse Battery Staple", "Correct Horse Battery Staple"),
        ("\u{3C0}\u{DF}\u{E5}", "\u{3C0}\u{DF}\u{E5}"), ("Jack of \u{2666}s", "Jack of \u{2666}s"), ("foo\u{1680}bar", "foo bar"),
        (" leading", " leading"), ("\u{FF21}", "\u{FF21}"), ("e\u{301}", "\u{E9}"),
    ])
    func legalPassword(text: String, expected: String) throws {
        #expect(try Array(JID.preparePassword(text).utf8) == Array(expected.utf8))
    }

    @Test(arguments: [
        ("", JIDError.Reason.empty), ("my cat is a \tby", .disallowedCharacter), ("\u{E000}", .disallowedCharacter),
        ("\u{FFFF}", .disallowedCharacter), ("\u{378}", .disallowedCharacter),
    ])
    func illegalPassword(text: String, reason: JIDError.Reason) {
        #expect(throws: JIDError(.password, reason)) { try JID.preparePassword(text) }
    }

    @Test func passwordsAreBounded() {
        #expect(throws: JIDError(.password, .tooLong)) { try JID.preparePassword(String(repeating: "p", count: 4097)) }
        #expect(throws: Never.self) { try JID.preparePassword(String(repeating: "p", count: 4096)) }
    }

    /// RFC 5892 Appendix A, each rule where it holds and where it does not. The Bidi rule has its own tests.
    @Test(arguments: [
        ("\u{915}\u{94D}\u{200C}\u{937}", true),  // A.1 after a virama
        ("\u{628}\u{200C}\u{628}", true),  // A.1 between joining letters
        ("\u{628}\u{64B}\u{200C}\u{64B}\u{628}", true),  // A.1 with transparent marks between
        ("\u{627}\u{200C}\u{628}", false),  // alef does not join to the left
        ("a\u{200C}b", false), ("\u{200C}", false), ("\u{628}\u{200C}", false),
        ("\u{915}\u{94D}\u{200D}", true), ("a\u{200D}b", false),  // A.2
        ("l\u{B7}l", true), ("l\u{B7}a", false), ("\u{B7}l", false), ("l\u{B7}", false),  // A.3
        ("\u{375}\u{3B1}", true), ("\u{375}a", false), ("\u{375}", false),  // A.4
        ("\u{5D0}\u{5F3}", true), ("\u{5F3}\u{5D0}", false), ("\u{5D0}\u{5F4}", true), ("\u{5F4}", false),  // A.5, A.6
        ("\u{30FB}\u{30A2}", true), ("\u{30FB}\u{4E00}", true), ("\u{3042}\u{30FB}", true), ("a\u{30FB}", false),  // A.7
        ("\u{627}\u{660}", true), ("\u{627}\u{660}\u{6F0}", false), ("\u{627}\u{6F0}", true),  // A.8, A.9
    ])
    func contextRules(text: String, isAllowed: Bool) {
        #expect(((try? JID.prepareUsername(text)) != nil) == isAllowed)
    }

    /// RFC 5892 §2.6 and §3 against RFC 8264 §8: the two derived properties where they differ and where they agree.
    @Test(
        arguments: [
            (0x41, CodePoint.Derived.valid, CodePoint.Derived.disallowed), (0x61, .valid, .valid), (0x20, .freeform, .disallowed),
            (0x21, .valid, .disallowed), (0xDF, .valid, .valid), (0x3C2, .valid, .valid), (0xC9, .valid, .disallowed),
            (0xB7, .contextual, .contextual), (0x200C, .contextual, .contextual), (0x640, .disallowed, .disallowed),
            (0xAD, .disallowed, .disallowed), (0x1100, .disallowed, .disallowed), (0x2163, .freeform, .disallowed),
            (0x2603, .freeform, .disallowed), (0x3007, .valid, .valid), (0xE000, .disallowed, .disallowed),
            (0x378, .unassigned, .unassigned),
            (0xFDD0, .disallowed, .disallowed), (0xFB01, .freeform, .disallowed), (0x1D165, .valid, .disallowed),
            (0xD800, .disallowed, .disallowed), (0x10FFFF, .disallowed, .disallowed),
        ] as [(UInt32, CodePoint.Derived, CodePoint.Derived)])
    func derivedProperties(value: UInt32, precis: CodePoint.Derived, idna: CodePoint.Derived) {
        #expect(CodePoint(value).precis == precis)
        #expect(CodePoint(value).idna == idna)
    }

    /// ASCII alone and ICU must give one answer: the fast path is no second opinion.
    @Test func asciiAgreesWithTheProfiles() {
        for value in UInt8(0)..<0x80 {
            let text = "a" + String(UnicodeScalar(value)) + "b"
            let whole = try? Profile.usernameCaseMapped(text, part: .local)
            #expect((try? JID.prepareUsername(text)) == (ASCII.isForbiddenInLocal(value) ? nil : whole))
            #expect((try? JID.prepareResource(text)) == (try? Profile.opaqueString(text, part: .resource)))
        }
    }
}
