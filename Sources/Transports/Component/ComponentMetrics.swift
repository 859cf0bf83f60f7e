internal import Stanzas
public import Telemetry

/// What the components' side of a process counts: connections, handshakes, stream errors.
public final class ComponentMetrics: Sendable {
    /// Open now, those that have not proved who they are among them.
    let open: Gauge
    let refused: Counter
    let proved: Counter
    let failed: Counter
    private let streamErrors: [StreamError.Condition: Counter]

    /// - Throws: `RegistrationError` when a name is taken.
    public init(_ registry: Registry) throws(RegistrationError) {
        func handshakes(_ result: String) throws(RegistrationError) -> Counter {
            try registry.counter(
                "martlet_component_handshakes_total", help: "Handshakes of components, by whether the secret was right.",
                labels: [("result", result)])
        }
        open = try registry.gauge("martlet_component_connections", help: "Connections of components that are open.")
        refused = try registry.counter(
            "martlet_component_connections_refused_total", help: "Connections of components beyond the bound of the node.")
        proved = try handshakes("right")
        failed = try handshakes("wrong")
        var streamErrors: [StreamError.Condition: Counter] = [:]
        for condition in StreamError.Condition.allCases {
            streamErrors[condition] = try registry.counter(
                "martlet_component_stream_errors_sent_total",
                help: "Streams of components that this side ended with an error, by condition.",
                labels: [("condition", condition.rawValue)])
        }
        self.streamErrors = streamErrors
    }

    func sent(_ error: StreamError) { streamErrors[error.condition]?.increment() }
}
