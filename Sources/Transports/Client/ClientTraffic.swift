import Synchronization
internal import Telemetry

/// Bytes of the clients of one loop, counted by it alone.
final class ClientTraffic: Sendable {
    let received = LoopCounter()
    let sent = LoopCounter()
}

/// Those of all loops of a process, summed when somebody reads.
final class ClientTrafficTable: Sendable {
    private let loops = Mutex<[ClientTraffic]>([])

    func add() -> ClientTraffic {
        let traffic = ClientTraffic()
        loops.withLock { $0.append(traffic) }
        return traffic
    }

    func register(in registry: Registry) throws(RegistrationError) {
        try registry.tally(
            "martlet_client_received_bytes_total", help: "Bytes of streams received from clients, before compression and TLS."
        ) { self.sum { $0.received.value } }
        try registry.tally(
            "martlet_client_sent_bytes_total", help: "Bytes of streams written towards clients, before compression and TLS."
        ) { self.sum { $0.sent.value } }
    }

    private func sum(_ value: (ClientTraffic) -> UInt64) -> UInt64 { loops.withLock { $0 }.reduce(0) { $0 &+ value($1) } }
}
