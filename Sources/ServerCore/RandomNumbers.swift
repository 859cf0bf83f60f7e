/// Where the core's numbers of chance come from: the system's generator, whose numbers nobody can guess; or, where a run is to be
/// played again, another.
public struct RandomNumbers: RandomNumberGenerator, Sendable {
    private let draw: (@Sendable () -> UInt64)?

    /// Fit for secrets.
    public init() { draw = nil }

    /// - Parameter draw: called from any thread; 64 bits each time.
    public init(_ draw: @escaping @Sendable () -> UInt64) { self.draw = draw }

    public func next() -> UInt64 {
        if let draw { return draw() }
        var system = SystemRandomNumberGenerator()
        return system.next()
    }
}
