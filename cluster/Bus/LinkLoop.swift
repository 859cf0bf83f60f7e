import BusProtocol
import Glibc
import Logging
import NIOCore
import NIOPosix
import Telemetry

/// A name, and the link to whoever bears it.
final class Link {
    let name: String
    var machine: LinkMachine
    var connection: LinkHandler?
    var isDialling = false
    /// Fruitless attempts since the last connection.
    var attempts: Int64 = 0
    /// Whether the alarm for the present silence was raised.
    var isSilent = false
    /// Answered pings that were counted.
    var pongsCounted: UInt64 = 0
    var framesReceived: UInt64 = 0
    var bytesSent: UInt64 = 0
    var bytesReceived: UInt64 = 0
    /// Whether the present turn has posted to it.
    var isTouched = false

    init(name: String, me: NodeInfo, limits: LinkLimits) {
        self.name = name
        machine = LinkMachine(me: me, peerName: name, limits: limits)
    }
}

/// Everything of the links that is confined to their event loop.
final class LinkLoop {
    /// Written to a connection before it is asked whether it takes more: what a control frame may have to wait for.
    private static let batchBytes = 1 << 18
    /// Nanoseconds without a frame after which a link that stands is worth an alarm.
    private static let silence: UInt64 = 5_000_000_000

    let me: NodeInfo
    let directory: RunDirectory
    let limits: LinkLimits
    let eventLoop: any EventLoop
    let heart: Heart
    let scout: Scout
    /// Nil once stopped.
    private var delegate: (any BusDelegate)?
    let logger: Logger
    /// Owns this; broken by `close`.
    var owner: StanzaLinks?
    var listener: (any Channel)?
    private var links: [String: Link] = [:]
    /// The links of those that are up.
    private var byIncarnation: [UInt64: Link] = [:]
    /// The last complaint about each name, so that one who tries for ever is named once.
    private var complaints: [String: String] = [:]
    /// Connections whose hello has not come.
    private var strangers: [ObjectIdentifier: LinkHandler] = [:]
    private var ticks: RepeatedTask?
    private var farewell: EventLoopPromise<Void>?
    private var isLeaving = false
    private var isStopped = false
    private var scratch: [UInt8] = []

    init(
        me: NodeInfo, directory: RunDirectory, limits: LinkLimits, eventLoop: any EventLoop, heart: Heart, scout: Scout,
        delegate: (any BusDelegate)?, logger: Logger, owner: StanzaLinks
    ) {
        self.me = me
        self.directory = directory
        self.limits = limits
        self.eventLoop = eventLoop
        self.heart = heart
        self.scout = scout
        self.delegate = delegate
        self.logger = logger
        self.owner = owner
    }

    // MARK: Life

    func run() {
        guard !isStopped else { return }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        ticks = eventLoop.scheduleRepeatedTask(initialDelay: .milliseconds(100), delay: .milliseconds(100)) { _ in bound.value.tick() }
        // Whoever came before this was answered by posts that had nobody to wake.
        drain()
    }

    func leave(within bound: TimeAmount, _ promise: EventLoopPromise<Void>) {
        guard !isStopped, farewell == nil else { return promise.succeed() }
        isLeaving = true
        farewell = promise
        // Nobody new: whoever dials now would only have to be told goodbye.
        unlink(directory.linkSocket(of: me.id.name))
        drain()
        for link in links.values {
            link.machine.leave()
            pump(link)
        }
        let here = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.scheduleTask(in: bound) { here.value.finishFarewell() }
        finishFarewellIfAlone()
    }

    private func finishFarewellIfAlone() {
        if links.values.allSatisfy({ $0.connection == nil }) { finishFarewell() }
    }

    private func finishFarewell() { farewell.take()?.succeed() }

    func close() {
        isStopped = true
        ticks?.cancel()
        listener?.close(promise: nil)
        for stranger in strangers.values { stranger.abort() }
        for link in links.values { link.connection?.abort() }
        links.removeAll()
        byIncarnation.removeAll()
        finishFarewell()
        owner = nil
        delegate = nil
    }

    private func tick() {
        let now = monotonicNow()
        var statistics: [LinkStatistics] = []
        for link in links.values.sorted(by: { $0.name < $1.name }) {
            link.machine.tick(at: now)
            pump(link)
            if link.machine.pongs != link.pongsCounted, let roundTrip = link.machine.roundTrip {
                link.pongsCounted = link.machine.pongs
                owner?.metrics?.roundTrip.observe(roundTrip / 1_000)
            }
            let isSilent = link.machine.silence(at: now) > Self.silence
            if isSilent != link.isSilent {
                link.isSilent = isSilent
                if isSilent {
                    logger.critical(
                        "A node answers nothing although its process runs",
                        metadata: ["event": "\(Event.linkSilent)", "node": "\(link.name)"])
                } else {
                    logger.notice("A node answers again", metadata: ["event": "\(Event.linkAnswers)", "node": "\(link.name)"])
                }
            }
            if let node = link.machine.peer { statistics.append(link.statistics(of: node)) }
        }
        let collected = statistics
        owner?.access { $0.statistics = collected }
    }

    // MARK: Posting

    func drain() {
        guard let owner else { return }
        let (postings, since) = owner.access { shared in
            defer { shared.outbox = [] }
            return (shared.outbox, shared.outboxSince)
        }
        if !postings.isEmpty, let metrics = owner.metrics {
            let now = monotonicNow()
            metrics.queueing.observe(now > since ? (now - since) / 1_000 : 0)
            metrics.payloads.increment(by: UInt64(postings.count))
        }
        var touched: [Link] = []
        var refused: UInt64 = 0
        for posting in postings {
            guard let link = byIncarnation[posting.to] else {
                refused &+= 1
                continue
            }
            guard link.machine.post(posting.payload, fromLoop: posting.fromLoop, toLoop: posting.toLoop, lane: posting.lane) else {
                refused &+= 1
                sent(posting.payload.count, to: posting.to)
                logger.error("A payload is too large for the bus", metadata: ["node": "\(link.name)", "bytes": "\(posting.payload.count)"])
                continue
            }
            if !link.isTouched {
                link.isTouched = true
                touched.append(link)
            }
        }
        if refused > 0 {
            let count = refused
            owner.access { $0.undelivered &+= count }
            logger.debug("Payloads had nowhere to go", metadata: ["count": "\(count)"])
        }
        for link in touched {
            link.isTouched = false
            pump(link)
        }
    }

    /// Writes what may leave, as long as the connection takes it.
    func pump(_ link: Link) {
        guard let connection = link.connection, let channel = connection.channel, channel.isActive else { return }
        var wrote = false
        let queued = link.machine.queuedBytes
        while channel.isWritable, link.machine.hasOutput {
            scratch.removeAll(keepingCapacity: true)
            link.machine.write(into: &scratch, limit: Self.batchBytes)
            guard !scratch.isEmpty else { break }
            link.bytesSent &+= UInt64(scratch.count)
            channel.write(channel.allocator.buffer(bytes: scratch), promise: nil)
            wrote = true
        }
        guard wrote else { return }
        channel.flush()
        if let id = link.machine.peer?.id { sent(queued - link.machine.queuedBytes, to: id.incarnation) }
    }

    /// These bytes are pending no more.
    private func sent(_ bytes: Int, to incarnation: UInt64) {
        guard bytes > 0 else { return }
        owner?.access { shared in
            if let pending = shared.pending[incarnation] { shared.pending[incarnation] = pending - bytes }
        }
    }

    /// The same complaint about the same name is made once.
    private func complain(_ text: String, about link: Link, _ reason: String) {
        let complaint = "\(text): \(reason)"
        logger.log(
            level: complaint == complaints[link.name] ? .debug : .error, "\(text)",
            metadata: ["node": "\(link.name)", "reason": "\(reason)"])
        complaints[link.name] = complaint
    }

    // MARK: Connections

    func opened(_ connection: LinkHandler) {
        guard !isStopped else { return connection.abort() }
        if let link = connection.link {
            // Dialled: the machine has its hello ready.
            link.connection = connection
            link.machine.connected(at: monotonicNow())
            pump(link)
            return
        }
        let id = ObjectIdentifier(connection)
        strangers[id] = connection
        let here = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.scheduleTask(in: .seconds(5)) { here.value.strangers.removeValue(forKey: id)?.abort() }
    }

    func received(_ frame: Frame, bytes: Int, on connection: LinkHandler) throws {
        guard !isStopped else { return connection.abort() }
        if connection.link == nil {
            guard case .hello(let hello) = frame.body else { throw LinkFault.unexpected }
            strangers.removeValue(forKey: ObjectIdentifier(connection))
            try adopt(connection, hello.node)
        }
        guard let link = connection.link, link.connection === connection else { return connection.abort() }
        link.framesReceived &+= 1
        link.bytesReceived &+= UInt64(bytes)
        if case .hello(let hello) = frame.body {
            try greet(link, frame, hello, connection)
        } else if let answer = try link.machine.receive(frame, at: monotonicNow()) {
            act(on: answer, link, connection)
        }
    }

    /// A dialled connection says whose it is. An older one of the same name is dead, whether this side saw it or not.
    private func adopt(_ connection: LinkHandler, _ node: NodeInfo) throws {
        guard node.id.name < me.id.name else { throw LinkFault.unexpected }
        let link = links[node.id.name] ?? Link(name: node.id.name, me: me, limits: limits)
        links[node.id.name] = link
        if let old = link.connection {
            link.connection = nil
            link.machine.disconnected()
            old.abort()
        }
        connection.link = link
        link.connection = connection
        link.machine.connected(at: monotonicNow())
    }

    private func greet(_ link: Link, _ frame: Frame, _ hello: Hello, _ connection: LinkHandler) throws {
        let process: PeerProcess
        switch connection.process(claiming: hello.node) {
        case .success(let found): process = found
        case .failure(let objection):
            complain("A hello is not from the process it names", about: link, "\(objection)")
            return refuse(link, connection, .refused)
        }
        var isWatched = false
        defer { if !isWatched, process.pidfd >= 0 { Glibc.close(process.pidfd) } }
        if isLeaving || (owner?.access { $0.membership.isDeparted(hello.node.id) } ?? true) {
            return refuse(link, connection, isLeaving ? .leaving : .refused)
        }
        guard let answer = try link.machine.receive(frame, at: monotonicNow()) else { return }
        guard case .up(let node, let replaced) = answer else { return act(on: answer, link, connection) }
        if let replaced { down(replaced.id, .died) }
        link.attempts = 0
        isWatched = true
        byIncarnation[node.id.incarnation] = link
        complaints[link.name] = nil
        heart.watch(node.id, process: process)
        owner?.access { shared in
            shared.membership.up(node)
            shared.pending[node.id.incarnation] = 0
        }
        owner?.metrics?.nodeUp()
        logger.notice(
            "A node is up",
            metadata: ["event": "\(Event.nodeUp)", "node": "\(node.id)", "pid": "\(node.pid)", "product": "\(node.product)"])
        delegate?.busNodeUp(node)
    }

    private func refuse(_ link: Link, _ connection: LinkHandler, _ farewell: Farewell) {
        link.machine.refuse(farewell)
        pump(link)
        connection.close()
    }

    private func act(on answer: LinkAnswer, _ link: Link, _ connection: LinkHandler) {
        switch answer {
        case .up: break
        case .resumed(let replayed):
            link.attempts = 0
            scout.clear(link.name)
            logger.info("A link stands again", metadata: ["node": "\(link.name)", "replayed": "\(replayed)"])
        case .deliver(let delivery):
            guard let peer = link.machine.peer else { return }
            delegate?.busReceived(
                delivery.payload, from: peer.id, fromLoop: delivery.fromLoop, toLoop: delivery.toLoop, lane: delivery.lane)
        case .farewell(let farewell):
            connection.close()
            if farewell != .leaving { complain("A node ended the link", about: link, "\(farewell)") }
            if let peer = link.machine.peer { end(link, peer.id, farewell == .leaving ? .left : .diverged) }
        case .refused(let refusal):
            complain("A hello was refused", about: link, "\(refusal)")
            pump(link)
            connection.close()
            if refusal == .diverged, let peer = link.machine.peer { end(link, peer.id, .diverged) }
        }
    }

    func failed(_ connection: LinkHandler, _ error: any Error) {
        let name = connection.link?.name ?? "?"
        logger.warning(
            "A connection of a link failed", metadata: ["event": "\(Event.linkFailed)", "node": "\(name)", "error": "\(error)"])
        connection.abort()
    }

    func closed(_ connection: LinkHandler) {
        strangers.removeValue(forKey: ObjectIdentifier(connection))
        guard let link = connection.link, link.connection === connection else { return }
        link.connection = nil
        link.machine.disconnected()
        if isLeaving { return finishFarewellIfAlone() }
        guard !isStopped, links[link.name] === link else { return }
        guard let peer = link.machine.peer, isMember(peer.id) else {
            links[link.name] = nil
            return
        }
        scout.suspect(link.name, incarnation: peer.id.incarnation)
        redial(link)
    }

    // MARK: Dialling

    private func redial(_ link: Link) {
        guard link.machine.dials else { return }
        // 0, 10, 20, 40 … 500 ms.
        let pause: Int64 = link.attempts == 0 ? 0 : min(500, 10 << min(link.attempts - 1, 6))
        link.attempts += 1
        let here = NIOLoopBound(self, eventLoop: eventLoop)
        let name = link.name
        eventLoop.scheduleTask(in: .milliseconds(pause)) {
            if let link = here.value.links[name] { here.value.dial(link) }
        }
    }

    private func dial(_ link: Link) {
        guard !isStopped, !isLeaving, link.machine.dials, link.connection == nil, !link.isDialling else { return }
        link.isDialling = true
        let here = NIOLoopBound(self, eventLoop: eventLoop)
        let target = NIOLoopBound(link, eventLoop: eventLoop)
        ClientBootstrap(group: eventLoop)
            .channelOption(.writeBufferWaterMark, value: .init(low: 1 << 17, high: 1 << 19))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(LinkHandler(here.value, to: target.value))
                }
            }
            .connect(unixDomainSocketPath: directory.linkSocket(of: link.name))
            .whenComplete { result in
                let (links, link) = (here.value, target.value)
                link.isDialling = false
                guard case .failure(let error) = result else { return }
                links.logger.debug("A node could not be dialled", metadata: ["node": "\(link.name)", "error": "\(error)"])
                guard links.links[link.name] === link else { return }
                // One that never was up is found again by the scout, if it lives.
                if let peer = link.machine.peer, links.isMember(peer.id) { links.redial(link) } else { links.links[link.name] = nil }
            }
    }

    // MARK: Who lives

    func heard(_ report: Scout.Report) {
        guard !isStopped else { return }
        switch report {
        case .living(let names):
            for name in names where me.id.name < name {
                let link = links[name] ?? Link(name: name, me: me, limits: limits)
                guard link.connection == nil, !link.isDialling else { continue }
                links[name] = link
                dial(link)
            }
        case .dead(let name, let incarnation):
            guard let link = links[name], let peer = link.machine.peer, peer.id.incarnation == incarnation else { return }
            end(link, peer.id, .died)
        }
    }

    func found(_ finding: Heart.Finding) {
        switch finding {
        case .killed(let incarnation):
            // The end of the process closes its link, and frees its lock: it is reported then, after everything it sent.
            logger.critical(
                "A silent node was killed",
                metadata: ["event": "\(Event.nodeFenced)", "incarnation": "\(String(incarnation, radix: 16))"])
        case .notKilled(let incarnation, let number):
            owner?.access { _ = $0.condemned.remove(incarnation) }
            logger.critical(
                "A silent node could not be killed",
                metadata: [
                    "event": "\(Event.nodeNotFenced)", "incarnation": "\(String(incarnation, radix: 16))",
                    "error": "\(String(cString: strerror(number)))",
                ])
        }
    }

    private func isMember(_ id: NodeID) -> Bool { owner?.access { $0.membership.member(incarnation: id.incarnation) != nil } ?? false }

    /// The link has no future.
    private func end(_ link: Link, _ id: NodeID, _ reason: NodeDownReason) {
        if links[link.name] === link { links[link.name] = nil }
        link.connection?.close()
        down(id, reason)
        if isLeaving { finishFarewellIfAlone() }
    }

    private func down(_ id: NodeID, _ reason: NodeDownReason) {
        byIncarnation[id.incarnation] = nil
        let state = owner?.access { shared -> (wasUp: Bool, wasKilled: Bool) in
            shared.pending[id.incarnation] = nil
            return (shared.membership.down(id), shared.condemned.remove(id.incarnation) != nil)
        }
        guard let state, state.wasUp else { return }
        heart.forget(id.incarnation)
        scout.clear(id.name)
        let reason = state.wasKilled ? NodeDownReason.fenced : reason
        owner?.metrics?.nodeDown(reason)
        logger.notice("A node is down", metadata: ["event": "\(Event.nodeDown)", "node": "\(id)", "reason": "\(reason)"])
        delegate?.busNodeDown(id, reason: reason)
    }
}

extension Link {
    func statistics(of node: NodeInfo) -> LinkStatistics {
        let lanes = Lane.allCases.map { machine.lane($0) }
        return LinkStatistics(
            node: node, isConnected: machine.state == .open, framesSent: machine.framesWritten, framesReceived: framesReceived,
            bytesSent: bytesSent, bytesReceived: bytesReceived, queuedBytes: lanes.map(\.queuedBytes), credit: lanes.map(\.credit),
            unacknowledgedBytes: machine.unacknowledgedBytes, roundTrip: machine.roundTrip, resumptions: machine.resumptions)
    }
}
