import Glibc
import TestKit
import Testing

extension ClusterTests {
    /// What a node tells the service manager that started it (sd_notify(3)).
    @Suite(.serialized) struct SupervisorTests {
        @Test func tellsHowItFares() throws {
            let cluster = try ProcessCluster(nodes: 2, loops: 2)
            let keeper = try cluster.keeper()
            let other = 1 - keeper
            cluster.signal(other, SIGTERM)
            try cluster.waitForEnd(other)
            let socket = try FakeServiceManager("\(cluster.directory)/notify")
            // The keeper stands still: the store is kept, and nobody serves. Nobody kills it either, being linked to nobody.
            cluster.signal(keeper, SIGSTOP)
            try cluster.start(other, environment: ["NOTIFY_SOCKET=\(socket.name)", "WATCHDOG_USEC=2000000"])
            try socket.receive { $0.contains { $0.hasPrefix("STATUS=waits") } }
            #expect(!socket.isHeard("READY=1"))
            cluster.signal(keeper, SIGCONT)
            try socket.receive { $0.contains("READY=1") }
            #expect(socket.heard.last?.contains { $0.hasPrefix("STATUS=serves, epoch ") } == true)
            try cluster.waitUntilServing(other)
            try socket.receive { $0.contains("WATCHDOG=1") }

            let before = Deadline.now / 1_000
            cluster.signal(other, SIGHUP)
            let reloading = try socket.receive { $0.contains("RELOADING=1") }
            let moment = try #require(reloading.first { $0.hasPrefix("MONOTONIC_USEC=") }.flatMap { UInt64($0.dropFirst(15)) })
            #expect(moment >= before && moment <= Deadline.now / 1_000)
            try socket.receive { $0 == ["READY=1"] }

            cluster.signal(other, SIGTERM)
            let stopping = try socket.receive { $0.contains("STOPPING=1") }
            #expect(stopping.contains("EXTEND_TIMEOUT_USEC=120000000"))
            #expect(try cluster.waitForEnd(other) == 0)
            // Nothing behind it takes it back.
            socket.receiveRest()
            #expect(socket.heard.suffix(from: socket.heard.firstIndex(of: stopping) ?? 0).allSatisfy { !$0.contains("READY=1") })
        }

        @Test func knowsAbstractSocketsAndOthersWatchdogs() throws {
            let cluster = try ProcessCluster(nodes: 1)
            try cluster.kill9(0)
            let socket = try FakeServiceManager("@martlet-\(UInt64.random(in: 0...UInt64.max))")
            let notify = "NOTIFY_SOCKET=\(socket.name)"
            try cluster.start(0, environment: [notify, "WATCHDOG_USEC=400000", "WATCHDOG_PID=1"])
            try socket.receive { $0.contains("READY=1") }
            #expect(socket.heard.last?.contains { $0.hasPrefix("STATUS=keeps the store, epoch ") } == true)
            try cluster.admin(0).demand("node", "stop", cluster.names[0])
            try socket.receive { $0.contains("STOPPING=1") }
            #expect(try cluster.waitForEnd(0) == 0)
            socket.receiveRest()
            #expect(!socket.isHeard("WATCHDOG=1"))

            // What it cannot start with is told, too, in one line.
            let blocked = cluster.directory + "/cluster/run/admin-a.sock"
            #expect(mkdir(blocked, 0o700) == 0)
            try cluster.start(0, environment: [notify])
            let failed = try socket.receive { $0.contains { $0.hasPrefix("STATUS=") && $0.contains(blocked) } }
            #expect(failed.count == 1)
            #expect(try cluster.waitForEnd(0) == 1)
        }
    }
}

/// The other end of `NOTIFY_SOCKET`.
private final class FakeServiceManager {
    /// What a process is given.
    let name: String
    /// Every datagram, as its assignments.
    private(set) var heard: [[String]] = []
    private let descriptor: Int32

    /// - Parameter name: a path, or '@' and a name without a file.
    init(_ name: String) throws {
        self.name = name
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(name.utf8)
        if name.hasPrefix("@") { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(2 + bytes.count)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        guard result == 0 else { throw ProcessFailure("\(name) cannot be bound: \(String(cString: strerror(errno)))") }
    }

    deinit { close(descriptor) }

    func isHeard(_ assignment: String) -> Bool { heard.contains { $0.contains(assignment) } }

    /// The next datagram that is as wanted.
    @discardableResult
    func receive(within patience: Duration = .patient, _ isWanted: ([String]) -> Bool) throws -> [String] {
        let deadline = Deadline(in: patience)
        while !deadline.isOver {
            var file = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            poll(&file, 1, deadline.milliseconds)
            if let next = next(), isWanted(next) { return next }
        }
        throw ProcessFailure("not told within \(patience); heard: \(heard)")
    }

    /// Everything a process that has ended left behind.
    func receiveRest() { while next() != nil {} }

    private func next() -> [String]? {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &bytes, bytes.count, Int32(truncatingIfNeeded: MSG_DONTWAIT))
        guard count >= 0 else { return nil }
        let assignments = String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: "\n").map { String($0) }
        heard.append(assignments)
        return assignments
    }
}
