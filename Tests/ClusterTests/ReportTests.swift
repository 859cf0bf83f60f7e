import AdminLanguage
import TestKit
import Testing
import XMLStream

extension ClusterTests {
    /// What users report, as the administrator sees it from any node, and after the keeper's death.
    @Suite(.serialized) struct ReportTests {
        @Test func areListedShownAndDeleted() throws {
            let cluster = try ProcessCluster(nodes: 3)
            try cluster.addAccounts(["juliet", "romeo"])
            let juliet = try cluster.connect("juliet", resource: "chamber", node: 1)
            try juliet.send(
                "<iq type='set' id='block1'><block xmlns='urn:xmpp:blocking'><item jid='romeo@\(cluster.domain)'><report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'><stanza-id xmlns='urn:xmpp:sid:0' by='romeo@\(cluster.domain)' id='28482'/><text xml:lang='en'>Never came trouble.</text><report-origin/></report></item></block></iq>"
            )
            #expect(try juliet.receive { $0["id"] == "block1" }["type"] == "result")
            let listed = try cluster.admin(2).demand("report", "list").rows
            #expect(listed.count == 1)
            let row = try #require(listed.first)
            #expect(row["reported"] == .text("romeo@\(cluster.domain)"))
            #expect(row["reporter"] == .text("juliet@\(cluster.domain)"))
            #expect(row["reason"] == .text("spam"))
            guard case .text(let id)? = row["id"] else {
                Issue.record("the report has no id")
                return
            }
            #expect(try cluster.admin(2).demand("report", "list", "--about", "*@spam.example").rows.isEmpty)
            #expect(try cluster.admin(2).ask(["report", "list", "--host", "other.example"]).error == .invalid)
            let keeper = try cluster.keeper()
            try cluster.kill9(keeper)
            let other = (keeper + 1) % 3
            let shown = try cluster.admin(other).demand("report", "show", id)
            #expect(shown.fact("text") == .text("[en] Never came trouble."))
            #expect(shown.fact("message") == .text("28482 of romeo@\(cluster.domain)"))
            #expect(shown.fact("may_tell_origin") == .flag(true))
            let user = try cluster.admin(other).demand("user", "show", "juliet@\(cluster.domain)")
            #expect(user.fact("blocked_addresses") == .integer(1))
            try cluster.admin(other).demand("report", "delete", id)
            #expect(try cluster.admin(other).ask(["report", "show", id]).error == .notFound)
            #expect(try cluster.admin(other).ask(["report", "delete", id]).error == .notFound)
        }
    }
}
