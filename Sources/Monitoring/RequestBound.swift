import NIOCore

/// Stands before the parser: counts the bytes of a request, and reads no more while one is being answered.
final class RequestBound: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private unowned let handler: MonitoringHandler
    private let limit: Int
    private var bytes = 0
    private var context: ChannelHandlerContext?
    private var isReadWanted = false

    init(_ handler: MonitoringHandler, bytes limit: Int) {
        self.handler = handler
        self.limit = limit
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        bytes += unwrapInboundIn(data).readableBytes
        guard bytes <= limit else { return handler.refuse(.tooLarge) }
        handler.requestComes()
        context.fireChannelRead(data)
    }

    func read(context: ChannelHandlerContext) {
        if handler.isBusy { isReadWanted = true } else { context.read() }
    }

    /// A request is answered; the next may come.
    func nextRequest() {
        bytes = 0
        guard isReadWanted else { return }
        isReadWanted = false
        context?.read()
    }
}
