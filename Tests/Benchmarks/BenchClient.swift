import ServerCore
import Stanzas
import StreamLogic
import XMLStream

/// A client's connection from its framer on: what the transport does behind TLS, without a socket.
final class BenchClient: ClientConnection, @unchecked Sendable {
    // @unchecked: see `BenchLoop`.
    let account: JID
    private let bed: Bed
    private var framer = StanzaFramer(limits: XMLLimits(), expectsHeader: false)
    private var stream: ClientStream
    private let header: StreamHeader
    private(set) var session: Session?
    private(set) var isOpen = true
    /// Bytes the server wrote.
    var written = 0
    let facts = ConnectionFacts(remoteAddress: "127.0.0.1:1", localPort: 5222, mechanism: "SCRAM-SHA-256", since: 0)

    init(_ bed: Bed, account: JID) throws {
        self.bed = bed
        self.account = account
        let policy = StreamPolicy(
            hosts: [Bed.domain: .init(offersTLS: true, requiresTLS: true)], domain: Bed.domain, mechanisms: ["PLAIN"])
        let head = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='\(Bed.domain)'>"
        header = try Array(head.utf8).withUnsafeBytes { try bed.parser.parse(header: $0) }
        stream = ClientStream(policy: policy, secure: true)
        _ = stream.header(header)
        stream.mechanisms = ["PLAIN"]
        let name = account.local ?? ""
        _ = stream.receive(
            try Element.parse(
                Array(
                    "<auth xmlns='\(NS.sasl)' mechanism='PLAIN'>\(Base64.encode(Array("\0\(name)\0secret".utf8)))</auth>".utf8)))
        _ = stream.stepped(.success(user: name))
        _ = stream.header(header)
    }

    /// Asks for a resource.
    func bind() {
        receive("<iq type='set' id='b'><bind xmlns='\(NS.bind)'><resource>bench</resource></bind></iq>")
    }

    /// Asks for the session of a stream that is gone.
    func resume(_ previd: String, h: UInt32) { receive("<resume xmlns='\(NS.streamManagement)' previd='\(previd)' h='\(h)'/>") }

    /// What `<enabled/>` says.
    private(set) var managementID = ""

    func receive(_ xml: String) { receive(Array(xml.utf8)) }

    /// Takes what came from the socket in one piece.
    func receive(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { all in
            var rest = all[...]
            while !rest.isEmpty, case .stanza(let start, let end)? = try? framer.next(UnsafeRawBufferPointer(rebasing: rest)) {
                take(UnsafeRawBufferPointer(rebasing: rest[(rest.startIndex + start)..<(rest.startIndex + end)]))
                rest = rest[(rest.startIndex + end)...]
            }
        }
    }

    private func take(_ bytes: UnsafeRawBufferPointer) {
        guard let element = try? bed.parser.parse(stanza: bytes, scope: header.scope) else { return }
        let received = stream.receive(element)
        switch received {
        case .stanza:
            if case .submit(let stanza) = stream.stanza(element, source: bytes) { session?.submit(stanza, size: bytes.count) }
        case .bind(let resource):
            bed.shard.bind(account: account, resource: resource, connection: self) { result in
                guard case .success(let session) = result else { return }
                self.session = session
                _ = self.stream.bound(session.fullJID)
            }
        case .management(.enable(let resume, let max)):
            guard let session else { return }
            managementID = session.enableManagement(resumable: resume, maxSeconds: max).id ?? ""
        case .management(.resume(let previd, let h)):
            _ = bed.shard.resume(account: account, previd: previd, h: h, connection: self) { result in
                guard case .success(let resumed) = result else { return }
                self.stream.resumed(resumed.fullJID)
                self.session = resumed.session
                resumed.session.resend()
            }
        case .management(.answer): session?.acknowledgementAsked()
        case .management(.acknowledged(let h)): session?.acknowledged(through: h)
        default: break
        }
    }

    /// Its socket is gone without a word.
    func lose() {
        session?.streamClosed(.lost)
        session = nil
    }

    // MARK: What the session sees

    func write(_ bytes: UnsafeRawBufferPointer, mark: UInt64) {
        written += bytes.count
        // As a socket with room does: the kernel has it before the call returns.
        session?.written(through: mark)
    }
    func close(_ error: StreamError?) {
        isOpen = false
        session?.streamClosed(.closedByPeer)
    }
    func cut() { isOpen = false }
    func setReading(_ on: Bool) {}
}
