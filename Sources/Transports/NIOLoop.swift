public import NIOCore
public import ServerCore

/// A loop of the process over NIO's.
public final class NIOLoop: Loop {
    public let index: Int
    let eventLoop: any EventLoop

    /// - Parameter index: 0-based, in the order of the process's shards.
    public init(index: Int, eventLoop: any EventLoop) {
        self.index = index
        self.eventLoop = eventLoop
    }

    public var now: MonotonicTime { .now }
    public var inLoop: Bool { eventLoop.inEventLoop }

    public func execute(_ body: @escaping @Sendable () -> Void) { eventLoop.execute(body) }

    public func schedule(after delay: Duration, _ body: @escaping @Sendable () -> Void) -> any LoopTimer {
        Timer(task: eventLoop.scheduleTask(in: TimeAmount(delay), body))
    }

    private struct Timer: LoopTimer {
        let task: Scheduled<Void>
        func cancel() { task.cancel() }
    }
}
