internal import ServerCore
public import Stanzas
public import Telemetry

/// What a node counted and measured so far, for `top`: two of them tell what happened in between.
public struct NodeLoad: Sendable {
    public var node: String
    public var incarnation: UInt64
    public var measurements: Measurements
    /// When it was read, on the clock of its machine.
    public var at: MonotonicTimeStamp

    /// Nanoseconds of a clock that nobody sets.
    public typealias MonotonicTimeStamp = UInt64

    /// The families that are in it.
    public static let families: Set<String> = [
        "martlet_sessions", "martlet_sessions_detached", "martlet_sessions_paused", "martlet_stanzas_received_total",
        "martlet_stanzas_sent_total", "martlet_client_received_bytes_total", "martlet_client_sent_bytes_total", "martlet_bounces_total",
        "martlet_stanza_handled_seconds", "martlet_commit_wait_seconds", "martlet_commit_seconds", "martlet_commit_operations",
        "martlet_commit_submissions", "martlet_commits_waiting", "martlet_store_live_bytes", "martlet_store_map_bytes",
        "martlet_bus_round_trip_seconds", "martlet_bus_queue_seconds", "martlet_link_queued_bytes", "martlet_loop_lag_seconds",
        "martlet_thread_cpu_seconds_total", "process_cpu_seconds_total", "martlet_memory_bytes", "martlet_unhandled_stanzas",
        "martlet_session_queued_bytes", "martlet_session_unacknowledged_stanzas", "martlet_messages_owed", "martlet_keeper",
    ]

    public init(node: String, incarnation: UInt64, _ measurements: Measurements) {
        self.node = node
        self.incarnation = incarnation
        self.measurements = measurements
        at = MonotonicTime.now.nanoseconds
    }

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.string(node)
        writer.uint64(incarnation)
        writer.uint64(at)
        writer.count(measurements.numbers.count)
        for (name, values) in measurements.numbers {
            writer.string(name)
            writer.count(values.count)
            for (labels, value) in values {
                writer.string(labels)
                writer.uint64(value.bitPattern)
            }
        }
        writer.count(measurements.distributions.count)
        for (name, values) in measurements.distributions {
            writer.string(name)
            writer.count(values.count)
            for (labels, value) in values {
                writer.string(labels)
                writer.uint64(value.sum)
                writer.count(value.counts.count)
                for count in value.counts { writer.varint(count) }
            }
        }
        return writer.bytes
    }

    /// - Throws: `CodecError` for anything that `bytes` did not write.
    public init(_ bytes: [UInt8]) throws(CodecError) {
        var reader = ByteReader(bytes)
        self.init(node: try reader.string(), incarnation: try reader.uint64(), Measurements())
        at = try reader.uint64()
        for _ in 0..<(try reader.count()) {
            let name = try reader.string()
            for _ in 0..<(try reader.count()) {
                let labels = try reader.string()
                measurements.numbers[name, default: [:]][labels] = Double(bitPattern: try reader.uint64())
            }
        }
        for _ in 0..<(try reader.count()) {
            let name = try reader.string()
            for _ in 0..<(try reader.count()) {
                let labels = try reader.string()
                let sum = try reader.uint64()
                var counts: [UInt64] = []
                for _ in 0..<(try reader.count()) { counts.append(try reader.varint()) }
                measurements.distributions[name, default: [:]][labels] = Distribution(counts: counts, sum: sum)
            }
        }
    }
}
