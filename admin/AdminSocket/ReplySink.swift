import AdminLanguage
import NIOCore

/// Where the answer of one request goes. Any thread may write; after the end nothing is written any more.
final class ReplySink: Sendable {
    private let channel: any Channel
    private let finished: @Sendable () -> Void

    init(channel: any Channel, finished: @escaping @Sendable () -> Void) {
        self.channel = channel
        self.finished = finished
    }

    /// Whether somebody still waits for the answer.
    var isOpen: Bool { channel.isActive }

    /// Writes lines that are not the end.
    func write(_ body: (inout Reply) -> Void) {
        var reply = Reply()
        body(&reply)
        var buffer = channel.allocator.buffer(capacity: reply.count)
        buffer.writeBytes(reply.take())
        channel.writeAndFlush(buffer, promise: nil)
    }

    /// Writes lines that are not the end, and says when the socket has taken them: false when the client is gone.
    func write(_ body: (inout Reply) -> Void, then: @escaping @Sendable (Bool) -> Void) {
        var reply = Reply()
        body(&reply)
        var buffer = channel.allocator.buffer(capacity: reply.count)
        buffer.writeBytes(reply.take())
        channel.writeAndFlush(buffer).whenComplete { result in
            switch result {
            case .success: then(true)
            case .failure: then(false)
            }
        }
    }

    /// Writes the last lines, the very last of them `ok` or `error`.
    func end(_ body: (inout Reply) -> Void) {
        write(body)
        finished()
    }

    /// Where the connection lives.
    var eventLoop: any EventLoop { channel.eventLoop }

    /// False while the client takes nothing: what is written then is kept in memory.
    var isWritable: Bool { channel.isWritable }

    /// Runs `body` when the client is gone, whether the answer has ended or not.
    func whenClosed(_ body: @escaping @Sendable () -> Void) { channel.closeFuture.whenComplete { _ in body() } }

    func fail(_ code: ReplyCode, _ sentence: String) { end { $0.error(code, sentence) } }
}
