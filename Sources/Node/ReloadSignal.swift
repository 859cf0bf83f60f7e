import Dispatch
import Glibc

/// SIGHUP as a call: the configuration is read again.
public final class ReloadSignal: Sendable {
    private nonisolated(unsafe) let source: any DispatchSourceSignal

    /// - Parameter body: called on a thread that may wait for the disk, one call after the other.
    public init(_ body: @escaping @Sendable () -> Void) {
        signal(SIGHUP, SIG_IGN)
        source = DispatchSource.makeSignalSource(signal: SIGHUP, queue: DispatchQueue(label: "reload"))
        source.setEventHandler(handler: body)
        source.resume()
    }
}
