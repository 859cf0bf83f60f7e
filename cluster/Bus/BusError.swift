import Glibc

/// Why a node cannot join its bus.
public enum BusError: Error, Equatable, CustomStringConvertible {
    /// What the node says of itself is not within the limits of `NodeInfo.isValid`.
    case invalidNode
    /// A living process has the name.
    case nameTaken(String, pid: Int32?)
    /// The run directory is not a directory of this user alone.
    case unsafeDirectory(String)
    /// A socket's path has more bytes than the kernel takes (107).
    case pathTooLong(String)
    /// A call of the system failed.
    case system(String, errno: Int32)
    /// The links were started before, or stopped.
    case alreadyStarted

    public var description: String {
        switch self {
        case .invalidNode: "the node's name, loops, volume or product is not within its limits"
        case .nameTaken(let name, let pid): "node '\(name)' is already running" + (pid.map { " as process \($0)" } ?? "")
        case .unsafeDirectory(let path): "\(path) must be a directory that belongs to this user alone"
        case .pathTooLong(let path): "the path of the socket \(path) is too long: 107 bytes are the most"
        case .system(let call, let number): "\(call): \(String(cString: strerror(number)))"
        case .alreadyStarted: "the links were started before"
        }
    }
}
