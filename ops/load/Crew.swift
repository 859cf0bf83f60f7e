import COpenSSL
import DequeModule
import Glibc
import NIOCore
import NIOPosix
import Stanzas
import XMLStream

struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// What is done with the sessions. Called on the crew's loop.
protocol Load: AnyObject {
    /// A stanza came.
    func received(_ element: Element, by session: Session)
    /// A session is there, for the first time or again.
    func loggedIn(_ session: Session, resumed: Bool)
    /// The connection of a session is gone, as it was to be (`expected`) or not.
    func ended(_ session: Session, expected: Bool)
    /// Some milliseconds have passed.
    func tick()
}

/// All sessions, on one loop of one thread, and what is known of how they fare.
final class Crew: @unchecked Sendable {
    // @unchecked: after `run` has begun everything is confined to the loop.
    let options: ConnectOptions
    let tls: TLSSettings
    let parser = XMLStreamParser(namespace: .client)
    /// Where TLS decrypts to.
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    private(set) var sessions: [Session] = []
    private(set) var load: (any Load)?
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop: any EventLoop
    private let done: EventLoopPromise<Void>

    /// Sessions that wait for their turn to log in, and those that are logging in.
    private var waiting: Deque<Session> = []
    private var joining: [ObjectIdentifier: Session] = [:]
    private var dirty: [Connection] = []
    private var isFlushing = false

    private(set) var logins = Histogram()
    private(set) var resumptions = Histogram()
    private(set) var problems = 0
    /// Errors that are told in full.
    private static let shownProblems = 10

    init(_ options: ConnectOptions, _ accounts: [Account], sessions count: Int, target: (Int) -> Int = { $0 }) throws {
        self.options = options
        let targets = try options.targets
        tls = try TLSSettings(ca: options.ca, verifies: options.ca != nil || targets.contains { !$0.isLoopback })
        loop = group.next()
        done = loop.makePromise()
        Self.raiseFileLimit()
        for index in 0..<count {
            let account = accounts[index % accounts.count]
            sessions.append(
                Session(
                    index: index, account: account, resource: "load\(index / accounts.count)",
                    target: targets[target(index) % targets.count],
                    crew: self))
        }
    }

    deinit { scratch.deallocate() }

    var now: UInt64 { NIODeadline.now().uptimeNanoseconds }

    /// Runs the load from its `begin` to `finish`.
    func run(_ load: any Load, begin: @escaping @Sendable () -> Void) throws {
        self.load = load
        loop.execute {
            self.loop.scheduleRepeatedTask(initialDelay: .milliseconds(1), delay: .milliseconds(1)) { _ in self.tick() }
            begin()
            self.flush()
        }
        defer { try? group.syncShutdownGracefully() }
        try done.futureResult.wait()
    }

    func finish() { done.succeed(()) }

    // MARK: Logins

    /// Logs sessions in, so many at once.
    func join(_ some: [Session], atOnce: Bool = false) {
        if atOnce {
            for session in some {
                joining[ObjectIdentifier(session)] = session
                session.begin()
            }
        } else {
            waiting.append(contentsOf: some)
            joinNext()
        }
    }

    private func joinNext() {
        while joining.count < options.concurrency, let session = waiting.popFirst() {
            joining[ObjectIdentifier(session)] = session
            session.begin()
        }
    }

    /// Nobody waits to be logged in.
    var isComplete: Bool { waiting.isEmpty && joining.isEmpty }

    func open(_ session: Session) {
        ClientBootstrap(group: loop)
            .channelOption(ChannelOptions.socketOption(.tcp_nodelay), value: 1)
            .connectTimeout(.seconds(Int64(options.patience)))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Connection(session, crew: self))
                }
            }
            .connect(host: session.target.host, port: session.target.port)
            .whenFailure { [attempt = session.attempt] error in
                guard session.attempt == attempt else { return }
                self.problem("\(session.target): \(error)")
                self.ended(session, expected: false)
            }
    }

    func loggedIn(_ session: Session, resumed: Bool) {
        if let began = session.began {
            if resumed { resumptions.add(now - began) } else { logins.add(now - began) }
        }
        joining[ObjectIdentifier(session)] = nil
        load?.loggedIn(session, resumed: resumed)
        joinNext()
    }

    func ended(_ session: Session, expected: Bool) {
        joining[ObjectIdentifier(session)] = nil
        load?.ended(session, expected: expected)
        joinNext()
    }

    // MARK: The loop

    private func tick() {
        load?.tick()
        let late = now &- UInt64(options.patience) * 1_000_000_000
        for session in joining.values where (session.began ?? late) < late {
            problem("\(session.account.jid): not logged in after \(options.patience) s")
            session.cut()
            ended(session, expected: false)
        }
        flush()
    }

    /// Something was written on a connection: it is flushed when the loop has done what it does now.
    func touched(_ connection: Connection) {
        guard !connection.isTouched else { return }
        connection.isTouched = true
        dirty.append(connection)
        guard !isFlushing else { return }
        isFlushing = true
        loop.execute { self.flush() }
    }

    private func flush() {
        isFlushing = false
        let touched = dirty
        dirty.removeAll(keepingCapacity: true)
        for connection in touched {
            connection.isTouched = false
            connection.flush()
        }
    }

    // MARK: Problems

    func problem(_ text: String) {
        problems += 1
        if problems <= Self.shownProblems { Self.say(text) }
        if problems == Self.shownProblems { Self.say("further errors are only counted") }
    }

    /// A line to standard error.
    static func say(_ text: String) {
        let line = Array("martletload: \(text)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }

    /// Sockets as many as the system allows.
    private static func raiseFileLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
