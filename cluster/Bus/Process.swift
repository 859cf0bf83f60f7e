import CShims
import Glibc
public import BusProtocol

extension NodeInfo {
    /// What this process says of itself, with a new incarnation.
    public static func ofThisProcess(
        name: String, featureLevel: UInt16, loops: Int, volumeID: [UInt8], product: String
    ) -> NodeInfo {
        let pid = getpid()
        return NodeInfo(
            id: NodeID(name: name, incarnation: UInt64.random(in: 1...UInt64.max)), pid: pid, startTime: processStartTime(pid) ?? 0,
            featureLevel: featureLevel, loops: loops, volumeID: volumeID, product: product)
    }
}

/// When a process started, in clock ticks since boot; nil when there is none.
func processStartTime(_ pid: Int32) -> UInt64? {
    guard let text = firstBytes(ofFile: "/proc/\(pid)/stat", count: 2048) else { return nil }
    // The second field is a name in parentheses that may hold anything; the third follows the last ')'.
    guard let end = text.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = text[text.index(after: end)...].split(separator: UInt8(ascii: " "))
    guard fields.count > 19 else { return nil }
    return UInt64(String(decoding: fields[19], as: UTF8.self))
}

/// The first `count` bytes of a file; nil when it cannot be read.
func firstBytes(ofFile path: String, count: Int) -> [UInt8]? {
    let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard file >= 0 else { return nil }
    defer { close(file) }
    return firstBytes(of: file, count: count)
}

/// The first `count` bytes of an open file; nil when it cannot be read.
func firstBytes(of file: Int32, count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    let length = pread(file, &bytes, count, 0)
    guard length >= 0 else { return nil }
    return Array(bytes.prefix(length))
}

/// A handle on the process at the other end of a link, which stays on that process when its number is used again.
struct PeerProcess {
    let pid: Int32
    /// -1 for a node in this very process, which cannot be killed alone.
    let pidfd: Int32

    enum Objection: Error {
        /// Another user's process, or not the one that the hello names.
        case isAnother
        /// The kernel gives no handle on it.
        case notReachable(errno: Int32)
    }

    /// The process that connected `socket`, if it is the one that `node` claims.
    init(of socket: Int32, claiming node: NodeInfo) throws(Objection) {
        var pid: pid_t = 0
        var uid: uid_t = 0
        var gid: gid_t = 0
        let result = martlet_peer_credentials(socket, &pid, &uid, &gid)
        guard result == 0 else { throw .notReachable(errno: result) }
        guard uid == geteuid(), pid == node.pid else { throw .isAnother }
        self.pid = pid
        guard pid != getpid() else {
            pidfd = -1
            return
        }
        let handle = martlet_pidfd_open(pid)
        guard handle >= 0 else { throw .notReachable(errno: errno) }
        // The handle first, the start time after: if it is right now, it was right when the handle was made.
        guard processStartTime(pid) == node.startTime else {
            close(handle)
            throw .isAnother
        }
        pidfd = handle
    }
}
