import Glibc

/// An address on this host. Alone in its file: where NIO is imported too, it is undecided whose fields these are.
func loopback(_ port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
    return address
}

/// The port of a connection's near end; nil for what is no connection over IPv4.
func portOfThisEnd(_ descriptor: CInt) -> Int? { port { getsockname(descriptor, $0, $1) } }

/// The port of its far end.
func portOfOtherEnd(_ descriptor: CInt) -> Int? { port { getpeername(descriptor, $0, $1) } }

private func port(_ ask: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> CInt) -> Int? {
    var address = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { ask($0, &size) }
    }
    return result == 0 && address.sin_family == sa_family_t(AF_INET) ? Int(UInt16(bigEndian: address.sin_port)) : nil
}
