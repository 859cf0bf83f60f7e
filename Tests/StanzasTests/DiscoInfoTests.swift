import Stanzas
import Testing
import XMLStream

/// The strings of XEP-0115, and what is no honest answer.
@Suite struct DiscoInfoTests {
    private func info(_ inner: String) throws -> DiscoInfo {
        try #require(DiscoInfo(try Element.parse(Array("<query xmlns='http://jabber.org/protocol/disco#info'>\(inner)</query>".utf8))))
    }

    @Test(arguments: [
        ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        // RFC 3174 §7.3.
        ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
        (
            String(repeating: "0123456701234567012345670123456701234567012345670123456701234567", count: 10),
            "dea356a2cddd90c7a7ecedc5ebb563934f460452"
        ),
        (String(repeating: "a", count: 1_000_000), "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
    ])
    func sha1(text: String, digest: String) {
        let hex = SHA1.hash(Array(text.utf8)).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        #expect(hex == digest)
    }

    private static let muc = """
        <feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>
        <feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/>
        """
    private static let form = """
        <x xmlns='jabber:x:data' type='result'>
        <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
        <field var='ip_version' type='text-multi'><value>ipv4</value><value>ipv6</value></field>
        <field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field>
        <field var='software'><value>Psi</value></field><field var='software_version'><value>0.11</value></field></x>
        """
    private static let psi = """
        <identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/><identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
        """

    /// §5.1 and §5.2.
    @Test func theExamplesHaveTheirStrings() throws {
        let exodus = try info("<identity category='client' name='Exodus 0.9.1' type='pc'/>" + Self.muc)
        #expect(exodus.verification == "QgayPKawpkPSDYmwT/WM94uAlu0=")
        #expect(exodus.isWellFormed && exodus.isSafeToShare)
        let psi = try info(Self.psi + Self.muc + Self.form)
        #expect(psi.verification == "q07IKJEyjvHSyhy//CH0CxmKi8w=")
        #expect(psi.isWellFormed && psi.isSafeToShare)
    }

    @Test func orderDoesNotCount() throws {
        let backwards = try info(
            """
            <x xmlns='jabber:x:data' type='result'>
            <field var='software_version'><value>0.11</value></field><field var='os'><value>Mac</value></field>
            <field var='software'><value>Psi</value></field><field var='os_version'><value>10.5.1</value></field>
            <field var='ip_version' type='text-multi'><value>ipv6</value><value>ipv4</value></field>
            <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field></x>
            <feature var='http://jabber.org/protocol/muc'/><feature var='http://jabber.org/protocol/disco#items'/>
            <feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/caps'/>
            """ + Self.psi)
        #expect(backwards.verification == "q07IKJEyjvHSyhy//CH0CxmKi8w=")
    }

    /// §5.3: a form without a hidden FORM_TYPE is ignored, the rest counts.
    @Test(arguments: [
        "<field var='FORM_TYPE'><value>urn:xmpp:dataforms:softwareinfo</value></field><field var='os'><value>x</value></field>",
        "<field var='os'><value>x</value></field>", "",
    ])
    func formsWithoutTypeAreIgnored(fields: String) throws {
        let odd = try info(Self.psi + Self.muc + Self.form + "<x xmlns='jabber:x:data' type='result'>\(fields)</x>")
        #expect(odd.isWellFormed && odd.isSafeToShare)
        #expect(odd.verification == "q07IKJEyjvHSyhy//CH0CxmKi8w=")
    }

    @Test(arguments: [
        // §5.3: the same twice.
        psi + psi + muc,
        psi + muc + "<feature var='http://jabber.org/protocol/muc'/>",
        psi + muc + form + form,
        psi + muc
            + "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>a</value><value>b</value></field></x>",
        psi + muc
            + "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>a</value></field><field var='FORM_TYPE' type='hidden'><value>b</value></field></x>",
        // The same string for something else: several features in one, features as an identity, an identity with slashes.
        psi + "<feature var='http://jabber.org/protocol/caps&lt;http://jabber.org/protocol/muc'/>",
        "<identity category='http:' type='x' name='jabber.org/protocol/caps'/>" + muc,
        "<identity category='client' type='pc/en'/>" + muc,
        "<identity category='client' type='pc' name='Psi&lt;urn:x'/>" + muc,
        psi + muc
            + "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>a</value></field><field var='b'><value>c&lt;d</value></field></x>",
        // XEP-0030 §3.1: at least one identity.
        muc,
    ])
    func whatIsIllFormed(inner: String) throws {
        #expect(try !info(inner).isWellFormed)
    }

    @Test func aFormTypeTwiceTheSameIsOne() throws {
        let twice = try info(
            Self.psi + Self.muc
                + "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>a</value><value>a</value></field></x>"
        )
        #expect(twice.isWellFormed)
        // Known only for who says it: nobody knows that this form describes a client.
        #expect(!twice.isSafeToShare)
    }

    /// The trivial preimage: the last features of an honest client as a form. The string is the same, so nobody else is believed for it.
    @Test func featuresDressedAsAFormAreNotShared() throws {
        let honest = try info(Self.psi + "<feature var='a'/><feature var='x'/><feature var='y'/><feature var='z'/>")
        let forged = try info(
            Self.psi + "<feature var='a'/>"
                + "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>x</value></field><field var='y'><value>z</value></field></x>"
        )
        #expect(honest.verification == forged.verification)
        #expect(honest.isSafeToShare && !forged.isSafeToShare)
    }

    @Test(arguments: [
        "<identity type='pc'/>", "<identity category='client'/>", "<identity category='' type='pc'/>", "<feature/>", "<feature var=''/>",
    ])
    func whatIsNoAnswer(inner: String) throws {
        let query = try Element.parse(Array("<query xmlns='http://jabber.org/protocol/disco#info'>\(inner)</query>".utf8))
        #expect(DiscoInfo(query) == nil)
        #expect(DiscoInfo(try Element.parse(Array("<query xmlns='jabber:iq:roster'/>".utf8))) == nil)
    }

    @Test func writingIsReadAgain() throws {
        let psi = try info(Self.psi + Self.muc + Self.form)
        var writer = XMLWriter()
        psi.write(node: "n#v", into: &writer)
        let element = try Element.parse(writer.bytes)
        #expect(element["node"] == "n#v")
        #expect(DiscoInfo(element) == psi)
    }
}
