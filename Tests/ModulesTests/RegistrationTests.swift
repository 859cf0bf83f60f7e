import Modules
import ServerCore
import Settings
import Stanzas
import TestKit
import Testing
import XMLStream

/// XEP-0077 where the operator decides: what the scripts, played under one configuration, cannot show.
@Suite struct RegistrationTests {
    private static func cluster(_ adjust: (inout Settings) -> Void) throws -> MemoryCluster {
        var settings = Settings()
        settings.hosts = [Settings.Host(domain: "capulet.lit")]
        adjust(&settings)
        return try MemoryCluster(nodes: 2, modules: ModuleList.all, settings: settings)
    }

    /// Asks for an account; answers the condition of the error, or nil for a result.
    private static func wish(_ visitor: MemoryVisitor, _ cluster: MemoryCluster, _ name: String, password: String = "long enough") throws
        -> String?
    {
        let fields = "<username>\(name)</username><password>\(password)</password>"
        try visitor.say("<iq type='set' id='r'><query xmlns='jabber:iq:register'>\(fields)</query></iq>")
        cluster.run()
        let text = try #require(visitor.take().first)
        let answer = try Element.parse(Array(text.utf8))
        #expect(!text.contains(password), "an answer says a password")
        return answer["type"] == "result" ? nil : StanzaError(answer).condition.name
    }

    @Test func closedUnlessOpened() throws {
        let cluster = try Self.cluster { _ in }
        let visitor = try MemoryVisitor(cluster)
        #expect(visitor.features == "")
        #expect(try Self.wish(visitor, cluster, "bill") == "service-unavailable")
        try visitor.say("<iq type='get' id='g'><query xmlns='jabber:iq:register'/></iq>")
        cluster.run()
        #expect(try #require(visitor.take().first).contains("service-unavailable"))
        #expect(throws: (any Error).self) {
            let client = try cluster.connect("bill", resource: "globe", node: 0)
            if let error = client.bindError { throw error }
        }
    }

    @Test func closedWithAPageElsewhere() throws {
        let cluster = try Self.cluster { $0.registration.redirect = "https://capulet.lit/join?a=1&b=2" }
        let visitor = try MemoryVisitor(cluster)
        #expect(visitor.features == "<register xmlns='http://jabber.org/features/iq-register'/>")
        try visitor.say("<iq type='get' id='g'><query xmlns='jabber:iq:register'/></iq>")
        cluster.run()
        let answer = try Element.parse(Array(try #require(visitor.take().first).utf8))
        let query = try #require(answer.first(local: "query", namespace: "jabber:iq:register"))
        #expect(query.children.map(\.local) == ["instructions", "x"])
        #expect(
            query.first(local: "x", namespace: "jabber:x:oob")?.children.first { _ in true }?.text == "https://capulet.lit/join?a=1&b=2")
        #expect(try Self.wish(visitor, cluster, "bill") == "service-unavailable")
    }

    @Test func neverWithoutProtection() throws {
        let cluster = try Self.cluster { $0.registration.open = true }
        let visitor = try MemoryVisitor(cluster, isProtected: false)
        #expect(visitor.features == "")
        #expect(try Self.wish(visitor, cluster, "bill") == "not-authorized")
        #expect(try MemoryVisitor(cluster).features == "<register xmlns='http://jabber.org/features/iq-register'/>")
    }

    @Test func countsAttemptsOfAnAddressInTheWholeCluster() throws {
        let cluster = try Self.cluster {
            $0.registration.open = true
            $0.registration.perAddressPerHour = 3
        }
        for (number, node) in [0, 1, 0].enumerated() {
            #expect(try Self.wish(try MemoryVisitor(cluster, node: node), cluster, "bill\(number)") == nil)
        }
        #expect(try Self.wish(try MemoryVisitor(cluster, node: 1), cluster, "bill3") == "resource-constraint")
        #expect(try Self.wish(try MemoryVisitor(cluster, node: 1, address: "192.0.2.8/32"), cluster, "bill3") == nil)
        cluster.advance(seconds: 3_599)
        #expect(try Self.wish(try MemoryVisitor(cluster), cluster, "bill4") == "resource-constraint")
        cluster.advance(seconds: 2)
        #expect(try Self.wish(try MemoryVisitor(cluster), cluster, "bill4") == nil)
    }

    /// A name that is taken costs an attempt as well: who has an account here is not for everybody to find out.
    @Test func takenNamesCount() throws {
        let cluster = try Self.cluster {
            $0.registration.open = true
            $0.registration.perAddressPerHour = 2
        }
        try cluster.addAccount("juliet")
        let visitor = try MemoryVisitor(cluster)
        #expect(try Self.wish(visitor, cluster, "juliet") == "conflict")
        #expect(try Self.wish(visitor, cluster, "JULIET") == "conflict")
        #expect(try Self.wish(visitor, cluster, "juliet") == "resource-constraint")
    }

    @Test func namesAndPasswordsHaveToFit() throws {
        var host = Settings.Host(domain: "capulet.lit")
        host.admins = ["Nurse@capulet.lit"]
        let cluster = try Self.cluster {
            $0.hosts = [host]
            $0.registration.open = true
            $0.registration.perAddressPerHour = 0
            $0.registration.reserved = ["Root"]
            $0.registration.usernameBytes = 10
        }
        func wish(_ name: String, _ password: String = "long enough") throws -> String? {
            try Self.wish(try MemoryVisitor(cluster), cluster, name, password: password)
        }
        #expect(try wish("root") == "conflict")
        #expect(try wish("ROOT") == "conflict")
        #expect(try wish("nurse") == "conflict", "an administrator's name is free to take")
        for name in ["a b", "a@b", "a/b", "", "&#x440;&#x43E;&#x43C;&#x435;&#x43E;", "elevenbytes"] {
            #expect(try wish(name) == "not-acceptable", "\(name)")
        }
        #expect(try wish("bill", "seven77") == "not-acceptable")
        #expect(try wish("bill", "&#x1F600;&#x1F600;&#x1F600;&#x1F600;&#x1F600;&#x1F600;&#x1F600;") == "not-acceptable")
        #expect(try wish("Bill.W-_9") == nil)
        #expect(try wish("bill.w-_9") == "conflict")
        let liberal = try Self.cluster {
            $0.registration.open = true
            $0.registration.usernames = .any
        }
        #expect(try Self.wish(try MemoryVisitor(liberal), liberal, "&#x440;&#x43E;&#x43C;&#x435;&#x43E;") == nil)
    }

    @Test func twoWhoWantOneName() throws {
        let cluster = try Self.cluster { $0.registration.open = true }
        let visitors = [try MemoryVisitor(cluster, node: 0), try MemoryVisitor(cluster, node: 1)]
        for visitor in visitors {
            try visitor.say(
                "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>bill</username><password>long enough</password></query></iq>"
            )
        }
        cluster.run()
        let answers = try visitors.map { try Element.parse(Array(try #require($0.take().first).utf8)) }
        #expect(answers.count { $0["type"] == "result" } == 1)
        #expect(answers.filter { $0["type"] == "error" }.map { StanzaError($0).condition } == [.conflict])
    }

    @Test func tooManyRefusalsEndTheStream() async throws {
        let cluster = try Self.cluster { _ in }
        let visitor = try MemoryVisitor(cluster)
        for _ in 0..<9 { #expect(try Self.wish(visitor, cluster, "bill") == "service-unavailable") }
        #expect(try await visitor.endCondition() == nil)
        #expect(try Self.wish(visitor, cluster, "bill") == "service-unavailable")
        #expect(try await visitor.endCondition() == "policy-violation")
    }

    @Test(arguments: [false, true])
    func aNewPasswordEndsOtherSessionsWhereItShall(_ ends: Bool) throws {
        let cluster = try Self.cluster { $0.registration.passwordChangeEndsSessions = ends }
        try cluster.addAccount("bill")
        let asker = try cluster.connect("bill", resource: "globe", node: 0)
        let other = try cluster.connect("bill", resource: "home", node: 1)
        try asker.post(
            "<iq type='set' id='c'><query xmlns='jabber:iq:register'><username>bill</username><password>long enough</password></query></iq>"
        )
        cluster.run()
        #expect(asker.takeReceived().contains { $0.contains("type='result'") })
        #expect(asker.closedWith == nil)
        #expect(other.closedWith == (ends ? "reset" : nil))
    }
}
