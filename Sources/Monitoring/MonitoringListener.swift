internal import Glibc
internal import Listening
public import Logging
public import NIOCore
internal import NIOHTTP1
internal import NIOPosix
public import Settings
internal import Synchronization
internal import Telemetry

/// Serves the pages of a node to programs that watch it, over HTTP/1.1 without TLS.
///
/// Whoever may connect may read; nothing can be changed. What a stranger can make it do is bounded: see `MonitoringLimits`.
public final class MonitoringListener: Sendable {
    private let channels: [any Channel]
    private let paths: [String]

    private init(channels: [any Channel], paths: [String]) {
        self.channels = channels
        self.paths = paths
    }

    /// Listens on every address it can. One that it cannot listen on is logged, and the others serve: a server must not stay away from
    /// its clients because nobody can watch it.
    public static func start(
        _ addresses: [MonitoringAddress], on group: any EventLoopGroup, pages: MonitoringPages, limits: MonitoringLimits = .init(),
        log: Logger
    ) async -> MonitoringListener {
        var channels: [any Channel] = []
        var paths: [String] = []
        let census = ConnectionCensus(limit: limits.connections)
        for address in addresses {
            do {
                channels.append(try await listen(address, group, pages, limits, census))
                if case .unix(let path) = address { paths.append(path) }
                log.info("monitoring is served", metadata: ["address": "\(text(channels.last?.localAddress) ?? "\(address)")"])
            } catch {
                log.error(
                    "monitoring is not served",
                    metadata: ["event": "\(Event.monitoringUnavailable)", "address": "\(address)", "reason": "\(reason(error))"])
            }
        }
        return MonitoringListener(channels: channels, paths: paths)
    }

    /// As the configuration writes it, with the port the kernel chose; nil where it is none of TCP.
    private static func text(_ bound: SocketAddress?) -> String? {
        guard let host = bound?.ipAddress, let port = bound?.port else { return nil }
        return host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// The TCP ports that are listened on, in the order of their addresses.
    var ports: [Int] { channels.compactMap { $0.localAddress?.port } }

    /// Accepts no more connections and removes the names of sockets.
    public func stop() async {
        for channel in channels { try? await channel.close() }
        for path in paths { unlink(path) }
    }

    private static func listen(
        _ address: MonitoringAddress, _ group: any EventLoopGroup, _ pages: MonitoringPages, _ limits: MonitoringLimits,
        _ census: ConnectionCensus
    ) async throws -> any Channel {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(ShortagePause()) }
            }
            .serverChannelOption(.backlog, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4096))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try begin(channel, pages, limits, census) }
            }
        switch address {
        case .tcp(let tcp):
            return try await bootstrap.bind(to: SocketAddress(ipAddress: tcp.address, port: tcp.port)).get()
        case .unix(let path):
            try await removeStaleSocket(path, group)
            let channel = try await bootstrap.bind(unixDomainSocketPath: path).get()
            guard chmod(path, 0o600) == 0 else {
                let number = errno
                try await channel.close()
                throw IOError(errnoCode: number, reason: "chmod")
            }
            return channel
        }
    }

    /// A socket that somebody answers on is not taken away; one that a dead process left is.
    private static func removeStaleSocket(_ path: String, _ group: any EventLoopGroup) async throws {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return }
        if let other = try? await ClientBootstrap(group: group).connect(unixDomainSocketPath: path).get() {
            try? await other.close()
            throw IOError(errnoCode: EADDRINUSE, reason: "bind")
        }
        unlink(path)
    }

    private static func begin(
        _ channel: any Channel, _ pages: MonitoringPages, _ limits: MonitoringLimits, _ census: ConnectionCensus
    ) throws {
        guard census.enter() else {
            channel.close(promise: nil)
            return
        }
        channel.closeFuture.whenComplete { _ in census.leave() }
        let pipeline = channel.pipeline.syncOperations
        let handler = MonitoringHandler(pages: pages, limits: limits)
        var decoding = NIOHTTPDecoderLimitConfiguration()
        decoding.maxHeaderFieldSize = limits.requestBytes
        decoding.maxHeaderListSize = limits.requestBytes
        decoding.maxHeaderFieldCount = limits.headerFields
        let bound = RequestBound(handler, bytes: limits.requestBytes)
        handler.bound = bound
        try pipeline.addHandlers([
            bound, HTTPResponseEncoder(),
            ByteToMessageHandler(
                HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, informationalResponseStrategy: .drop, limitConfiguration: decoding)),
            handler,
        ])
    }

    private static func reason(_ error: any Error) -> String {
        guard let error = error as? IOError else { return "\(error)" }
        return switch error.errnoCode {
        case EADDRINUSE: "another program, or another node, uses it: give each node its own, as [node.b] http"
        case EACCES: "this user may not listen there"
        case EADDRNOTAVAIL: "this machine does not have this address"
        case ENOENT: "the folder of the socket is not there"
        default: String(cString: strerror(error.errnoCode))
        }
    }
}

/// What one who asks for pages can make the server do.
public struct MonitoringLimits: Sendable {
    /// Connections of one node at the same time; a further one is closed at once.
    public var connections = 64
    /// Bytes of a request.
    public var requestBytes = 8_192
    /// Header fields of a request.
    public var headerFields = 64
    /// From the first byte of a request to its last.
    public var request = Duration.seconds(10)
    /// Between two requests of a connection.
    public var idle = Duration.seconds(300)
    /// Until the server has gathered what is asked for.
    public var answer = Duration.seconds(20)
    /// Until the asker has taken the answer.
    public var reading = Duration.seconds(20)
    public init() {}
}

/// Counts the connections of all loops and addresses.
final class ConnectionCensus: Sendable {
    private let limit: Int
    private let count = Mutex(0)

    init(limit: Int) { self.limit = limit }

    /// Whether there is room for one more, which is counted then.
    func enter() -> Bool {
        count.withLock { count in
            guard count < limit else { return false }
            count += 1
            return true
        }
    }

    func leave() { count.withLock { $0 -= 1 } }
}
