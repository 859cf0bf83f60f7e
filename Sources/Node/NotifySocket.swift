import Glibc

/// Where a service manager listens: a datagram socket, by path or in the abstract namespace.
///
/// The protocol is that of sd_notify(3), written out here as its page recommends to those who do not want libsystemd, with its
/// compressors and ciphers, in their process.
struct NotifySocket: Sendable {
    private let descriptor: Int32
    private let address: sockaddr_un
    private let length: socklen_t

    /// - Parameter name: what `NOTIFY_SOCKET` holds: a path from the root, or '@' and an abstract name.
    /// - Returns: nil when this is neither, or too long for an address.
    init?(_ name: String) {
        var bytes = Array(name.utf8)
        var address = sockaddr_un()
        guard let first = bytes.first, first == UInt8(ascii: "/") || first == UInt8(ascii: "@"), bytes.count > 1,
            bytes.count < MemoryLayout.size(ofValue: address.sun_path)
        else { return nil }
        // An abstract name begins with a zero byte and ends where the address does; a path ends with one.
        if first == UInt8(ascii: "@") { bytes[0] = 0 } else { bytes.append(0) }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        self.address = address
        length = socklen_t((MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2) + bytes.count)
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        // A service manager that is busy is waited for, but not for ever.
        var patience = timeval(tv_sec: 1, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Sends assignments in one datagram. What cannot be sent is lost: the service manager's own deadlines see to the rest.
    func send(_ assignments: [String]) {
        let text = Array(assignments.joined(separator: "\n").utf8)
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                var sent: Int
                repeat {
                    sent = sendto(descriptor, text, text.count, Int32(truncatingIfNeeded: MSG_NOSIGNAL), address, length)
                } while sent < 0 && errno == EINTR
            }
        }
    }
}
