import AdminLanguage
import Glibc
import TestKit
import Testing

extension ClusterTests {
    /// `check …`, which looks at a real cluster from outside, and at a DNS, an issuer and files of its own.
    @Suite(.serialized) struct CheckTests {
        private struct Finding: CustomStringConvertible {
            var subject: String
            var state: String
            var says: String
            var description: String { "\(subject) \(state): \(says)" }
        }

        /// Asks the program as `martletctl` does.
        private func check(_ words: String...) throws -> (findings: [Finding], answer: ProcessAdmin.Answer) {
            let answer = try ProcessCluster.files(["check"] + words)
            let findings = answer.rows.compactMap { row -> Finding? in
                guard case .text(let subject)? = row["subject"], case .text(let state)? = row["state"], case .text(let says)? = row["says"]
                else {
                    return nil
                }
                // Whoever is told to mend something is told how.
                if state == "mend" { #expect(row["mend"] != ReplyValue.none, "\(says)") }
                return Finding(subject: subject, state: state, says: says)
            }
            #expect((answer.error == .failed) == findings.contains { $0.state == "mend" }, "\(answer)")
            return (findings, answer)
        }

        @Test func looksAtARunningCluster() throws {
            let authority = try TestAuthority()
            let domain = "capulet.lit"
            try authority.issue("host", names: "DNS:\(domain)")
            func table(_ name: String) -> String {
                "certificate = \"\(authority.path(name + ".crt"))\"\nkey = \"\(authority.path(name + ".key"))\""
            }
            let cluster = try ProcessCluster(nodes: 2, settings: table("host"))
            let config = cluster.configuration

            let ports = try check("ports", "--config", config)
            #expect(ports.answer.error == nil && ports.findings.count == 6, "\(ports.findings)")
            #expect(ports.findings.count { $0.says.contains("behind STARTTLS") } == 3)
            #expect(ports.findings.count { $0.says.contains("is ready") } == 2)
            let good = try check("certificates", domain, "--config", config, "--ca", authority.anchor)
            #expect(
                good.answer.error == nil && good.findings.count { $0.says.contains("the certificate in the file") } == 3, "\(good.findings)"
            )

            // A file that is not loaded yet, and then every way in which one can be wrong.
            func certificate(_ name: String, names: String, days: Int = 365, isSelfSigned: Bool = false) throws -> [Finding] {
                try authority.issue("host", names: names, days: days, isSelfSigned: isSelfSigned)
                return try check("certificates", "--config", config, "--ca", authority.anchor).findings.filter { $0.state != "ok" }
            }
            #expect(try certificate("host", names: "DNS:\(domain)").map(\.state) == ["mend", "mend", "mend"])
            let foreign = try certificate("host", names: "DNS:montague.lit")
            #expect(foreign.contains { $0.state == "mend" && $0.says.contains("does not name") })
            let service = "otherName:1.3.6.1.5.5.7.8.5;UTF8:\(domain)"
            #expect(try certificate("host", names: service).contains { $0.state == "note" && $0.says.contains("only as an XMPP") })
            let srv = "otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_xmpp-client.\(domain)"
            #expect(try certificate("host", names: srv).contains { $0.state == "note" && $0.says.contains("only as an XMPP") })
            #expect(try certificate("host", names: "DNS:\(domain)", days: -3).contains { $0.says.contains("expired") })
            #expect(try certificate("host", names: "DNS:\(domain)", days: 5).contains { $0.says.contains("expires in 5 days") })
            #expect(
                try certificate("host", names: "DNS:\(domain)", days: 20).contains {
                    $0.state == "note" && $0.says.contains("expires in 20")
                })
            #expect(try certificate("host", names: "DNS:\(domain)", isSelfSigned: true).contains { $0.says.contains("vouches for itself") })
            try authority.issue("host", names: "DNS:\(domain)")
            #expect(try check("certificates", "--config", config).findings.contains { $0.says.contains("issuer is missing") })
            chmod(authority.path("host.key"), 0o644)
            #expect(try check("certificates", "--config", config).findings.contains { $0.says.contains("mode 644") })
            try authority.issue("other", names: "DNS:\(domain)")
            rename(authority.path("other.key"), authority.path("host.key"))
            #expect(try check("certificates", "--config", config).findings.contains { $0.says.contains("key of another certificate") })

            // The clock of the machine is what it is; those of the nodes are moved.
            let clocks = try check("clocks", "--config", config).findings
            #expect(clocks.count == 3 && clocks.count { $0.subject.hasPrefix("node") && $0.state == "ok" } == 2, "\(clocks)")
            try cluster.admin(0).demand("clock", "1h")
            let moved = try check("clocks", "--config", config).findings
            #expect(moved.count { $0.subject.hasPrefix("node") && $0.state == "mend" && $0.says.contains("ahead") } == 2, "\(moved)")

            // A node that is gone is named, at its port and at its socket.
            try cluster.kill9(1)
            let port = "127.0.0.1:\(cluster.ports[1])"
            #expect(try check("ports", "--config", config).findings.contains { $0.subject == port && $0.state == "mend" })
            #expect(
                try check("clocks", "--config", config).findings.contains { $0.subject == "node b" && $0.says.contains("does not answer") })
            let dns = try FakeDNS([:])
            let all = try check("all", "--config", config, "--resolver", dns.address, "--ca", authority.anchor)
            let kinds = all.answer.rows.compactMap { if case .text(let kind)? = $0["check"] { kind } else { nil } }
            #expect(Set(kinds) == ["dns", "certificates", "ports", "clocks"])
            #expect(try cluster.admin(0).ask(["check", "ports"]).error == .refused)
        }

        @Test func looksIntoTheDNS() throws {
            let dns = try FakeDNS([:])
            func look(_ records: [String: [FakeDNS.Record]]) throws -> [Finding] {
                dns.know(records)
                return try check("dns", "capulet.lit", "--resolver", dns.address).findings
            }
            func about(_ findings: [Finding], _ service: String) -> String {
                findings.first { $0.subject.hasPrefix(service) }?.description ?? ""
            }
            let host = FakeDNS.Record.address("192.0.2.1")
            let client = FakeDNS.Record.service(priority: 0, weight: 5, port: 5222, target: "xmpp.capulet.lit")
            let direct = FakeDNS.Record.service(priority: 0, weight: 5, port: 5223, target: "xmpp.capulet.lit")

            let nothing = try look([:])
            #expect(about(nothing, "_xmpp-client").contains("mend: there is no such record and capulet.lit has no address"))
            #expect(about(nothing, "_xmpps-client").contains("mend"))
            #expect(try about(look(["capulet.lit": [host]]), "_xmpp-client").contains("note: there is no such record: clients try"))
            let full: [String: [FakeDNS.Record]] = [
                "_xmpp-client._tcp.capulet.lit": [client], "_xmpps-client._tcp.capulet.lit": [direct],
                "xmpp.capulet.lit": [host, .address("::1")], "_xmpp-server._tcp.capulet.lit": [client],
            ]
            let good = try look(full)
            #expect(about(good, "_xmpp-client").contains("ok: it names xmpp.capulet.lit:5222, which is 192.0.2.1, ::1"), "\(good)")
            #expect(about(good, "_xmpps-client").contains("ok") && about(good, "_xmpp-server").contains("note"))

            func with(_ record: FakeDNS.Record, _ more: [String: [FakeDNS.Record]] = [:]) throws -> String {
                try about(look(full.merging(["_xmpp-client._tcp.capulet.lit": [record]]) { $1 }.merging(more) { $1 }), "_xmpp-client")
            }
            #expect(try with(.service(priority: 0, weight: 0, port: 5222, target: "gone.capulet.lit")).contains("has no address"))
            #expect(try with(.service(priority: 0, weight: 0, port: 5299, target: "xmpp.capulet.lit")).contains("has no port 5299"))
            #expect(try with(.service(priority: 0, weight: 0, port: 0, target: ".")).contains("no XMPP service"))
            let alias = FakeDNS.Record.service(priority: 0, weight: 0, port: 5222, target: "alias.capulet.lit")
            #expect(try with(alias, ["alias.capulet.lit": [.alias("xmpp.capulet.lit")]]).contains("alias"))

            #expect(try ProcessCluster.files(["check", "dns", "capulet.lit", "--resolver", "here"]).error == .invalid)
            #expect(try ProcessCluster.files(["check", "dns", "a..b", "--resolver", dns.address]).error == .invalid)
            let missing = try ProcessCluster.files(["check", "dns", "--config", "/nowhere/martlet.toml"])
            #expect(missing.error == .failed && missing.sentence.contains("/nowhere/martlet.toml"))
            #expect(try ProcessCluster.files(["check", "sundials"]).error == .usage)
        }
    }
}
