import Modules
import ServerCore
import Settings
import Stanzas
import TestKit
import Testing
import XMLStream

/// The service of XEP-0050 §2.4.2: first which service, then its run modes and state.
private final class ConfigureService: Module {
    static let name = "configure"
    static let implements: [XEP] = []
    init(_ context: ModuleContext) {}

    func register(in registration: inout Registration) {
        registration.command(
            AdHocCommand("config", title: "Configure Service", offered: { _, _ in true }) { run in
                let services = ["httpd", "jabberd", "postgresql"].map { DataForm.Option($0) }
                run.ask(
                    DataForm(
                        .form, title: "Configure Service", instructions: ["Please select the service to configure."],
                        fields: [DataForm.Field("service", .listSingle, label: "Service", isRequired: true, options: services)]),
                    isLast: false
                ) { first in
                    let service = first["service"]?.value ?? ""
                    run.ask(
                        DataForm(
                            .form, title: "Configure Service", instructions: ["Please select the run modes and state for '\(service)'."],
                            fields: [
                                DataForm.Field(
                                    "runlevel", .listMulti, label: "Run Modes", values: ["3", "5"],
                                    options: ["1", "2", "3", "5"].map { DataForm.Option($0) }),
                                DataForm.Field(
                                    "state", .listSingle, label: "Run State", isRequired: true, options: [.init("off"), .init("on")]),
                            ])
                    ) { second in
                        if service == "postgresql" { return run.fail(StanzaError(.conflict)) }
                        run.finish(notes: [.init(.info, "Service '\(service)' is \(second["state"]?.value ?? "").")])
                    }
                }
            })
        // One that forgets to answer.
        registration.command(AdHocCommand("forgetful", title: "Forgetful", offered: { _, _ in true }) { _ in })
    }
}

/// The executions of XEP-0050 with more than one stage, and their bounds.
@Suite struct CommandTests {
    private let cluster: MemoryCluster
    private let client: MemoryClient

    init() throws {
        cluster = try MemoryCluster(nodes: 2, modules: ModuleList.all + [ConfigureService.self])
        try cluster.addAccount("romeo")
        client = try cluster.connect("romeo", resource: "orchard", node: 1)
    }

    private func send(_ attributes: String, _ fields: [String: String] = [:], node: String = "config") throws -> Element {
        var form = ""
        if !fields.isEmpty {
            form = "<x xmlns='jabber:x:data' type='submit'>"
            for (name, value) in fields { form += "<field var='\(name)'><value>\(value)</value></field>" }
            form += "</x>"
        }
        try client.post(
            "<iq type='set' to='capulet.lit' id='c'><command xmlns='http://jabber.org/protocol/commands' node='\(node)' \(attributes)>\(form)</command></iq>"
        )
        cluster.run()
        return try Element.parse(Array(try #require(client.takeReceived().first).utf8))
    }

    private func command(_ answer: Element) throws -> Element {
        try #require(
            answer.first(local: "command", namespace: "http://jabber.org/protocol/commands"),
            "\(String(decoding: answer.xml, as: UTF8.self))")
    }

    private func actions(_ answer: Element) throws -> [String] {
        let actions = try #require(try command(answer).children.first { $0.local == "actions" })
        return [actions["execute"] ?? ""] + actions.children.map(\.local)
    }

    private func condition(_ answer: Element) -> String {
        answer.children.first { $0.local == "error" }?.children.map(\.local).filter { $0 != "text" }.joined(separator: " ") ?? "none"
    }

    @Test func twoStagesForthAndBack() throws {
        let first = try send("action='execute'")
        let id = try #require(try command(first)["sessionid"])
        #expect(try actions(first) == ["next", "next"])
        let second = try send("sessionid='\(id)'", ["service": "httpd"])
        #expect(try command(second)["sessionid"] == id)
        #expect(try actions(second) == ["complete", "prev", "complete"])
        #expect(String(decoding: second.xml, as: UTF8.self).contains("httpd"))
        let back = try send("sessionid='\(id)' action='prev'")
        #expect(try command(back)["status"] == "executing")
        #expect(try actions(back) == ["next", "next"])
        #expect(condition(try send("sessionid='\(id)' action='prev'")) == "bad-request bad-action")
        #expect(condition(try send("sessionid='\(id)' action='complete'", ["service": "httpd"])) == "bad-request bad-action")
        #expect(condition(try send("sessionid='\(id)' action='next'", ["service": "exim"])) == "bad-request bad-payload")
        _ = try send("sessionid='\(id)' action='next'", ["service": "jabberd"])
        #expect(condition(try send("sessionid='\(id)' action='next'", ["state": "on"])) == "bad-request bad-action")
        let end = try command(try send("sessionid='\(id)' action='complete'", ["state": "on"]))
        #expect(end["status"] == "completed")
        let note = try #require(end.children.first { $0.local == "note" })
        #expect(note["type"] == "info" && note.text == "Service 'jabberd' is on.")
        #expect(condition(try send("sessionid='\(id)' action='complete'", ["state": "on"])) == "not-allowed session-expired")
    }

    /// What is refused leaves the stage as it was.
    @Test func aRefusalKeepsTheStage() throws {
        let id = try #require(try command(try send(""))["sessionid"])
        _ = try send("sessionid='\(id)'", ["service": "postgresql"])
        #expect(condition(try send("sessionid='\(id)'", ["state": "on"])) == "conflict")
        #expect(try actions(try send("sessionid='\(id)' action='prev'")) == ["next", "next"])
    }

    @Test func whoNeverAnswersEndsWithTheSession() throws {
        try client.post(
            "<iq type='set' to='capulet.lit' id='f'><command xmlns='http://jabber.org/protocol/commands' node='forgetful'/></iq>")
        cluster.run()
        #expect(client.takeReceived().isEmpty)
        cluster.advance(seconds: 601)
        // Seen with the next command of anybody on the loop.
        try client.post("<iq type='set' to='capulet.lit' id='n'><command xmlns='http://jabber.org/protocol/commands' node='config'/></iq>")
        cluster.run()
        let answers = try client.takeReceived().map { try Element.parse(Array($0.utf8)) }
        #expect(answers.first { $0["id"] == "f" }.map(condition) == "internal-server-error")
        #expect(answers.first { $0["id"] == "n" }?["type"] == "result")
    }

    /// The oldest of too many executions gives way.
    @Test func executionsOfAnAccountAreBounded() throws {
        let ids = try (0..<9).map { _ in try #require(try command(try send(""))["sessionid"]) }
        #expect(Set(ids).count == 9)
        #expect(condition(try send("sessionid='\(ids[0])'", ["service": "httpd"])) == "not-allowed session-expired")
        for id in ids.dropFirst() { #expect(try command(try send("sessionid='\(id)' action='cancel'"))["status"] == "canceled") }
    }
}
