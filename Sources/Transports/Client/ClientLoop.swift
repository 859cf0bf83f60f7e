internal import NIOCore
internal import ServerCore
internal import Settings
internal import StreamLogic
internal import Stanzas
internal import XMLStream

/// What the clients' connections of one event loop share: parser, memory for TLS, the shard, and the clock that looks after them.
///
/// Confined to its loop.
final class ClientLoop: @unchecked Sendable {
    // @unchecked: a reference crosses threads only inside closures that are run on the loop.
    let service: ClientService
    /// What one tick writes to one client goes through it (`ClientHandler.write`), where it has room.
    var wire = ByteBuffer()
    static let wireBytes = 4_096
    let shard: Shard
    let loop: NIOLoop
    let parser = XMLStreamParser(namespace: .client)
    let memory = TLSMemory()
    /// What this loop counts with every read and write.
    let traffic: ClientTraffic
    /// Connections with a deadline: not bound yet, or closing.
    private var hurried = ConnectionList()
    /// Connections with a bound resource.
    private var settled = ConnectionList()
    /// Connections with something to do after this tick.
    private var due: [ClientHandler] = []
    private var isScheduled = false
    private var isSweeping = false
    private var round = 0
    private var whenEmpty: (@Sendable () -> Void)?
    var streamIDs = StreamIDs()
    /// What negotiation is written into, between two times.
    private var scratch: [UInt8] = []

    /// Rounds of a settled connection's silence after which a space is sent to it.
    static let silentRounds = 4
    /// Seconds between looks at settled connections; nil: never.
    private var settledInterval: Int? {
        let seconds = service.settings.sessions.keepaliveSeconds
        return seconds > 0 ? max(1, seconds / Self.silentRounds) : nil
    }

    init(service: ClientService, shard: Shard, loop: NIOLoop) {
        self.service = service
        self.shard = shard
        self.loop = loop
        traffic = service.metrics.addLoop()
    }

    // MARK: Connections

    /// A connection begins; it has until `deadline`.
    func add(_ handler: ClientHandler) {
        hurried.add(handler)
        startSweeping()
    }

    /// A connection has its resource: no deadline any more.
    func settle(_ handler: ClientHandler) {
        guard !handler.isSettled else { return }
        hurried.remove(handler)
        handler.isSettled = true
        settled.add(handler)
    }

    /// A connection has a deadline (again).
    func hurry(_ handler: ClientHandler) {
        guard handler.isSettled else { return }
        settled.remove(handler)
        handler.isSettled = false
        hurried.add(handler)
    }

    func remove(_ handler: ClientHandler) {
        if handler.isSettled { settled.remove(handler) } else { hurried.remove(handler) }
        if hurried.items.isEmpty, settled.items.isEmpty {
            whenEmpty?()
            whenEmpty = nil
        }
    }

    var connections: Int { hurried.items.count + settled.items.count }

    // MARK: After the tick

    /// Lets a connection go on after whatever runs now: inside a tick nothing may come back into the shard.
    func later(_ handler: ClientHandler) {
        guard !handler.isDue else { return }
        handler.isDue = true
        due.append(handler)
        guard !isScheduled else { return }
        isScheduled = true
        loop.execute { self.runDue() }
    }

    private func runDue() {
        isScheduled = false
        let handlers = due
        due.removeAll(keepingCapacity: true)
        for handler in handlers {
            handler.isDue = false
            handler.carryOn()
        }
        shard.endTick()
    }

    // MARK: Memory

    /// Empty, and large enough for most of what is written before a resource is bound; to be given back.
    func takeScratch() -> [UInt8] {
        var bytes: [UInt8] = []
        swap(&bytes, &scratch)
        bytes.removeAll(keepingCapacity: true)
        bytes.reserveCapacity(1024)
        return bytes
    }

    func give(back bytes: consuming [UInt8]) {
        if bytes.count <= 16_384 { scratch = bytes }
    }

    // MARK: Time

    private func startSweeping() {
        guard !isSweeping else { return }
        isSweeping = true
        scheduleSweep()
    }

    private func scheduleSweep() {
        loop.eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) { [self] in
            sweep()
            guard connections > 0 else {
                isSweeping = false
                return
            }
            scheduleSweep()
        }
    }

    private func sweep() {
        round &+= 1
        let now = loop.now
        for handler in hurried.items where handler.deadline <= now { handler.deadlinePassed() }
        if let settledInterval, round % settledInterval == 0 { lookAfterSettled() }
        shard.endTick()
    }

    /// One look at every connection with a resource.
    func lookAfterSettled() {
        for handler in settled.items { handler.lookAfter() }
    }

    // MARK: The end

    /// Closes every connection that has a resource with `system-shutdown`, and lets go of the others; `done` is called when all are gone,
    /// or after `patience`.
    func closeAll(patience: TimeAmount, done: @escaping @Sendable () -> Void) {
        guard connections > 0 else { return done() }
        whenEmpty = done
        for handler in hurried.items where !handler.stream.isClosing { handler.letGo() }
        for handler in settled.items { handler.close(StreamError(.systemShutdown)) }
        shard.endTick()
        loop.eventLoop.assumeIsolated().scheduleTask(in: patience) { [self] in
            for handler in hurried.items + settled.items { handler.abandon() }
            whenEmpty?()
            whenEmpty = nil
        }
    }
}

/// Connections in no order; each knows its place.
private struct ConnectionList {
    private(set) var items: [ClientHandler] = []

    mutating func add(_ handler: ClientHandler) {
        handler.place = items.count
        items.append(handler)
    }

    mutating func remove(_ handler: ClientHandler) {
        guard handler.place < items.count, items[handler.place] === handler else { return }
        let last = items.removeLast()
        guard last !== handler else { return }
        items[handler.place] = last
        last.place = handler.place
    }
}
