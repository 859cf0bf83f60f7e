import BusProtocol
import CShims
import NIOCore
import NIOPosix

/// One connection: cuts frames and hands them to the loop of the links. It is nobody's until the first hello says whose.
final class LinkHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    /// The link it carries. Set by the dialler at once, by the dialled when the hello came.
    var link: Link?
    private(set) var channel: (any Channel)?
    private let links: LinkLoop
    private var rest: ByteBuffer?
    private var isClosed = false

    init(_ links: LinkLoop, to link: Link?) {
        self.links = links
        self.link = link
    }

    func handlerAdded(context: ChannelHandlerContext) {
        channel = context.channel
        if context.channel.isActive { links.opened(self) }
    }

    func channelActive(context: ChannelHandlerContext) { links.opened(self) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosed else { return }
        var bytes = unwrapInboundIn(data)
        if var waiting = rest.take() {
            waiting.writeBuffer(&bytes)
            bytes = waiting
        }
        do {
            while !isClosed, let (frame, size) = try bytes.withUnsafeReadableBytes({ try FrameCodec.decode($0) }) {
                bytes.moveReaderIndex(forwardBy: size)
                try links.received(frame, bytes: size, on: self)
            }
        } catch {
            links.failed(self, error)
            return
        }
        if !isClosed, bytes.readableBytes > 0 { rest = bytes }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if let link { links.pump(link) }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if let link { links.pump(link) }
    }

    func channelInactive(context: ChannelHandlerContext) { links.closed(self) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { links.failed(self, error) }

    /// Closes after what was written, and takes nothing more. A peer that does not read is not waited for.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        rest = nil
        guard let channel else { return }
        let deadline = channel.eventLoop.scheduleTask(in: .seconds(2)) { channel.close(promise: nil) }
        channel.writeAndFlush(ByteBuffer()).whenComplete { _ in
            deadline.cancel()
            channel.close(promise: nil)
        }
    }

    /// Closes now.
    func abort() {
        isClosed = true
        rest = nil
        channel?.close(promise: nil)
    }

    /// The process at the other end, if it is the one that the hello claims.
    func process(claiming node: NodeInfo) -> Result<PeerProcess, PeerProcess.Objection> {
        guard let channel else { return .failure(.isAnother) }
        let result = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { socket in
            Result { () throws(PeerProcess.Objection) in try PeerProcess(of: socket, claiming: node) }
        }
        return result ?? .failure(.isAnother)
    }
}
