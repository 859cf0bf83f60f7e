import Glibc
import Logging
import NIOCore
import NIOPosix
import ServerCore
import Settings
import Synchronization
import Telemetry
import Testing

@testable import Monitoring

/// A listener on a free port of loopback, and raw requests to it.
final class Target: Sendable {
    static let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let listener: MonitoringListener
    let port: Int

    init(_ limits: MonitoringLimits = MonitoringLimits(), pages: MonitoringPages = .fixed) async throws {
        for _ in 0..<100 {
            let port = Int.random(in: 10_000..<32_000)
            let address = try #require(MonitoringAddress("127.0.0.1:\(port)"))
            let listener = await MonitoringListener.start([address], on: Self.group, pages: pages, limits: limits, log: .silent)
            if listener.ports.isEmpty { continue }
            self.listener = listener
            self.port = port
            return
        }
        throw Failure("no port is free")
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    /// A connection to it.
    func connect() throws -> Caller { try Caller(port: port) }

    /// Sends bytes on a connection of their own and reads until it is closed.
    func ask(_ text: String) throws -> String {
        let caller = try connect()
        try caller.send(text)
        return caller.readToEnd()
    }
}

/// A plain socket.
final class Caller {
    private let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port)).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        // Nothing hangs: a test that waits for ever says nothing.
        var patience = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw Target.Failure("connect: \(errno)") }
    }

    deinit { close(descriptor) }

    func send(_ text: String) throws {
        let bytes = Array(text.utf8)
        guard Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { throw Target.Failure("send: \(errno)") }
    }

    /// Everything up to the end of the connection, or up to a text.
    func readToEnd(upTo end: String? = nil) -> String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            bytes += chunk[..<count]
            if let end, String(decoding: bytes, as: UTF8.self).hasSuffix(end) { break }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension Logger {
    static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

extension MonitoringPages {
    static let fixed = MonitoringPages(
        metrics: { $0("martlet_test 1\n") }, health: { $0(Health()) },
        readiness: { $0(Health(["this node is stopping", "the store takes no writes"])) })
}

@Suite struct ListenerTests {
    @Test func servesItsPages() async throws {
        let target = try await Target()
        let metrics = try target.ask("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(metrics.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(metrics.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
        #expect(metrics.hasSuffix("\r\n\r\nmartlet_test 1\n"))
        #expect(try target.ask("GET /healthz HTTP/1.0\r\n\r\n").hasSuffix("\r\n\r\nok\n"))
        let ready = try target.ask("GET /readyz HTTP/1.0\r\n\r\n")
        #expect(ready.hasPrefix("HTTP/1.1 503 "))
        #expect(ready.hasSuffix("\r\n\r\nthis node is stopping\nthe store takes no writes\n"))
        #expect(try target.ask("GET / HTTP/1.0\r\n\r\n").contains("/readyz"))
        #expect(try target.ask("GET /../etc/passwd HTTP/1.0\r\n\r\n").hasPrefix("HTTP/1.1 404 "))
        let head = try target.ask("HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(head.contains("Content-Length: 15\r\n") && head.hasSuffix("\r\n\r\n"))
        await target.listener.stop()
        // The port may be somebody else's by now.
        let after = try? target.ask("GET /metrics HTTP/1.0\r\n\r\n")
        #expect(after?.contains("martlet_test 1") != true)
    }

    @Test func answersSeveralRequestsOfAConnectionInOrder() async throws {
        let target = try await Target()
        let caller = try target.connect()
        try caller.send(
            "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET /no HTTP/1.1\r\nHost: a\r\n\r\n")
        let text = caller.readToEnd(upTo: "/readyz\n")
        let places = ["ok\n", "martlet_test 1\n", "HTTP/1.1 404"].map { text.firstRange(of: $0)?.lowerBound }
        #expect(places.allSatisfy { $0 != nil } && places == places.sorted { ($0 ?? text.endIndex) < ($1 ?? text.endIndex) })
        try caller.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(caller.readToEnd(upTo: "ok\n").hasPrefix("HTTP/1.1 200"))
        await target.listener.stop()
    }

    @Test(arguments: [
        ("POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405), ("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 413),
        ("GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 413),
        ("\u{0}\u{1}\u{2} what is this\r\n\r\n", 400), ("GET /metrics HTTP/9.9\r\n\r\n", 400),
        ("GET /" + String(repeating: "a", count: 9_000) + " HTTP/1.1\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "b", count: 9_000), 431),
        ("GET / HTTP/1.1\r\n" + (0..<200).map { "x\($0): y\r\n" }.joined() + "\r\n", 431),
    ])
    func refusesWhatItDoesNotServe(request: String, status: Int) async throws {
        let target = try await Target()
        let answer = try target.ask(request)
        #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer.prefix(100))")
        #expect(answer.contains("Connection: close\r\n"))
        await target.listener.stop()
    }

    /// One limit at a time: on a busy machine the client is slow, too.
    @Test func hangsUpOnWhoIsSlow() async throws {
        func ask(_ text: String, _ limit: WritableKeyPath<MonitoringLimits, Duration>) async throws -> String {
            var limits = MonitoringLimits()
            (limits.request, limits.idle, limits.answer) = (.seconds(300), .seconds(300), .seconds(300))
            limits[keyPath: limit] = .milliseconds(50)
            let stuck = MonitoringPages(metrics: { _ in }, health: { _ in }, readiness: { _ in })
            let target = try await Target(limits, pages: stuck)
            let answer = try target.ask(text)
            await target.listener.stop()
            return answer
        }
        #expect(try await ask("GET /metr", \.request).hasPrefix("HTTP/1.1 408 "))
        #expect(try await ask("", \.idle) == "")
        #expect(try await ask("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", \.answer).hasPrefix("HTTP/1.1 503 "))
    }

    @Test func takesOnlySoManyConnections() async throws {
        var limits = MonitoringLimits()
        limits.connections = 2
        let target = try await Target(limits)
        let first = try target.connect()
        let second = try target.connect()
        for caller in [first, second] {
            try caller.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(caller.readToEnd(upTo: "ok\n").hasPrefix("HTTP/1.1 200"))
        }
        let third = try target.connect()
        #expect(third.readToEnd() == "")
        await target.listener.stop()
    }

    @Test func aSocketIsForItsOwnerAndIsNotTakenAway() async throws {
        var template = Array("/tmp/martlet-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { rmdir(folder) }
        let path = folder + "/http.sock"
        let address = MonitoringAddress.unix(path)
        let first = await MonitoringListener.start([address], on: Target.group, pages: .fixed, log: .silent)
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        // Somebody answers there: a second one leaves it alone.
        let second = await MonitoringListener.start([address], on: Target.group, pages: .fixed, log: .silent)
        await second.stop()
        #expect(stat(path, &status) == 0)
        await first.stop()
        #expect(stat(path, &status) != 0)
        // What a dead process left is replaced.
        let dead = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8) }
        _ = withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(dead, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        close(dead)
        let third = await MonitoringListener.start([address], on: Target.group, pages: .fixed, log: .silent)
        await third.stop()
        #expect(stat(path, &status) != 0)
    }
}

/// A loop that runs what it is given when it is told to.
final class HeldLoop: Loop {
    private let work = Mutex<[@Sendable () -> Void]>([])
    var index: Int { 0 }
    var now: MonotonicTime { .now }
    var inLoop: Bool { false }
    func execute(_ body: @escaping @Sendable () -> Void) { work.withLock { $0.append(body) } }
    func schedule(after delay: Duration, _ body: @escaping @Sendable () -> Void) -> any LoopTimer { Never() }
    func run() {
        for body in work.withLock({ work in
            defer { work = [] }; return work
        }) { body() }
    }
    private struct Never: LoopTimer { func cancel() {} }
}

@Suite struct LoopWatchTests {
    @Test func aLoopThatDoesNotAnswerIsNamed() throws {
        let loop = HeldLoop()
        let registry = Registry()
        let watch = try LoopWatch(loops: [loop], registry: registry, log: .silent)
        #expect(watch.health().isGood)
        watch.round()
        #expect(watch.stalled(within: .zero) == [0])
        #expect(watch.health().isGood)
        loop.run()
        #expect(watch.stalled(within: .zero) == [])
        watch.round()
        watch.round()
        loop.run()
        // Asked once while an answer is out.
        #expect(watch.lag[0].count == 2)
        #expect(Exposition.text(of: registry).contains("martlet_loop_lag_seconds_count{loop=\"0\"} 2\n"))
    }
}
