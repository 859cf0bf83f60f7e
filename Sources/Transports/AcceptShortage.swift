internal import Glibc
internal import Listening
internal import Logging
internal import NIOCore
import Synchronization
internal import Telemetry

/// Says that connections wait because no descriptor, or no memory, is left for them.
final class AcceptShortage: Sendable {
    /// It is said once in so many nanoseconds, however many connections wait at however many listeners.
    private static let silence: UInt64 = 60_000_000_000

    private let log: Logger
    /// When it was said last, on NIO's clock; 0: never.
    private let said = Atomic<UInt64>(0)

    init(_ log: Logger) { self.log = log }

    /// The handler of a listening socket.
    func watch(_ channel: any Channel) throws {
        try channel.pipeline.syncOperations.addHandler(ShortagePause { self.note($0) })
    }

    private func note(_ error: IOError) {
        let (now, before) = (NIODeadline.now().uptimeNanoseconds, said.load(ordering: .relaxed))
        guard before == 0 || now &- before > Self.silence else { return }
        guard said.compareExchange(expected: before, desired: now, ordering: .relaxed).exchanged else { return }
        let what = [EMFILE, ENFILE].contains(error.errnoCode) ? "file descriptor" : "memory"
        log.error(
            "no \(what) is left for new connections: they wait",
            metadata: ["event": "\(Event.connectionsWaiting)", "error": "\(String(cString: strerror(error.errnoCode)))"])
    }
}
