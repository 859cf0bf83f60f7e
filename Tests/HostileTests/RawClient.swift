import Glibc
import TestKit

/// A client that sends any bytes whatever: nothing is checked or framed, every wait is bounded.
final class RawClient {
    let domain: String
    private let descriptor: Int32
    /// What came and was not taken yet.
    private(set) var text = ""
    private(set) var isOver = false

    static let sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"

    init(port: UInt16, domain: String) throws {
        self.domain = domain
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ProcessFailure("socket: \(errno)") }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard result == 0 else {
            close(descriptor)
            throw ProcessFailure("connect: \(errno)")
        }
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    }

    deinit { close(descriptor) }

    func send(_ text: String) { send(Array(text.utf8)) }

    /// Sends as much as the node takes before it closes, and reads meanwhile.
    func send(_ bytes: [UInt8], within patience: Duration = .patient) {
        let deadline = Deadline(in: patience)
        var rest = bytes[...]
        while !rest.isEmpty, !hasEnded, !deadline.isOver {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                wait(by: deadline, events: Int16(POLLIN) | Int16(POLLOUT))
            } else if errno != EINTR {
                pull()
                return
            }
        }
    }

    /// Takes everything up to and with a marker.
    @discardableResult
    func expect(_ marker: String, within patience: Duration = .patient) throws -> String {
        let deadline = Deadline(in: patience)
        while true {
            if let range = text.firstRange(of: marker) {
                let found = String(text[..<range.upperBound])
                text.removeSubrange(..<range.upperBound)
                return found
            }
            guard !isOver, !deadline.isOver else { throw ProcessFailure("no \(marker) in: \(text.suffix(2000))") }
            wait(by: deadline, events: Int16(POLLIN))
        }
    }

    /// What comes until the node ends the stream or the connection; it must within the time. For the rest of the peer's words a node
    /// waits a little longer.
    func rest(within patience: Duration = .patient) throws -> String {
        let deadline = Deadline(in: patience)
        while !hasEnded {
            guard !deadline.isOver else { throw ProcessFailure("the node keeps the connection: \(text.suffix(500))") }
            wait(by: deadline, events: Int16(POLLIN))
        }
        return text
    }

    /// The condition of the stream error the node ends the stream with; it must within the time.
    func streamError(within patience: Duration = .patient) throws -> String {
        let all = try rest(within: patience)
        guard let start = all.firstRange(of: "<stream:error><") else { return "none: \(all.suffix(300))" }
        return String(all[start.upperBound...].prefix { $0.isLetter || $0 == "-" })
    }

    /// The node has ended the stream, or the connection.
    var hasEnded: Bool { isOver || text.hasSuffix("</stream:stream>") }

    private func wait(by deadline: Deadline, events: Int16) {
        var waiting = pollfd(fd: descriptor, events: events, revents: 0)
        guard poll(&waiting, 1, deadline.milliseconds) > 0 else { return }
        if waiting.revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 { pull() }
    }

    private func pull() {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while !isOver {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count > 0 {
                text += String(decoding: chunk[..<count], as: UTF8.self)
            } else if count < 0, errno == EINTR {
                continue
            } else if count < 0, errno == EAGAIN {
                return
            } else {
                isOver = true
            }
        }
    }

    // MARK: Steps

    static func header(_ domain: String) -> String {
        "<stream:stream to='\(domain)' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    }

    func open() throws {
        send(Self.header(domain))
        try expect("</stream:features>")
    }

    /// Opens, authenticates, and opens again.
    func login(_ user: String) throws {
        try open()
        var scram = SCRAMClient(user: user, password: XMPPClient.password)
        send("<auth \(Self.sasl) mechanism='\(SCRAMClient.mechanism)'>\(scram.first)</auth>")
        send("<response \(Self.sasl)>\(try scram.final(challenge: try data("challenge")))</response>")
        try scram.verify(success: try data("success"))
        try open()
    }

    func bind(_ resource: String) throws {
        send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>\(resource)</resource></bind></iq>")
        try expect("</jid></bind></iq>")
    }

    /// The text of a SASL element.
    func data(_ name: String) throws -> String {
        try expect("<\(name)")
        try expect(">")
        return String(try expect("</\(name)>").dropLast(name.utf8.count + 3))
    }

    /// The condition of a SASL failure.
    func failure() throws -> String {
        try expect("<failure")
        try expect("><")
        return String(try expect("</failure>").prefix { $0.isLetter || $0 == "-" })
    }
}
