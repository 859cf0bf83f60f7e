public import BusProtocol
import Glibc
import Listening
public import Logging
import NIOCore
import NIOPosix
public import Settings
import Synchronization

/// What the bus tells its owner. Every call comes on the bus's own loop, in order, and must not wait for anything: hop and return.
public protocol BusDelegate: AnyObject, Sendable {
    /// Both hellos are exchanged: the node can be posted to.
    func busNodeUp(_ node: NodeInfo)
    /// The node is gone. Everything that was received from it was delivered before; what was posted to it and not received is lost.
    func busNodeDown(_ node: NodeID, reason: NodeDownReason)
    /// A payload, in the order in which it was posted within its lane.
    func busReceived(_ payload: [UInt8], from: NodeID, fromLoop: UInt16, toLoop: UInt16, lane: Lane)
}

/// The links of this node to all other nodes of its volume on this host, over Unix sockets in a directory they share.
///
/// The links have one event loop of their own, and two threads: `Heart` and `Scout`. A lane to a node is a reliable FIFO until the node
/// is reported down. A lost connection is replaced without a word; a process that ended, or was killed because it was silent, is reported.
public final class StanzaLinks: Sendable {
    /// Posted, and not yet given to the link.
    struct Posting {
        var payload: [UInt8]
        var to: UInt64
        var fromLoop: UInt16
        var toLoop: UInt16
        var lane: Lane
    }

    /// What any thread may look at.
    struct Shared {
        var membership: Membership
        var outbox: [Posting] = []
        /// When the first of them was posted.
        var outboxSince: UInt64 = 0
        /// Payload bytes posted to each member and not yet sent.
        var pending: [UInt64: Int] = [:]
        /// Members whose kill has begun.
        var condemned: Set<UInt64> = []
        var statistics: [LinkStatistics] = []
        /// Payloads that had nowhere to go.
        var undelivered: UInt64 = 0
        var phase = Phase.new
    }

    enum Phase { case new, running, stopped }

    private struct Parts {
        var group: MultiThreadedEventLoopGroup
        var loop: NIOLoopBoundBox<LinkLoop>
        var heart: Heart
        var scout: Scout
        var lock: NodeLock
    }

    public let me: NodeInfo
    private let directory: RunDirectory
    private let settings: Settings.Cluster
    private let logger: Logger
    let metrics: BusMetrics?
    /// Handed to the loop by `start`, so that nothing of it is held after `stop`.
    private let delegate: Mutex<(any BusDelegate)?>
    private let shared: Mutex<Shared>
    private let parts = Mutex<Parts?>(nil)

    /// Nothing happens before `start`. The delegate is held until `stop`, which must follow a `start` that did not throw.
    ///
    /// - Parameter directory: shared by the nodes of a volume and by nobody else; made by `start`, mode 0700. Its path may have about
    ///   60 bytes, because the kernel takes 107 for a socket.
    public init(
        directory: String, me: NodeInfo, settings: Settings.Cluster, delegate: any BusDelegate, logger: Logger, metrics: BusMetrics? = nil
    ) {
        self.metrics = metrics
        self.directory = RunDirectory(path: directory)
        self.me = me
        self.settings = settings
        self.delegate = Mutex(delegate)
        self.logger = logger
        shared = Mutex(Shared(membership: Membership(me: me)))
    }

    // MARK: Life

    /// Takes the name, listens, and begins to look for the others. Not to be called on an event loop.
    public func start() throws(BusError) {
        guard me.isValid else { throw .invalidNode }
        let isNew = shared.withLock { shared in
            defer { if shared.phase == .new { shared.phase = .running } }
            return shared.phase == .new
        }
        guard isNew else { throw .alreadyStarted }
        do throws(BusError) { try assemble() } catch {
            shared.withLock { $0.phase = .stopped }
            throw error
        }
    }

    private func assemble() throws(BusError) {
        // Before anything is made; the event loop would only say that binding failed.
        _ = try withAddress(directory.newLinkSocket(of: me.id.name)) { _, _ in 0 }
        try directory.prepare()
        let lock = try NodeLock(me, in: directory)
        do throws(BusError) { try assemble(lock) } catch {
            lock.release()
            throw error
        }
    }

    private func assemble(_ lock: NodeLock) throws(BusError) {
        let heart = try Heart(
            directory: directory, me: me.id, beatMilliseconds: settings.beatMilliseconds, missedBeats: settings.missedBeats,
            willKill: { [self] incarnation in shared.withLock { _ = $0.condemned.insert(incarnation) } })
        do throws(BusError) { try assemble(lock, heart, try Scout(directory: directory, me: me.id.name)) } catch {
            heart.stop()
            throw error
        }
    }

    private func assemble(_ lock: NodeLock, _ heart: Heart, _ scout: Scout) throws(BusError) {
        let delegate = delegate.withLock { $0.take() }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let eventLoop = group.next()
        let links = LinkLoop(
            me: me, directory: directory, limits: LinkLimits(laneCredit: settings.laneCreditBytes), eventLoop: eventLoop, heart: heart,
            scout: scout, delegate: delegate, logger: logger, owner: self)
        let loop = NIOLoopBoundBox.makeBoxSendingValue(links, eventLoop: eventLoop)
        do throws(BusError) {
            try listen(loop, eventLoop)
            try scout.start { report in eventLoop.execute { loop.value.heard(report) } }
            try heart.start { finding in eventLoop.execute { loop.value.found(finding) } }
        } catch {
            scout.stop()
            unlink(directory.linkSocket(of: me.id.name))
            try? eventLoop.submit { loop.value.close() }.wait()
            try? group.syncShutdownGracefully()
            throw error
        }
        parts.withLock { $0 = Parts(group: group, loop: loop, heart: heart, scout: scout, lock: lock) }
        eventLoop.execute { loop.value.run() }
    }

    /// The socket gets its name when it accepts connections, so that nobody meets it before.
    private func listen(_ loop: NIOLoopBoundBox<LinkLoop>, _ eventLoop: any EventLoop) throws(BusError) {
        let path = directory.linkSocket(of: me.id.name)
        let unnamed = directory.newLinkSocket(of: me.id.name)
        unlink(unnamed)
        do {
            let channel = try ServerBootstrap(group: eventLoop)
                .serverChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(ShortagePause()) }
                }
                .serverChannelOption(.backlog, value: 64)
                .childChannelOption(.writeBufferWaterMark, value: .init(low: 1 << 17, high: 1 << 19))
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(LinkHandler(loop.value, to: nil))
                    }
                }
                .bind(unixDomainSocketPath: unnamed).wait()
            eventLoop.execute { loop.value.listener = channel }
        } catch let error as IOError {
            throw .system("bind \(path)", errno: error.errnoCode)
        } catch {
            throw .system("bind \(path)", errno: EINVAL)
        }
        guard chmod(unnamed, 0o600) == 0, rename(unnamed, path) == 0 else { throw .system("rename \(path)", errno: errno) }
    }

    /// Tells every node that this one leaves, after everything posted so far, and waits until all have heard, 2 s at most. Nothing
    /// comes or goes afterwards; `stop` is to follow. Not to be called on an event loop.
    public func goodbye() {
        guard let (group, loop) = parts.withLock({ parts in parts.map { ($0.group, $0.loop) } }) else { return }
        let eventLoop = group.next()
        let promise = eventLoop.makePromise(of: Void.self)
        eventLoop.execute { loop.value.leave(within: .seconds(2), promise) }
        try? promise.futureResult.wait()
    }

    /// Closes everything, gives up the name, and returns when all threads have ended. Without `goodbye` before it the others see a
    /// node that died. Not to be called on an event loop. A second call does nothing.
    public func stop() {
        let taken = parts.withLock { parts in
            defer { parts = nil }
            return parts
        }
        shared.withLock { shared in
            shared.phase = .stopped
            shared.outbox = []
        }
        guard let parts = taken else { return }
        unlink(directory.linkSocket(of: me.id.name))
        parts.scout.stop()
        let loop = parts.loop
        try? parts.group.next().submit { loop.value.close() }.wait()
        parts.heart.stop()
        try? parts.group.syncShutdownGracefully()
        parts.lock.release()
    }

    // MARK: Posting

    /// Queues a payload of at most 64 MiB. Never blocks, callable from any thread; what all threads post in one turn of the bus leaves in
    /// one write per node. Order is kept per node and lane. A node that is not up, or no more, gets nothing.
    public func post(_ payload: [UInt8], to node: NodeID, fromLoop: UInt16, toLoop: UInt16, lane: Lane) {
        post(payload, toIncarnation: node.incarnation, fromLoop: fromLoop, toLoop: toLoop, lane: lane)
    }

    /// The same, to the node of an incarnation.
    public func post(_ payload: [UInt8], toIncarnation incarnation: UInt64, fromLoop: UInt16, toLoop: UInt16, lane: Lane) {
        let isFirst = shared.withLock { shared in
            guard shared.phase == .running, let pending = shared.pending[incarnation] else {
                shared.undelivered &+= 1
                return false
            }
            shared.pending[incarnation] = pending + payload.count
            if shared.outbox.isEmpty { shared.outboxSince = monotonicNow() }
            shared.outbox.append(Posting(payload: payload, to: incarnation, fromLoop: fromLoop, toLoop: toLoop, lane: lane))
            return shared.outbox.count == 1
        }
        guard isFirst else { return }
        guard let (group, loop) = parts.withLock({ parts in parts.map { ($0.group, $0.loop) } }) else { return }
        group.next().execute { loop.value.drain() }
    }

    // MARK: Looking

    /// The other nodes that are up, by name.
    public var members: [NodeInfo] { shared.withLock { $0.membership.members } }
    /// The feature level that every node of the cluster has.
    public var featureLevel: UInt16 { shared.withLock { $0.membership.featureLevel } }
    /// Grows with each node that comes or goes.
    public var view: UInt64 { shared.withLock { $0.membership.view } }
    /// Payload bytes posted to a node and not yet sent; 0 for one that is not up.
    public func pending(to node: NodeID) -> Int { shared.withLock { $0.pending[node.incarnation] ?? 0 } }
    /// The links, by name, as they were at most 100 ms ago.
    public var statistics: [LinkStatistics] { shared.withLock { $0.statistics } }
    /// Payloads posted to nodes that were not up, or larger than the limit.
    public var undelivered: UInt64 { shared.withLock { $0.undelivered } }

    /// For the loop of the links. Nothing may be waited for inside.
    func access<Result: Sendable>(_ body: (inout sending Shared) -> sending Result) -> Result { shared.withLock { body(&$0) } }
}

/// One link, for the operator.
public struct LinkStatistics: Sendable, Equatable {
    public var node: NodeInfo
    /// Whether a connection stands; without one everything waits.
    public var isConnected: Bool
    /// Frames of all kinds, and their bytes, over all connections.
    public var framesSent: UInt64
    public var framesReceived: UInt64
    public var bytesSent: UInt64
    public var bytesReceived: UInt64
    /// Payload bytes that wait, by lane number.
    public var queuedBytes: [Int]
    /// Bytes that may leave before the peer gives more credit, by lane number.
    public var credit: [UInt64]
    /// Payload bytes sent and not acknowledged.
    public var unacknowledgedBytes: Int
    /// Nanoseconds of the last ping, there and back.
    public var roundTrip: UInt64?
    /// Connections that replaced a lost one.
    public var resumptions: Int
}
