internal import Glibc
public import NIOCore

/// Stands at a listening socket: when no descriptor or no memory is left for a connection that waits, the socket is asked again five
/// times a second.
///
/// It stays readable all the while, so a loop that asks at once does nothing else; NIO's own `AcceptBackoffHandler` holds back reads
/// that nobody begins here, since the failed one still stands. The connections wait in the kernel's queue, those that stand are served.
public final class ShortagePause: ChannelInboundHandler {
    public typealias InboundIn = any Channel

    private static let pause = TimeAmount.milliseconds(200)

    private let noticed: @Sendable (IOError) -> Void

    /// - Parameter noticed: called on the loop each time a connection cannot be accepted.
    public init(noticed: @escaping @Sendable (IOError) -> Void = { _ in }) { self.noticed = noticed }

    public func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode) else {
            return context.fireErrorCaught(error)
        }
        noticed(error)
        let channel = context.channel
        _ = channel.setOption(.autoRead, value: false)
        channel.eventLoop.scheduleTask(in: Self.pause) { _ = channel.setOption(.autoRead, value: true) }
    }
}
