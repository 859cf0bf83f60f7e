internal import NIOCore
internal import ServerCore
internal import Stanzas
internal import XMLStream

/// What the components' connections of one event loop share. Confined to its loop.
final class ComponentLoop: @unchecked Sendable {
    // @unchecked: a reference crosses threads only inside closures that are run on the loop.
    let service: ComponentService
    let shard: Shard
    let loop: NIOLoop
    let parser = XMLStreamParser(namespace: .component)
    private var handlers: [ObjectIdentifier: ComponentHandler] = [:]
    private var whenEmpty: (() -> Void)?

    init(service: ComponentService, shard: Shard, loop: NIOLoop) {
        self.service = service
        self.shard = shard
        self.loop = loop
    }

    /// Gives a new connection its handler.
    func begin(_ channel: any Channel, port: Int) throws {
        let remote = channel.remoteAddress
        let address = remote.map { "\($0.ipAddress ?? ""):\($0.port ?? 0)" } ?? ""
        let handler = ComponentHandler(components: self, remote: address, port: port, isAdmitted: service.entered())
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    func add(_ handler: ComponentHandler) { handlers[ObjectIdentifier(handler)] = handler }

    func remove(_ handler: ComponentHandler) {
        handlers[ObjectIdentifier(handler)] = nil
        guard handlers.isEmpty else { return }
        whenEmpty?()
        whenEmpty = nil
    }

    /// Closes every connection with `system-shutdown`; `done` is called when all are gone.
    func closeAll(done: @escaping () -> Void) {
        guard !handlers.isEmpty else { return done() }
        whenEmpty = done
        for handler in Array(handlers.values) { handler.close(StreamError(.systemShutdown)) }
        shard.endTick()
    }
}
