/// Why a node does not start: one sentence that names the file, key or resource and what to do.
public struct StartFailure: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
