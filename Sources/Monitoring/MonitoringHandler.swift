import DequeModule
import NIOCore
import NIOHTTP1
import Telemetry

/// Answers the requests of one connection, one after the other. Confined to its loop.
final class MonitoringHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// What the connection waits for; each has its own bound in time.
    private enum Phase { case idle, reading, gathering, writing, closed }

    private let pages: MonitoringPages
    private let limits: MonitoringLimits
    private var context: ChannelHandlerContext?
    /// Set by whoever puts both into the pipeline.
    var bound: RequestBound?
    private var phase = Phase.idle
    private var head: HTTPRequestHead?
    /// Requests that came together with the one that is being answered.
    private var waiting: Deque<HTTPServerRequestPart> = []
    /// Nothing that comes after the present request can be read.
    private var isLast = false
    private var timer: Scheduled<Void>?

    init(pages: MonitoringPages, limits: MonitoringLimits) {
        self.pages = pages
        self.limits = limits
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        enter(.idle)
    }

    func handlerRemoved(context: ChannelHandlerContext) { leave() }

    func channelInactive(context: ChannelHandlerContext) {
        leave()
        context.fireChannelInactive()
    }

    private func leave() {
        phase = .closed
        timer?.cancel()
        timer = nil
        context = nil
        bound = nil
    }

    // MARK: Requests

    /// Whether a request is being answered.
    var isBusy: Bool { phase == .gathering || phase == .writing || phase == .closed }

    /// Bytes of a request have come.
    func requestComes() {
        if phase == .idle { enter(.reading) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        if isBusy { waiting.append(part) } else { take(part) }
    }

    private func take(_ part: HTTPServerRequestPart) {
        switch part {
        case .head(let head):
            requestComes()
            self.head = head
            // Nothing that has a body is asked for here; who sends one is told before it comes.
            if head.headers.contains(name: "transfer-encoding") || head.headers["content-length"].contains(where: { $0 != "0" }) {
                refuse(.bodyRefused)
            }
        case .body: refuse(.bodyRefused)
        case .end:
            guard let head else { return refuse(.badRequest) }
            enter(.gathering)
            gather(head)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError else { return close() }
        if isBusy { isLast = true } else { refuse(error == .headerOverflow ? .tooLarge : .badRequest) }
    }

    /// Answers what cannot be served, and hangs up.
    func refuse(_ page: Page) {
        if !isBusy { answer(page, closing: true) }
    }

    // MARK: Pages

    private func gather(_ head: HTTPRequestHead) {
        guard head.method == .GET || head.method == .HEAD else { return answer(.badMethod, closing: true) }
        guard let loop = context?.eventLoop else { return }
        let here = NIOLoopBound(self, eventLoop: loop)
        let finish: @Sendable (Page) -> Void = { page in loop.execute { here.value.gathered(page) } }
        switch head.uri.prefix(while: { $0 != "?" }) {
        case "/metrics": pages.metrics { finish(Page(status: 200, contentType: Exposition.contentType, body: $0)) }
        case "/healthz": pages.health { finish(Page($0)) }
        case "/readyz": pages.readiness { finish(Page($0)) }
        case "/": gathered(.index)
        default: gathered(.notFound)
        }
    }

    private func gathered(_ page: Page) {
        if phase == .gathering { answer(page, closing: isLast || head?.isKeepAlive != true) }
    }

    private func answer(_ page: Page, closing: Bool) {
        guard let context else { return }
        enter(.writing)
        var headers = HTTPHeaders()
        headers.add(name: "Content-Type", value: page.contentType)
        headers.add(name: "Content-Length", value: String(page.body.utf8.count))
        headers.add(name: "Cache-Control", value: "no-store")
        if let allow = page.allow { headers.add(name: "Allow", value: allow) }
        if closing { headers.add(name: "Connection", value: "close") }
        let status = HTTPResponseStatus(statusCode: page.status)
        context.write(wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: status, headers: headers))), promise: nil)
        if head?.method != .HEAD {
            context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(string: page.body)))), promise: nil)
        }
        let written = context.eventLoop.makePromise(of: Void.self)
        let here = NIOLoopBound(self, eventLoop: context.eventLoop)
        written.futureResult.whenComplete { _ in here.value.answered(closing: closing) }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: written)
    }

    private func answered(closing: Bool) {
        guard phase == .writing else { return }
        head = nil
        if closing || isLast { return close() }
        enter(.idle)
        while !isBusy, let part = waiting.popFirst() { take(part) }
        if !isBusy { bound?.nextRequest() }
    }

    private func close() {
        let context = context
        leave()
        context?.close(promise: nil)
    }

    // MARK: Time

    private func enter(_ phase: Phase) {
        self.phase = phase
        timer?.cancel()
        guard let loop = context?.eventLoop else { return }
        let bound: Duration =
            switch phase {
            case .idle: limits.idle
            case .reading: limits.request
            case .gathering: limits.answer
            case .writing, .closed: limits.reading
            }
        let here = NIOLoopBound(self, eventLoop: loop)
        timer = loop.scheduleTask(in: TimeAmount(bound)) { here.value.expired() }
    }

    private func expired() {
        switch phase {
        case .reading: refuse(.tooSlow)
        case .gathering: answer(.silent, closing: true)
        case .idle, .writing: close()
        case .closed: break
        }
    }
}
