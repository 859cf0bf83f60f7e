internal import Glibc
internal import Logging
internal import NIOCore
import Synchronization
internal import Telemetry

/// No descriptor, or no memory, is left for a connection that waits to be accepted.
///
/// The listening socket stays readable all the while: whoever asks it again at once does nothing else. It is asked five times a second,
/// the connections wait in the kernel's queue, and those that stand are served.
final class AcceptShortage: Sendable {
    private static let pause = TimeAmount.milliseconds(200)
    /// It is said once in so many nanoseconds, however many connections wait at however many listeners.
    private static let silence: UInt64 = 60_000_000_000

    private let log: Logger
    /// When it was said last, on NIO's clock; 0: never.
    private let said = Atomic<UInt64>(0)

    init(_ log: Logger) { self.log = log }

    /// The handlers of a listening socket.
    func watch(_ channel: any Channel) throws {
        try channel.pipeline.syncOperations.addHandlers([Watch(self), AcceptBackoffHandler(backoffProvider: Self.pause(after:))])
    }

    private static func isShortage(_ error: IOError) -> Bool { [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode) }
    private static func pause(after error: IOError) -> TimeAmount? { isShortage(error) ? pause : nil }

    private func note(_ error: any Error) {
        guard let error = error as? IOError, Self.isShortage(error) else { return }
        let (now, before) = (NIODeadline.now().uptimeNanoseconds, said.load(ordering: .relaxed))
        guard before == 0 || now &- before > Self.silence else { return }
        guard said.compareExchange(expected: before, desired: now, ordering: .relaxed).exchanged else { return }
        let what = [EMFILE, ENFILE].contains(error.errnoCode) ? "file descriptor" : "memory"
        log.error(
            "no \(what) is left for new connections: they wait",
            metadata: ["event": "\(Event.connectionsWaiting)", "error": "\(String(cString: strerror(error.errnoCode)))"])
    }

    private final class Watch: ChannelInboundHandler {
        typealias InboundIn = any Channel
        private let shortage: AcceptShortage
        init(_ shortage: AcceptShortage) { self.shortage = shortage }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            shortage.note(error)
            context.fireErrorCaught(error)
        }
    }
}
