import Glibc
import TestKit
import Testing
import XMLStream

/// Every suite here attacks a real node; nodes share few cores: one after the other.
@Suite(.serialized, .compactMapIssues { tellLogs(with: $0) }) struct HostileTests {}

/// Adds the ends of the nodes' logs to an issue.
private func tellLogs(with issue: Issue) -> Issue? {
    var issue = issue
    if !"\(issue)".contains("--- a ---"), let logs = ProcessLogs.take() { issue.comments.append(Comment(rawValue: logs)) }
    return issue
}

/// A node under attack, with romeo, juliet and the users of the probe.
final class Target {
    let cluster: ProcessCluster
    /// Somebody who was there before, and wants nothing but answers.
    private let bystander: XMPPClient
    private var pings = 0
    private let calm: Int
    /// KiB that an attack may leave behind: the allocator keeps pages, a leak of what was sent would be more.
    private static let growth = 98_304

    init(_ settings: String = "", host: String = "") throws {
        cluster = try ProcessCluster(nodes: 1, loops: 2, settings: host + "\n" + settings)
        try cluster.addAccounts(["romeo", "juliet", "probe"])
        try Self.chat(cluster)
        bystander = try Self.login(cluster)
        calm = try Self.residentKiB(cluster.pids[0])
    }

    /// While the attack goes on, others are answered.
    func watch() throws {
        pings += 1
        try bystander.ping("bystander \(pings)")
    }

    /// The node lives, serves who was there and a fresh client, and is not swollen.
    func check() throws {
        try watch()
        try Self.chat(cluster)
        let now = try Self.residentKiB(cluster.pids[0])
        #expect(now < calm + Self.growth, "\(calm) KiB became \(now)")
    }

    func raw() throws -> RawClient { try RawClient(port: cluster.ports[0], domain: cluster.domain) }

    /// A raw client with a resource.
    func raw(_ user: String, _ resource: String) throws -> RawClient {
        let client = try raw()
        try client.login(user)
        try client.bind(resource)
        return client
    }

    func client(_ user: String, _ resource: String?) throws -> XMPPClient { try cluster.connect(user, resource: resource, node: 0) }

    /// A fresh client logs in and talks to itself.
    private static func chat(_ cluster: ProcessCluster) throws {
        let client = try login(cluster)
        try client.send("<message to='\(client.jid)' type='chat' id='probe'><body>alive</body></message>")
        try client.receive { $0["id"] == "probe" && $0["type"] == "chat" }
        try client.close()
    }

    /// May take several attempts where a test leaves clients little time for it.
    private static func login(_ cluster: ProcessCluster) throws -> XMPPClient {
        let deadline = Deadline(in: .patient)
        while true {
            do { return try cluster.connect("probe", resource: nil, node: 0) } catch { if deadline.isOver { throw error } }
        }
    }

    /// `VmRSS` of a process.
    private static func residentKiB(_ pid: pid_t) throws -> Int {
        guard let file = fopen("/proc/\(pid)/status", "re") else { throw ProcessFailure("process \(pid) is gone") }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, 256, file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if text.hasPrefix("VmRSS:"),
                let number = text.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap({ Int($0) })
            {
                return number
            }
        }
        throw ProcessFailure("process \(pid) has no VmRSS")
    }
}
