import BusProtocol
public import Telemetry

/// What the bus counts. One instance a process.
public final class BusMetrics: Sendable {
    /// Pings of all links, there and back.
    public let roundTrip: Histogram
    /// From the first payload that is posted to the bus's turn that takes it and all behind it.
    public let queueing: Histogram
    let payloads: Counter
    private let down: [NodeDownReason: Counter]
    private let ups: Counter

    /// - Throws: `RegistrationError` when a name is taken.
    public init(_ registry: Registry) throws(RegistrationError) {
        roundTrip = try registry.histogram(
            "martlet_bus_round_trip_seconds", help: "Pings between this node and the others, there and back, one a second and link.",
            unit: .microseconds, shown: 4...24)
        queueing = try registry.histogram(
            "martlet_bus_queue_seconds", help: "What mail for other nodes waits before the bus takes it.", unit: .microseconds,
            shown: 2...24)
        payloads = try registry.counter("martlet_bus_payloads_sent_total", help: "Batches of mail that were given to links.")
        ups = try registry.counter("martlet_nodes_up_total", help: "Other nodes that came up, as this node saw it.")
        var down: [NodeDownReason: Counter] = [:]
        for reason in NodeDownReason.allCases {
            down[reason] = try registry.counter(
                "martlet_nodes_down_total", help: "Other nodes that were gone, as this node saw it: stopped, died, or killed for silence.",
                labels: [("reason", "\(reason)")])
        }
        self.down = down
    }

    func nodeUp() { ups.increment() }
    func nodeDown(_ reason: NodeDownReason) { down[reason]?.increment() }
}

extension StanzaLinks {
    /// Registers what is known of each link. The links stay the owner's: nothing is held.
    public func register(in registry: Registry) throws(RegistrationError) {
        func each(_ name: String, _ help: String, _ value: @escaping @Sendable (LinkStatistics) -> Double) throws(RegistrationError) {
            try registry.samples(name, help: help) { [weak self] in
                (self?.statistics ?? []).map { Registry.Sample([("peer", $0.node.id.name)], value($0)) }
            }
        }
        try each("martlet_link_up", "1 while a connection to the peer stands; without one its mail waits.") { $0.isConnected ? 1 : 0 }
        try each("martlet_link_sent_bytes_total", "Bytes sent to the peer.") { Double($0.bytesSent) }
        try each("martlet_link_received_bytes_total", "Bytes received from the peer.") { Double($0.bytesReceived) }
        try each("martlet_link_sent_frames_total", "Frames sent to the peer.") { Double($0.framesSent) }
        try each("martlet_link_received_frames_total", "Frames received from the peer.") { Double($0.framesReceived) }
        try each("martlet_link_unacknowledged_bytes", "Bytes of mail that the peer has not acknowledged.") {
            Double($0.unacknowledgedBytes)
        }
        try each("martlet_link_resyncs_total", "Connections to the peer that took the place of a lost one.") { Double($0.resumptions) }
        try registry.samples("martlet_link_queued_bytes", help: "Bytes of mail that wait for the link, by lane.") { [weak self] in
            (self?.statistics ?? []).flatMap { link in
                zip(Lane.allCases, link.queuedBytes).map { lane, bytes in
                    Registry.Sample([("peer", link.node.id.name), ("lane", "\(lane)")], Double(bytes))
                }
            }
        }
        try registry.tally("martlet_bus_undelivered_total", help: "Batches of mail for nodes that were gone, or too large for the bus.") {
            [weak self] in self?.undelivered ?? 0
        }
        try registry.reading("martlet_nodes", help: "Nodes that are up as this node sees it, itself among them.") { [weak self] in
            Double((self?.members.count ?? 0) + 1)
        }
    }
}
