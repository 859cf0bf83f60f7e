import Dispatch
import Synchronization

/// Runs something the first time it is asked to.
final class Once: Sendable {
    private let body: Mutex<(@Sendable () -> Void)?>
    init(_ body: @escaping @Sendable () -> Void) { self.body = Mutex(body) }
    func run() {
        body.withLock { body in
            defer { body = nil }
            return body
        }?()
    }
}

/// Time that passes whether loops turn or not.
enum Timeout {
    static func after(_ time: Duration, _ body: @escaping @Sendable () -> Void) {
        let (seconds, attoseconds) = time.components
        let nanoseconds = Int(clamping: seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
        DispatchQueue.global().asyncAfter(deadline: .now() + .nanoseconds(nanoseconds), execute: body)
    }
}
