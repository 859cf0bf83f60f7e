import Glibc
import Synchronization
import TestKit
import Testing

extension ClusterTests {
    /// A real Prometheus that scrapes a live cluster: every query of the dashboard returns data, and every alarm can be evaluated.
    /// `ops/deploy/check-dashboard` runs it.
    @Suite(
        .serialized,
        .enabled(
            if: getenv("MARTLET_PROMETHEUS") != nil && ProcessMonitoring.program("prometheus") != nil,
            "MARTLET_PROMETHEUS is not set, or Prometheus is not installed: ops/deploy/check-dashboard does both"))
    struct DashboardTests {
        /// What fits on the wire between two scrapes of the test, which come each second.
        private static let interval = "15s"

        @Test func everyQueryReturnsData() throws {
            let ports = try ProcessMonitoring.freePorts(4)
            let cluster = try ProcessCluster(
                nodes: 3, loops: 2, monitoring: Array(ports.prefix(3)), settings: "certificate = \"host.crt\"\nkey = \"host.key\"\n",
                script: [
                    .init(table: "store", line: "quota_mib = 2048"), .init(table: "backup", line: "every_hours = 24"),
                ],
                prepare: { cluster in
                    let directory = cluster.prefix(upTo: cluster.lastIndex(of: "/") ?? cluster.endIndex)
                    let make =
                        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=capulet.lit"
                        + " -addext subjectAltName=DNS:capulet.lit -keyout \(directory)/host.key -out \(directory)/host.crt 2>/dev/null"
                    guard system("umask 077; \(make)") == 0 else { throw ProcessFailure("openssl made no certificate") }
                })
            let load = try Load(cluster)
            defer { load.stop() }
            let server = try startPrometheus(cluster, targets: Array(ports.prefix(3)), port: ports[3])
            let dashboard = try Self.queries(in: ProcessMonitoring.file("ops/deploy/grafana.json"))
            let alerts = try Self.alerts(in: ProcessMonitoring.file("ops/deploy/alerts.yml"))
            #expect(dashboard.count > 30 && alerts.count > 20)

            var empty = dashboard
            let deadline = Deadline(in: .seconds(180))
            while !empty.isEmpty, !deadline.isOver {
                poll(nil, 0, 500)
                empty = try empty.filter { try server.results(of: Self.filled($0)) == 0 }
            }
            #expect(empty.isEmpty, "without data: \(empty.joined(separator: "\n"))")
            var firing: [String] = []
            for (name, expression) in alerts { if try server.results(of: expression) > 0 { firing.append(name) } }
            let rules = try server.get("/api/v1/rules")
            for (name, _) in alerts { #expect(rules.contains("\"name\":\"\(name)\""), "\(name) is not loaded") }
            // The nodes that the people are connected to stay.
            try cluster.kill9(0)
            for name in ["NodeDown", "NodeDied"] {
                let expression = try #require(alerts.first { $0.name == name }?.expression)
                let patience = Deadline(in: .patient)
                while try server.results(of: expression) == 0, !patience.isOver { poll(nil, 0, 200) }
                #expect(try server.results(of: expression) > 0, "\(name) does not hold although a node was killed")
            }
            print("dashboard: \(dashboard.count - empty.count) of \(dashboard.count) queries return data;")
            print(
                "alarms: \(alerts.count) expressions evaluated, these hold now: \(firing.isEmpty ? "none" : firing.joined(separator: ", "))"
            )
        }

        private func startPrometheus(_ cluster: ProcessCluster, targets: [UInt16], port: UInt16) throws -> Prometheus {
            let configuration = cluster.directory + "/prometheus.yml"
            var text = "global: { scrape_interval: 1s, evaluation_interval: 5s }\n"
            text += "rule_files: [\"\(cluster.directory)/alerts.yml\"]\nscrape_configs:\n  - job_name: martlet\n    static_configs:\n"
            for (name, port) in zip(cluster.names, targets) {
                text += "      - { targets: [\"127.0.0.1:\(port)\"], labels: { node: \(name) } }\n"
            }
            try cluster.keep(text, as: "prometheus.yml")
            try cluster.keep(ProcessMonitoring.file("ops/deploy/alerts.yml"), as: "alerts.yml")
            let program = try #require(ProcessMonitoring.program("prometheus"))
            let log = cluster.directory + "/prometheus.log"
            try cluster.startBeside(
                [
                    program, "--config.file=\(configuration)", "--storage.tsdb.path=\(cluster.directory)/prometheus",
                    "--web.listen-address=127.0.0.1:\(port)", "--log.level=warn",
                ], log: log)
            let server = Prometheus(port: port)
            let deadline = Deadline(in: .patient)
            while (try? server.get("/-/ready")) == nil {
                guard !deadline.isOver else {
                    throw ProcessFailure("Prometheus does not start: \((try? ProcessMonitoring.text(of: log)) ?? "")")
                }
                poll(nil, 0, 100)
            }
            return server
        }

        /// The texts of all `"expr"` in the dashboard, which has each on a line of its own.
        private static func queries(in text: String) -> [String] {
            text.split(separator: "\n").compactMap { line in
                guard let start = line.firstRange(of: "\"expr\": \""), let end = line.lastIndex(of: "\"") else { return nil }
                return String(line[start.upperBound..<end]).replacing("\\\"", with: "\"").replacing("\\\\", with: "\\")
            }
        }

        /// With what Grafana puts in the place of its variables.
        private static func filled(_ query: String) -> String {
            query.replacing("$__rate_interval", with: interval).replacing("$node", with: ".*")
        }

        private static func alerts(in text: String) -> [(name: String, expression: String)] {
            var alerts: [(String, String)] = []
            var name = ""
            for line in text.split(separator: "\n") {
                if let range = line.firstRange(of: "- alert: ") { name = String(line[range.upperBound...]) }
                if let range = line.firstRange(of: "expr: '") { alerts.append((name, String(line[range.upperBound...].dropLast()))) }
            }
            return alerts
        }
    }
}

/// A Prometheus that answers queries.
private struct Prometheus {
    let port: UInt16

    func get(_ path: String) throws -> String {
        let answer = try ProcessMonitoring.get(path, at: .tcp(port))
        guard answer.status == 200 else { throw ProcessFailure("\(path) is answered with \(answer.status): \(answer.body)") }
        return answer.body
    }

    /// How many series a query gives.
    func results(of query: String) throws -> Int {
        let text = try get("/api/v1/query?query=\(ProcessMonitoring.escaped(query))")
        guard text.contains("\"status\":\"success\"") else { throw ProcessFailure("\(query): \(text)") }
        return text.ranges(of: "\"value\":[").count
    }
}

/// People who chat, one who is away, one who guesses a password, and a backup, until it is stopped.
private final class Load {
    private let stops = Stop()
    private var threads: [ProcessThread] = []

    private final class Stop: Sendable {
        let flag = Atomic(false)
    }

    init(_ cluster: ProcessCluster) throws {
        try cluster.addAccounts(["romeo", "juliet", "nurse"])
        let domain = cluster.domain
        let juliet = try cluster.connect("juliet", resource: "balcony", node: 2)
        let romeo = try cluster.connect("romeo", resource: "orchard", node: 1)
        _ = try? XMPPClient(port: cluster.ports[0], domain: domain, user: "nurse", resource: nil, password: "a guess")
        try cluster.admin(0).demand("store", "backup")
        _ = system("openssl s_client -connect 127.0.0.1:\(cluster.ports[0]) -starttls xmpp -xmpphost \(domain) </dev/null >/dev/null 2>&1")
        let stops = stops
        threads = [
            try Self.chat(romeo, to: ["juliet@\(domain)/balcony", "nurse@\(domain)", "nobody@\(domain)"], stops),
            try Self.chat(juliet, to: ["romeo@\(domain)/orchard"], stops),
        ]
    }

    private static func chat(_ client: XMPPClient, to others: [String], _ stops: Stop) throws -> ProcessThread {
        nonisolated(unsafe) let client = client
        return try ProcessThread {
            var number = 0
            while !stops.flag.load(ordering: .relaxed) {
                number += 1
                guard (try? client.send(Chat.message(to: others[number % others.count], id: "load-\(number)"))) != nil,
                    (try? client.ping("ping-\(number)")) != nil
                else { return }
                poll(nil, 0, 20)
            }
        }
    }

    func stop() {
        stops.flag.store(true, ordering: .relaxed)
        for thread in threads { thread.join() }
    }
}
