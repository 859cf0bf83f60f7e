internal import COpenSSL
internal import Glibc
internal import Settings

/// Why a probe did not get what it asked for, in words that can stand behind "it".
struct ProbeFailure: Error {
    let says: String
    init(_ says: String) { self.says = says }
}

/// A connection to a listener, as a client makes it; every step waits, until one deadline. For programs that do nothing else meanwhile.
final class Probe {
    private let descriptor: Int32
    private let deadline: Int64
    private var context: OpaquePointer?
    private var tls: OpaquePointer?

    private static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }

    /// Connects to where a listener listens; a wildcard address is reached over loopback.
    init(_ address: ListenAddress, milliseconds: Int64) throws(ProbeFailure) {
        deadline = Self.now() + milliseconds
        let wildcard = address.address == "0.0.0.0" || address.address == "::"
        let host = wildcard ? (address.isIPv6 ? "::1" : "127.0.0.1") : address.address
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, "\(address.port)", &hints, &list) == 0, let entry = list else {
            throw ProbeFailure("is no address that can be reached")
        }
        defer { freeaddrinfo(list) }
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        descriptor = socket(entry.pointee.ai_family, type, 0)
        guard descriptor >= 0 else { throw ProbeFailure("cannot be reached (\(Self.reason(errno)))") }
        guard connect(descriptor, entry.pointee.ai_addr, entry.pointee.ai_addrlen) != 0 else { return }
        guard errno == EINPROGRESS else { throw ProbeFailure("does not answer (\(Self.reason(errno)))") }
        try wait(for: POLLOUT, "connects nobody")
        var failure: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &size)
        if failure != 0 { throw ProbeFailure("does not answer (\(Self.reason(failure)))") }
    }

    /// Connects to a Unix socket.
    init(path: String, milliseconds: Int64) throws(ProbeFailure) {
        deadline = Self.now() + milliseconds
        descriptor = try UnixSocket.connect(path)
    }

    deinit {
        if let tls { SSL_free(tls) }
        if let context { SSL_CTX_free(context) }
        if descriptor >= 0 { close(descriptor) }
    }

    private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }

    private func wait(for events: Int32, _ says: String) throws(ProbeFailure) {
        while true {
            var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let ready = poll(&entry, 1, Int32(clamping: max(0, deadline - Self.now())))
            if ready > 0 { return }
            guard ready < 0, errno == EINTR else { throw ProbeFailure("\(says) in time") }
        }
    }

    // MARK: Bytes

    func send(_ text: String) throws(ProbeFailure) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { bytes in
                tls.map { Int(SSL_write($0, bytes.baseAddress, Int32(clamping: bytes.count))) }
                    ?? Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else {
                try retry(count, "takes nothing")
            }
        }
    }

    /// Reads until one of these texts came.
    func receive(until ends: String...) throws(ProbeFailure) -> String {
        var bytes: [UInt8] = []
        while bytes.count < 65_536 {
            var chunk = [UInt8](repeating: 0, count: 4_096)
            let count = chunk.withUnsafeMutableBytes { buffer in
                tls.map { Int(SSL_read($0, buffer.baseAddress, Int32(clamping: buffer.count))) }
                    ?? recv(descriptor, buffer.baseAddress, buffer.count, 0)
            }
            guard count > 0 else {
                try retry(count, "says nothing")
                continue
            }
            bytes += chunk.prefix(count)
            let text = String(decoding: bytes, as: UTF8.self)
            if ends.contains(where: { text.contains($0) }) { return text }
        }
        throw ProbeFailure("speaks no XMPP")
    }

    private func retry(_ result: Int, _ says: String) throws(ProbeFailure) {
        if let tls {
            switch SSL_get_error(tls, Int32(clamping: result)) {
            case SSL_ERROR_WANT_READ: return try wait(for: POLLIN, says)
            case SSL_ERROR_WANT_WRITE: return try wait(for: POLLOUT, says)
            default: throw ProbeFailure("ends the connection")
            }
        }
        guard result < 0, errno == EAGAIN || errno == EINTR else { throw ProbeFailure("ends the connection") }
        try wait(for: says == "takes nothing" ? POLLOUT : POLLIN, says)
    }

    // MARK: TLS

    /// What a handshake came to.
    struct Handshake {
        var version: String
        /// The protocol that was agreed upon (RFC 7301); empty: none.
        var alpn: String
        /// The leaf of the other end, in DER.
        var certificate: [UInt8]
    }

    /// Encrypts the connection. Whose certificate it is does not matter here: it is looked at afterwards.
    ///
    /// - Parameters:
    ///   - name: the domain that is asked for (RFC 6066 §3).
    ///   - alpn: the protocol that is offered; nil: none.
    func secure(_ name: String, alpn: String?) throws(ProbeFailure) -> Handshake {
        ERR_clear_error()
        guard let context = SSL_CTX_new(TLS_client_method()) else { throw ProbeFailure("cannot be asked: no memory for TLS") }
        self.context = context
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nil)
        guard let tls = SSL_new(context) else { throw ProbeFailure("cannot be asked: no memory for TLS") }
        self.tls = tls
        SSL_set_fd(tls, descriptor)
        _ = name.withCString {
            SSL_ctrl(tls, SSL_CTRL_SET_TLSEXT_HOSTNAME, Int(TLSEXT_NAMETYPE_host_name), UnsafeMutableRawPointer(mutating: $0))
        }
        if let alpn {
            let list = [UInt8(clamping: alpn.utf8.count)] + Array(alpn.utf8)
            SSL_set_alpn_protos(tls, list, UInt32(clamping: list.count))
        }
        while true {
            let result = SSL_connect(tls)
            if result == 1 { break }
            switch SSL_get_error(tls, result) {
            case SSL_ERROR_WANT_READ: try wait(for: POLLIN, "answers no handshake")
            case SSL_ERROR_WANT_WRITE: try wait(for: POLLOUT, "answers no handshake")
            default: throw ProbeFailure("fails in the TLS handshake (\(OpenSSLReason.take()))")
            }
        }
        var agreed: UnsafePointer<UInt8>?
        var length: UInt32 = 0
        SSL_get0_alpn_selected(tls, &agreed, &length)
        let protocolName = agreed.map { String(decoding: UnsafeBufferPointer(start: $0, count: Int(length)), as: UTF8.self) } ?? ""
        var certificate: [UInt8] = []
        if let peer = SSL_get1_peer_certificate(tls) {
            certificate = Certificate.der(peer)
            X509_free(peer)
        }
        return Handshake(version: String(cString: SSL_get_version(tls)), alpn: protocolName, certificate: certificate)
    }

    // MARK: XMPP

    /// Opens a stream and reads what is offered.
    func features(of domain: String) throws(ProbeFailure) -> String {
        try send(
            "<?xml version='1.0'?><stream:stream to='\(domain)' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        return try receive(until: "</stream:features>", "<stream:features/>", "</stream:error>")
    }

    /// Goes on to TLS behind `<starttls/>`.
    func startTLS(_ domain: String, name: String) throws(ProbeFailure) -> Handshake {
        let features = try features(of: domain)
        if features.contains("</stream:error>") { throw ProbeFailure("refuses the stream of \(domain)") }
        guard features.contains("urn:ietf:params:xml:ns:xmpp-tls") else { throw ProbeFailure("offers no STARTTLS for \(domain)") }
        try send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        guard try receive(until: "<proceed", "<failure").contains("<proceed") else { throw ProbeFailure("refuses STARTTLS for \(domain)") }
        return try secure(name, alpn: nil)
    }
}

/// Sockets in the file system.
enum UnixSocket {
    static func connect(_ path: String) throws(ProbeFailure) -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ProbeFailure("cannot be asked (\(String(cString: strerror(errno))))") }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let fits = path.utf8.count < MemoryLayout.size(ofValue: address.sun_path)
        if fits { withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) } }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                fits ? Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) : -1
            }
        }
        guard fits, result == 0 else {
            let reason =
                fits ? "does not answer on its socket (\(String(cString: strerror(errno))))" : "has a socket whose path is too long"
            close(descriptor)
            throw ProbeFailure(reason)
        }
        return descriptor
    }
}

/// What OpenSSL says of its last failure.
enum OpenSSLReason {
    static func take() -> String {
        let code = ERR_get_error()
        ERR_clear_error()
        guard code != 0, let text = ERR_reason_error_string(code) else { return "the other end closed the connection" }
        return String(cString: text)
    }
}
