import CShims
internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import Settings

/// Why a listener does not stand: one sentence that names the address.
public struct ListenError: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// A socket that listens on one loop; its connections live on the same loop. The other loops and the other nodes of the host share the
/// address by SO_REUSEPORT.
struct Listener: Sendable {
    let address: ListenAddress
    private let channel: any Channel

    /// Binds and listens.
    ///
    /// - Parameters:
    ///   - shortage: told when a connection cannot be accepted.
    ///   - begin: gives a new connection its handlers, on the loop.
    /// - Throws: `ListenError`.
    static func start(
        _ address: ListenAddress, backlog: Int, on eventLoop: any EventLoop, shortage: AcceptShortage,
        begin: @escaping @Sendable (any Channel) throws -> Void
    ) async throws(ListenError) -> Listener {
        let descriptor = try makeSocket(address, backlog: backlog)
        do {
            let channel = try await ServerBootstrap(group: eventLoop, childGroup: eventLoop)
                .serverChannelInitializer { channel in channel.eventLoop.makeCompletedFuture { try shortage.watch(channel) } }
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        // At once: an option of the bootstrap's costs a chain of futures for each connection.
                        try channel.syncOptions?.setOption(.recvAllocator, value: readBuffers)
                        try begin(channel)
                    }
                }
                .withBoundSocket(descriptor)
                .get()
            return Listener(address: address, channel: channel)
        } catch {
            throw ListenError("Cannot listen on \(address): \(error).")
        }
    }

    /// A connection keeps the buffer it read into last: most read little, and a large one would stay with each that sent much at once.
    private static let readBuffers = AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 512, maximum: 16_384)

    /// How long the network may leave sent bytes without an answer before a connection counts as dead.
    private static let unansweredMilliseconds: CInt = 60_000

    /// Accepts no more connections; those that stand are not touched.
    func stop() async { try? await channel.close() }

    private static func makeSocket(_ address: ListenAddress, backlog: Int) throws(ListenError) -> CInt {
        let family = address.isIPv6 ? AF_INET6 : AF_INET
        let type = CInt(SOCK_STREAM.rawValue) | CInt(bitPattern: SOCK_CLOEXEC.rawValue) | CInt(bitPattern: SOCK_NONBLOCK.rawValue)
        let descriptor = socket(family, type, 0)
        guard descriptor >= 0 else { throw failure(address) }
        // The last three are for its connections, which inherit them: said once for all of them.
        let options: [(level: CInt, name: CInt, value: CInt)] = [
            (SOL_SOCKET, SO_REUSEADDR, 1), (SOL_SOCKET, SO_REUSEPORT, 1),
            (SOL_SOCKET, SO_KEEPALIVE, 1), (CInt(IPPROTO_TCP), TCP_NODELAY, 1),
            (CInt(IPPROTO_TCP), TCP_USER_TIMEOUT, unansweredMilliseconds),
        ]
        let areSet = options.allSatisfy { option in
            var value = option.value
            return setsockopt(descriptor, option.level, option.name, &value, socklen_t(MemoryLayout<CInt>.size)) == 0
        }
        guard areSet,
            bindSocket(descriptor, address) == 0, listen(descriptor, CInt(clamping: backlog)) == 0
        else {
            let error = failure(address)
            close(descriptor)
            throw error
        }
        return descriptor
    }

    private static func bindSocket(_ descriptor: CInt, _ address: ListenAddress) -> CInt {
        martlet_bind(descriptor, address.address, UInt16(truncatingIfNeeded: address.port))
    }

    private static func failure(_ address: ListenAddress) -> ListenError {
        switch errno {
        case EADDRINUSE: ListenError("Cannot listen on \(address): another program uses this port.")
        case EACCES: ListenError("Cannot listen on \(address): ports below 1024 need the right to use them.")
        case EADDRNOTAVAIL: ListenError("Cannot listen on \(address): this machine does not have this address.")
        default: ListenError("Cannot listen on \(address): \(String(cString: strerror(errno))).")
        }
    }
}
