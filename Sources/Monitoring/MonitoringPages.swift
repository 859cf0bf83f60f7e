/// Whether all is well; if not, why: a sentence each.
public struct Health: Sendable, Equatable {
    public var problems: [String]

    /// - Parameter problems: none when all is well.
    public init(_ problems: [String] = []) { self.problems = problems }

    public var isGood: Bool { problems.isEmpty }
}

/// What is served: asked for anew with each request, on any thread. Each closure calls back once, from any thread.
public struct MonitoringPages: Sendable {
    /// All metrics in Prometheus' text format, version 0.0.4.
    public var metrics: @Sendable (_ done: @escaping @Sendable (String) -> Void) -> Void
    /// Whether the process lives. Who sees it fail again and again may start the process anew.
    public var health: @Sendable (_ done: @escaping @Sendable (Health) -> Void) -> Void
    /// Whether clients are served here now. Who sees it fail sends them elsewhere, and lets the process be.
    public var readiness: @Sendable (_ done: @escaping @Sendable (Health) -> Void) -> Void

    public init(
        metrics: @escaping @Sendable (_ done: @escaping @Sendable (String) -> Void) -> Void,
        health: @escaping @Sendable (_ done: @escaping @Sendable (Health) -> Void) -> Void,
        readiness: @escaping @Sendable (_ done: @escaping @Sendable (Health) -> Void) -> Void
    ) {
        self.metrics = metrics
        self.health = health
        self.readiness = readiness
    }
}

/// An answer without its framing.
struct Page: Sendable, Equatable {
    var status: Int
    var contentType = "text/plain; charset=utf-8"
    var body: String
    /// Methods, where the one that was asked with is not among them.
    var allow: String?

    static let index = Page(
        status: 200, body: "/metrics  Prometheus text\n/healthz  does the process live\n/readyz   does it serve clients\n")
    static let notFound = Page(status: 404, body: "there is nothing here: the pages are /metrics, /healthz and /readyz\n")
    static let badMethod = Page(status: 405, body: "only GET and HEAD are answered\n", allow: "GET, HEAD")
    static let badRequest = Page(status: 400, body: "this is not a request that can be understood\n")
    static let bodyRefused = Page(status: 413, body: "requests have no body here\n")
    static let tooLarge = Page(status: 431, body: "the request is too large\n")
    static let tooSlow = Page(status: 408, body: "the request did not come in time\n")
    static let silent = Page(status: 503, body: "the server does not answer in time\n")

    init(status: Int, contentType: String = "text/plain; charset=utf-8", body: String, allow: String? = nil) {
        (self.status, self.contentType, self.body, self.allow) = (status, contentType, body, allow)
    }

    init(_ health: Health) {
        self.init(status: health.isGood ? 200 : 503, body: health.isGood ? "ok\n" : health.problems.map { $0 + "\n" }.joined())
    }
}
