import AdminLanguage
import Glibc
import TestKit
import Testing
import XMLStream

extension ClusterTests {
    /// Accounts in and out as files of XEP-0227, by the program people use.
    @Suite(.serialized) struct MovingTests {
        private static let corpus = ProcessMonitoring.repository() + "/Tests/Corpus/xep0227"

        private static let file = """
            <?xml version='1.0'?>
            <server-data xmlns='urn:xmpp:pie:0'><host jid='capulet.lit'>
            <user name='Juliet' password='o Romeo'>
              <query xmlns='jabber:iq:roster'>
                <item jid='romeo@capulet.lit' subscription='both' name='My &lt;Romeo&gt;'><group>Friends</group></item>
                <item jid='nurse@capulet.lit' subscription='to' ask='subscribe'/>
                <item jid='@@' subscription='none'/>
              </query>
              <presence type='subscribe' from='paris@verona.lit'/>
              <vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>
              <query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><conference jid='play@rooms.lit'/></storage></query>
              <blocklist xmlns='urn:xmpp:blocking'><item jid='tybalt@capulet.lit'/></blocklist>
              <offline-messages>
                <message xmlns='jabber:client' from='romeo@capulet.lit/orchard' to='juliet@capulet.lit' type='chat' id='a-1'>
                  <body>Neither, fair saint</body><delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='2020-07-10T23:09:32Z'/></message>
                <message xmlns='jabber:client' from='romeo@capulet.lit/orchard' to='juliet@capulet.lit' type='chat' id='a-2'>
                  <body>With love's light wings</body><delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='2020-07-10T23:10:32Z'/></message>
              </offline-messages>
              <archive xmlns='urn:xmpp:pie:0#mam'>
                <result xmlns='urn:xmpp:mam:2' id='1'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2020-07-10T23:08:25Z'/>
                  <message xmlns='jabber:client' from='juliet@capulet.lit/balcony' to='romeo@capulet.lit' type='chat' id='a-0'><body>Art thou not Romeo?</body></message></forwarded></result>
                <result xmlns='urn:xmpp:mam:2' id='2'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2020-07-10T23:09:31Z'/>
                  <message xmlns='jabber:client' from='romeo@capulet.lit/orchard' to='juliet@capulet.lit' type='chat' id='a-1'><body>Neither, fair saint</body></message></forwarded></result>
              </archive>
              <pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'/></pubsub>
            </user>
            <user name='not a name' password='x'/>
            <user name='romeo' password='o Juliet'/>
            </host><host jid='verona.lit'><user name='paris' password='x'/></host></server-data>
            """

        @Test func accountsComeAndGo() throws {
            let cluster = try ProcessCluster(nodes: 3, settings: "archive = true\n[[host]]\ndomain = \"old.lit\"\nrequire_tls = false")
            try cluster.addAccounts(["marker"])
            let file = cluster.directory + "/verona.xml"
            try cluster.write(Self.file, to: file)

            // Nothing is changed by looking.
            let dry = try cluster.ctl(["import", "xep0227", file, "--dry-run"])
            #expect(dry.status == 3, "\(dry)")
            for text in [
                "verona.xml line 7: juliet@capulet.lit: “@@” is not a JID", "“not a name” cannot be the name of a user (RFC 7622)",
                "verona.lit is not a host of this server", "not carried: 1 times PEP node urn:xmpp:bookmarks:1", "accounts_new      2",
            ] { #expect(dry.text.contains(text), "\(text) in \(dry.text)") }
            #expect(!dry.text.contains("o Romeo") && !dry.text.contains("o Juliet"))
            #expect(try cluster.admin(1).ask(["user", "show", "juliet@capulet.lit"]).error == .notFound)

            let made = try cluster.ctl(["import", "xep0227", file])
            #expect(made.status == 3 && made.text.contains("the import made 2 accounts; refused: 3"), "\(made)")
            // Again it changes nothing.
            let again = try cluster.ctl(["import", "xep0227", file])
            #expect(again.status == 3 && again.text.contains("2 accounts are there already"), "\(again)")

            // With the old password, at another node: owed once, in order, the archive whole.
            let juliet = try XMPPClient(
                port: cluster.ports[2], domain: cluster.domain, user: "juliet", resource: "balcony", password: "o Romeo")
            try juliet.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
            let roster = try juliet.receive { $0["id"] == "roster" }
            let items = try #require(roster.first(local: "query", namespace: "jabber:iq:roster")).children.map { item in
                "\(item["jid"] ?? "") \(item["subscription"] ?? "") \(item["name"] ?? "") \(item.children.map(\.text))"
            }
            #expect(items.sorted() == ["nurse@capulet.lit to  []", "romeo@capulet.lit both My <Romeo> [\"Friends\"]"])
            try juliet.send("<iq type='get' id='blocked'><blocklist xmlns='urn:xmpp:blocking'/></iq>")
            let blocked = try juliet.receive { $0["id"] == "blocked" }
            #expect(blocked.children.first { _ in true }?.children.map { $0["jid"] ?? "" } == ["tybalt@capulet.lit"])
            try juliet.send(
                "<iq type='get' id='private'><query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query></iq>")
            let storage = try juliet.receive { $0["id"] == "private" }
            #expect(storage.xml.count > 0 && String(decoding: storage.xml, as: UTF8.self).contains("play@rooms.lit"))
            try juliet.close()
            let letters = try Chat.drain("juliet", password: "o Romeo", on: 1, of: cluster)
            #expect(letters.map(\.id) == ["a-1", "a-2"] && letters.allSatisfy(\.isDelayed), "\(letters)")
            #expect(letters.first?.stanzaID != nil && letters.last?.stanzaID == nil)

            // Out again, and in under nothing but what the file says: the same file comes out.
            let out = cluster.directory + "/out.xml"
            let again1 = try cluster.ctl(["export", "xep0227", out, "--host", "capulet.lit"])
            #expect(again1.status == 0 && again1.text.contains("accounts  3"), "\(again1)")
            var status = stat()
            #expect(stat(out, &status) == 0 && status.st_mode & 0o777 == 0o600)
            #expect(try cluster.ctl(["export", "xep0227", out]).status == 1)
            let first = try ProcessMonitoring.text(of: out)
            for name in ["juliet", "romeo", "marker"] { try cluster.admin(0).demand("user", "delete", "\(name)@capulet.lit") }
            let back = try cluster.ctl(["import", "xep0227", out])
            #expect(back.status == 0 && back.text.contains("the import made 3 accounts"), "\(back)")
            let second = cluster.directory + "/second.xml"
            #expect(try cluster.ctl(["export", "xep0227", second, "--host", "capulet.lit"]).status == 0)
            let (before, after) = (Self.lines(first), try Self.lines(ProcessMonitoring.text(of: second)))
            for (line, other) in zip(before, after) {
                let same = zip(line, other).prefix { $0 == $1 }.count
                #expect(line == other, "from \(same) on: \(line.dropFirst(same).prefix(200)) against \(other.dropFirst(same).prefix(200))")
            }
            #expect(before.count == after.count)
            let one = try cluster.ctl(["export", "xep0227", "-", "--user", "juliet@capulet.lit"])
            #expect(one.text.contains("<user name='juliet'>") && !one.text.contains("name='romeo'"))

            // What other servers write.
            for (folder, count) in [("prosody", "2"), ("ejabberd", "2")] {
                let imported = try cluster.ctl(["import", "xep0227", Self.corpus + "/" + folder, "--merge"])
                #expect(imported.status == 0, "\(imported)")
                #expect(imported.text.contains("lack") == false || imported.text.contains("SCRAM-SHA-256"))
                #expect(imported.text.contains("accounts_made      \(folder == "prosody" ? count : "1")"), "\(imported)")
            }
            let shown = try cluster.admin(1).demand("user", "show", "u2@capulet.lit")
            #expect(shown.fact("key") == .text("SCRAM-SHA-1, 4096 iterations") && shown.fact("messages_owed") == .integer(3))
            #expect(try cluster.admin(2).demand("store", "verify").fact("findings") == .integer(0))

            try refuses(cluster, file)
        }

        /// An account a line, in their order.
        private static func lines(_ file: String) -> [String] { file.split(separator: "\n").map(String.init).sorted() }

        /// What is asked for in vain, in one sentence.
        private func refuses(_ cluster: ProcessCluster, _ file: String) throws {
            let admin = try cluster.admin(0)
            #expect(try admin.ask(["export", "xep0227", "-", "--host", "nowhere.lit"]).error == .notFound)
            #expect(try admin.ask(["export", "xep0227", "-", "--user", "nobody@capulet.lit"]).error == .notFound)
            #expect(try admin.ask(["export", "xep0227", "-", "--user", "a@capulet.lit", "--host", "capulet.lit"]).error == .usage)
            #expect(try admin.ask(["import", "xep0227"]).error == .usage)
            let nonsense = try admin.ask(["import", "xep0227", "-"], secret: ["nonsense", "user 1 <user", "part 1 roster <item/>", "end"])
            #expect(nonsense.error == .partial && nonsense.sentence.hasSuffix("refused: 2"), "\(nonsense)")
            #expect(try cluster.ctl(["import", "xep0227", "/nowhere.xml"]).status == 2)

            // A file that breaks off leaves an account that is shut, and a second import finishes it.
            let whole = Self.file.replacing("capulet.lit", with: "old.lit")
            let end = try #require(whole.firstRange(of: "<pubsub"))
            let broken = cluster.directory + "/broken.xml"
            try cluster.write(String(whole[..<end.lowerBound]), to: broken)
            let half = try cluster.ctl(["import", "xep0227", broken])
            #expect(half.status == 3 && half.text.contains("the file breaks off in it"), "\(half)")
            #expect(try admin.demand("user", "show", "juliet@old.lit").fact("state") == .text("disabled"))
            try cluster.write(whole, to: broken)
            let rest = try cluster.ctl(["import", "xep0227", broken, "--host", "old.lit"])
            #expect(rest.text.contains("the import made 2 accounts"), "\(rest)")
            #expect(try admin.demand("user", "show", "juliet@old.lit").fact("state") == .text("enabled"))
            #expect(try admin.demand("user", "show", "juliet@old.lit").fact("messages_owed") == .integer(2))

            // Entities and what lies outside are never looked at.
            try cluster.write("<!DOCTYPE a [<!ENTITY b SYSTEM '/etc/passwd'>]><server-data xmlns='urn:xmpp:pie:0'/>", to: broken)
            #expect(try cluster.ctl(["import", "xep0227", broken]).text.contains("it has a document type"))
            let outside = "<xi:include href='../../../etc/passwd'/>"
            try cluster.write(
                "<server-data xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude'>\(outside)</server-data>", to: broken)
            #expect(try cluster.ctl(["import", "xep0227", broken]).text.contains("an include names a file that is not there"))
        }
    }
}
