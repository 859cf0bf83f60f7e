import AdminLanguage
import NIOCore

/// One connection of an administrator: one request at a time, a line each.
final class AdminHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private enum State {
        case idle
        /// Waits for the line with the secret of a command.
        case secret(Invocation)
        /// Feeds lines to a command until a lone dot.
        case lines(any LineConsumer)
        /// A command works; what the client sends meanwhile waits.
        case busy
    }

    private let commands: Commands
    private let node: String
    private var framer = LineFramer(longest: Words.longestRequest)
    private var state = State.idle
    private var sawEnd = false

    init(_ commands: Commands, node: String) {
        self.commands = commands
        self.node = node
    }

    func channelActive(context: ChannelHandlerContext) {
        var reply = Reply()
        reply.greet(Greeting(node: node))
        context.writeAndFlush(NIOAny(context.channel.allocator.buffer(bytes: reply.take())), promise: nil)
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        framer.append(unwrapInboundIn(data).readableBytesView)
        work(context)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if case .busy = state { return }
        context.read()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event {
            sawEnd = true
            work(context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if case .lines(let consumer) = state { consumer.abandon() }
        state = .busy
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func work(_ context: ChannelHandlerContext) {
        while true {
            if case .busy = state { return }
            if case .lines(let consumer) = state, consumer.isFull { return }
            guard let line = framer.next() else { break }
            take(line, context)
        }
        guard sawEnd else { return }
        switch state {
        case .idle, .secret: context.close(promise: nil)
        case .lines(let consumer):
            // Without the lone dot the input is not whole: what came is done, and the client is not told that all was.
            consumer.abandon()
            context.close(promise: nil)
        case .busy: break
        }
    }

    private func take(_ line: LineFramer.Line, _ context: ChannelHandlerContext) {
        switch (state, line) {
        case (.lines(let consumer), .text(".")): finish(consumer, context)
        case (.lines(let consumer), .text(let text)):
            consumer.take(text.utf8.first == UInt8(ascii: ".") ? String(text.unicodeScalars.dropFirst()) : text)
        case (.lines(let consumer), _): consumer.takeUnreadable()
        case (.secret(let invocation), .text(let secret)):
            begin(invocation, secret: secret, context)
        case (.idle, .text(let text)): request(text, context)
        case (_, _):
            state = .busy
            sink(context).fail(.usage, "the line is longer than \(Words.longestRequest) bytes or is not UTF-8; send one command a line")
        }
    }

    private func request(_ text: String, _ context: ChannelHandlerContext) {
        guard !text.isEmpty else { return }
        let invocation: Invocation
        do throws(LineError) {
            invocation = try CommandTable.parse(text, debug: commands.context.debug)
        } catch {
            state = .busy
            return sink(context).fail(.usage, error.sentence)
        }
        switch invocation.wanted {
        case .none: begin(invocation, secret: "", context)
        case .password:
            state = .secret(invocation)
            prompt(.password, context)
        case .lines:
            let loop = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            let eventLoop = context.eventLoop
            let consumer = commands.lines(of: invocation, sink(context)) {
                eventLoop.execute {
                    let (handler, context) = loop.value
                    handler.work(context)
                    context.read()
                }
            }
            framer.longest = consumer.longestLine
            state = .lines(consumer)
            prompt(.lines, context)
        }
    }

    private func prompt(_ prompt: Prompt, _ context: ChannelHandlerContext) {
        var reply = Reply()
        reply.prompt(prompt)
        context.writeAndFlush(NIOAny(context.channel.allocator.buffer(bytes: reply.take())), promise: nil)
    }

    private func begin(_ invocation: Invocation, secret: String, _ context: ChannelHandlerContext) {
        state = .busy
        commands.run(invocation, secret: secret, sink(context))
    }

    private func finish(_ consumer: any LineConsumer, _ context: ChannelHandlerContext) {
        state = .busy
        framer.longest = Words.longestRequest
        consumer.finish()
    }

    /// A sink whose end makes the connection ready for the next request.
    private func sink(_ context: ChannelHandlerContext) -> ReplySink {
        let loop = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let eventLoop = context.eventLoop
        return ReplySink(channel: context.channel) {
            eventLoop.execute {
                let (handler, context) = loop.value
                handler.state = .idle
                handler.work(context)
                context.read()
            }
        }
    }
}

/// A command that is fed lines.
protocol LineConsumer: AnyObject, Sendable {
    /// Bytes of one line, as `LineFramer` counts them.
    var longestLine: Int { get }
    /// No more for now: the connection stops reading until it is told to go on.
    var isFull: Bool { get }
    func take(_ line: String)
    /// A line that was too long or not UTF-8.
    func takeUnreadable()
    func finish()
    /// The client is gone.
    func abandon()
}
