import Dispatch
import Glibc

/// SIGTERM and SIGINT as calls: the first asks the process to stop in order; a second one of either kind is left to the kernel.
public final class TerminationSignals: Sendable {
    private nonisolated(unsafe) let sources: [any DispatchSourceSignal]

    public init(_ body: @escaping @Sendable () -> Void) {
        sources = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                signal(number, SIG_DFL)
                body()
            }
            return source
        }
        for source in sources { source.resume() }
    }
}
