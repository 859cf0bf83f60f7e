import Authentication
import COpenSSL
import Dispatch
import Glibc
import Logging
import NIOCore
import NIOPosix
import ServerCore
import Settings
import Stanzas
import Store
import Synchronization
import Telemetry

@testable import Transports

/// A whole node but for disk and bus: loops, shards, a volume in memory, clients over TCP on loopback.
final class TestServer: Sendable {
    static let password = "wherefore"

    let transports: ClientTransports
    let census: LoginCensus
    let registry = Registry()
    let clock = WallClock()
    private let volume = MemoryVolume()
    let port: Int
    let directPort: Int
    private let group: MultiThreadedEventLoopGroup
    private let passwords: PasswordPool
    private let shards: [Shard]

    private final class Readers: StoreReaders {
        let volume: MemoryVolume
        let queue = DispatchQueue(label: "readers")
        init(_ volume: MemoryVolume) { self.volume = volume }
        func read(_ body: @escaping @Sendable (any Snapshot) -> Void) {
            queue.async { try? self.volume.read { body($0) } }
        }
    }

    private final class NoBus: StanzaBus {
        func post(_ batch: [UInt8], to node: UInt64, fromLoop: UInt16, toLoop: UInt16, lane: LetterLane) {}
    }

    private struct Accounts: CredentialSource {
        let credentials: Credentials
        let volume: MemoryVolume
        func credentials(of user: JID, device: String?, on loop: any Loop, completion: @escaping @Sendable (CredentialLookup) -> Void) {
            let found: CredentialLookup =
                switch user.local {
                case "broken": .failed
                case "disabled": .account(credentials, isEnabled: false)
                default: stored(user, device)
                }
            loop.execute { completion(found) }
        }

        private func stored(_ user: JID, _ device: String?) -> CredentialLookup {
            let identity = volume.identity
            let found = try? volume.read { snapshot in
                guard let account = try AccountRecord.find(user.description, in: snapshot, identity: identity) else {
                    return CredentialLookup.unknown
                }
                let rows = AccountRows(partition: identity.partition(of: account.jid), number: account.number, identity: identity)
                let tokens = try device.flatMap { try rows.device($0, in: snapshot) }?.tokens ?? []
                return .account(
                    try Credentials.decode(account.credentials), isEnabled: account.isEnabled,
                    tokens: tokens.map { LoginToken(secret: $0.secret, mechanism: $0.mechanism, expires: $0.expires) })
            }
            return found ?? .failed
        }
    }

    /// What the server was started with.
    let settings: Settings

    /// - Parameter adjust: changes the settings; the hosts are "tls.example" with a certificate, where `certificates` has one, and
    ///   "plain.example" without.
    init(
        certificates: TestCertificates? = nil, accounts: Set<String> = ["romeo", "juliet"], loops: Int = 2,
        adjust: (inout Settings) -> Void = { _ in }
    ) async throws {
        var settings = Settings()
        port = try Self.freePort()
        directPort = try Self.freePort()
        settings.listen.c2s = ["127.0.0.1:\(port)"]
        var plain = Settings.Host(domain: "plain.example")
        plain.requireTLS = false
        settings.hosts = [plain]
        if let certificates {
            var host = Settings.Host(domain: "tls.example")
            host.certificate = certificates.path("tls.crt")
            host.key = certificates.path("tls.key")
            settings.hosts.insert(host, at: 0)
            settings.listen.c2sDirectTLS = ["127.0.0.1:\(directPort)"]
        }
        adjust(&settings)
        self.settings = settings
        group = MultiThreadedEventLoopGroup(numberOfThreads: loops)
        let nioLoops = group.makeIterator().enumerated().map { NIOLoop(index: $0.offset, eventLoop: $0.element) }
        let core = Core(
            settings: settings, node: 1, nodeName: "a", loops: nioLoops, volume: volume, readers: Readers(volume), bus: NoBus(),
            passwords: NoKeys(),
            clock: clock,
            software: Software(version: "test", system: "test"), metrics: try CoreMetrics(registry))
        shards = try nioLoops.indices.map { try Shard(core: core, index: $0, modules: []) }
        core.install(shards)
        for shard in shards.reversed() { shard.enter { $0.becomeHome(epoch: 1) } }
        passwords = try PasswordPool(threads: 1, capacity: 64)
        let credentials = try Credentials.derive(password: Self.password, iterations: 4_096)
        var log = Logger(label: "test")
        log.logLevel = .critical
        census = LoginCensus(secret: [1, 2, 3], iterations: 4_096, mechanisms: settings.authentication.mechanisms)
        transports = try ClientTransports(
            core: core, shards: shards, loops: nioLoops, sasl: SASLService(), passwords: passwords,
            census: census, credentials: Accounts(credentials: credentials, volume: volume),
            metrics: try ClientMetrics(registry), log: log
        )
        let bytes = credentials.encode()
        for host in settings.hosts {
            for name in accounts {
                let jid = try JID(local: name, domain: host.domain, resource: nil)
                let shard = shards[0]
                await withCheckedContinuation { continuation in
                    shard.enter { $0.command(.create(credentials: bytes), for: jid) { _ in continuation.resume() } }
                }
            }
        }
    }

    /// Carries out a command at the home of an account.
    func command(_ command: AccountCommand, _ jid: String) async throws -> CommandResult {
        let jid = try JID(jid)
        let shard = shards[0]
        return await withCheckedContinuation { continuation in
            shard.enter { $0.command(command, for: jid) { continuation.resume(returning: $0) } }
        }
    }

    /// What the store has of an account.
    func credentials(_ jid: String) async throws -> Credentials {
        let jid = try JID(jid)
        let record = try volume.read { try AccountRecord.find(jid.description, in: $0, identity: volume.identity) }
        guard let record else { throw TestTrouble("no \(jid)") }
        return try Credentials.decode(record.credentials)
    }

    func start() async throws { try await transports.start() }

    func stop() async {
        await transports.stop()
        passwords.stop()
        try? await group.shutdownGracefully()
    }

    /// A port below the ephemeral ones that nobody listens on now.
    static func freePort() throws -> Int {
        for _ in 0..<200 {
            let port = Int.random(in: 10_000..<32_000)
            let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
            defer { close(descriptor) }
            if TestSocket.bind(descriptor, port) == 0 { return port }
        }
        throw TestTrouble("no free port")
    }
}

/// A blocking socket with a deadline.
final class TestSocket {
    let descriptor: CInt

    init(port: Int) throws {
        descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(bitPattern: SOCK_CLOEXEC.rawValue), 0)
        var patience = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var on: CInt = 1
        setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<CInt>.size))
        var to = loopback(port)
        let result = withUnsafePointer(to: &to) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            close(descriptor)
            throw TestTrouble("connect: \(errno)")
        }
    }

    deinit { close(descriptor) }

    var localPort: Int { portOfThisEnd(descriptor) ?? 0 }

    static func bind(_ descriptor: CInt, _ port: Int) -> CInt {
        var to = loopback(port)
        return withUnsafePointer(to: &to) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    /// Says that nothing more will be sent.
    func finish() { shutdown(descriptor, CInt(SHUT_WR)) }

    /// The next bytes; empty at the end of the connection. Throws when nothing came in time.
    func receive() throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var count = recv(descriptor, &buffer, buffer.count, 0)
        // With a time limit even a process that was stopped and goes on is interrupted.
        while count < 0, errno == EINTR { count = recv(descriptor, &buffer, buffer.count, 0) }
        if count < 0, errno == EAGAIN { throw TestTrouble("nothing came") }
        return Array(buffer.prefix(max(0, count)))
    }
}

/// An XMPP client for conversations: what is sent is text, what is waited for is text.
final class TestClient {
    private let socket: TestSocket
    private(set) var tls: TestTLSClient?
    /// Everything is compressed from now on.
    var zlib: TestZlib?
    /// What came and was not waited for yet.
    private(set) var text = ""
    private(set) var isOver = false

    init(port: Int) throws { socket = try TestSocket(port: port) }

    /// This end's port.
    var localPort: Int { socket.localPort }

    /// Speaks TLS from now on.
    func startTLS(_ client: TestTLSClient) throws {
        tls = client
        client.take([])
        while !client.isOpen, !isOver {
            socket.send(client.takeOutgoing())
            try pull()
        }
        socket.send(client.takeOutgoing())
        text += String(decoding: client.takeReceived(), as: UTF8.self)
        guard client.isOpen else { throw TestTrouble("no TLS: \(client.failure ?? "closed")") }
    }

    private func pull() throws {
        let bytes = try socket.receive()
        if bytes.isEmpty { isOver = true }
        tls?.take(bytes)
        let plain = tls?.takeReceived() ?? bytes
        text += String(decoding: try zlib?.inflate(plain) ?? plain, as: UTF8.self)
    }

    func send(_ text: String) {
        let bytes = Array(text.utf8)
        send(zlib?.deflate(bytes) ?? bytes)
    }

    func send(_ bytes: [UInt8]) {
        guard let tls else { return socket.send(bytes) }
        tls.send(bytes)
        socket.send(tls.takeOutgoing())
    }

    /// Sends close_notify and waits for the end of the connection.
    func closeTLS() throws {
        tls?.close()
        socket.send(tls?.takeOutgoing() ?? [])
        _ = try expectEnd()
    }

    /// Sends one byte at a time, each in a segment of its own as far as the kernel plays along.
    func sendSlowly(_ text: String) { for byte in text.utf8 { send([byte]) } }

    /// Waits for `marker` and answers everything up to and with it.
    @discardableResult
    func expect(_ marker: String) throws -> String {
        while true {
            if let range = text.firstRange(of: marker) {
                let found = String(text[..<range.upperBound])
                text.removeSubrange(..<range.upperBound)
                return found
            }
            guard !isOver else { throw TestTrouble("closed before \(marker): \(text)") }
            try pull()
        }
    }

    /// Waits for the end of the connection and answers what came before.
    func expectEnd() throws -> String {
        while !isOver { try pull() }
        return text
    }

    // MARK: Steps

    func open(_ host: String) throws {
        send(
            "<?xml version='1.0'?><stream:stream to='\(host)' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        try expect("</stream:features>")
    }

    /// SCRAM-SHA-256, with tls-exporter where the stream has TLS; answers nil, or the condition of the failure.
    func scram(
        _ user: String, password: String = TestServer.password, plus: Bool = false, flag: String = "n", binding: [UInt8]? = nil
    ) throws -> String? {
        let header = plus ? "p=tls-exporter,," : "\(flag),,"
        let first = "n=\(user),r=clientnonce"
        send(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256\(plus ? "-PLUS" : "")'>\(base64(Array((header + first).utf8)))</auth>"
        )
        guard let challenge = try saslData("challenge") else { return try condition() }
        let final = try scramFinal(first: first, header: header, challenge: challenge, password: password, binding: plus ? binding : [])
        send("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\(base64(final))</response>")
        return try saslData("success") == nil ? try condition() : nil
    }

    /// The last message of SCRAM-SHA-256.
    ///
    /// - Parameter binding: channel binding data; nil: those of the connection.
    func scramFinal(first: String, header: String, challenge: String, password: String, binding: [UInt8]?) throws -> [UInt8] {
        let fields = Dictionary(
            uniqueKeysWithValues: challenge.split(separator: ",").map { (String($0.prefix(1)), String($0.dropFirst(2))) })
        let salt = try decoded(fields["s"] ?? "")
        var salted = [UInt8](repeating: 0, count: 32)
        PKCS5_PBKDF2_HMAC(
            password, CInt(password.utf8.count), salt, CInt(salt.count), CInt(fields["i"] ?? "") ?? 0, EVP_sha256(), 32, &salted)
        let clientKey = hmac(salted, "Client Key")
        var stored = [UInt8](repeating: 0, count: 32)
        EVP_Digest(clientKey, 32, &stored, nil, EVP_sha256(), nil)
        let bound = Array(header.utf8) + (binding ?? tls?.exporter ?? [])
        let bare = "c=\(base64(bound)),r=\(fields["r"] ?? "")"
        let signature = hmac(stored, "\(first),\(challenge),\(bare)")
        let proof = zip(clientKey, signature).map { $0 ^ $1 }
        return Array((bare + ",p=" + base64(proof)).utf8)
    }

    /// PLAIN; answers nil, or the condition of the failure.
    func plain(_ user: String, password: String = TestServer.password) throws -> String? {
        send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>\(base64(Array("\0\(user)\0\(password)".utf8)))</auth>")
        try expect("xmlns='urn:ietf:params:xml:ns:xmpp-sasl'")
        if text.hasPrefix("/>") {
            try expect("/>")
            return nil
        }
        return try condition()
    }

    func bind(_ resource: String) throws {
        send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>\(resource)</resource></bind></iq>")
        try expect("</jid></bind></iq>")
    }

    /// All of it on the plain host.
    static func ready(_ server: TestServer, _ user: String, _ resource: String) throws -> TestClient {
        let client = try TestClient(port: server.port)
        try client.open("plain.example")
        if let failure = try client.scram(user) { throw TestTrouble(failure) }
        try client.open("plain.example")
        try client.bind(resource)
        return client
    }

    private func saslData(_ name: String) throws -> String? {
        let head = try expect(">")
        guard head.contains("<\(name)") else {
            text = head + text
            return nil
        }
        let data = try expect("</\(name)>").dropLast(name.utf8.count + 3)
        return String(decoding: try decoded(String(data)), as: UTF8.self)
    }

    private func condition() throws -> String {
        let failure = try expect("</failure>")
        guard let inner = failure.firstRange(of: "/></failure>"), let start = failure[..<inner.lowerBound].lastIndex(of: "<") else {
            throw TestTrouble(failure)
        }
        return String(failure[failure.index(after: start)..<inner.lowerBound])
    }

    func hmac(_ key: [UInt8], _ text: String) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 32)
        HMAC(EVP_sha256(), key, CInt(key.count), Array(text.utf8), text.utf8.count, &out, nil)
        return out
    }

    func base64(_ bytes: [UInt8]) -> String {
        var out = [UInt8](repeating: 0, count: bytes.count * 2 + 8)
        let count = EVP_EncodeBlock(&out, bytes, CInt(bytes.count))
        return String(decoding: out.prefix(Int(count)), as: UTF8.self)
    }

    func decoded(_ text: String) throws -> [UInt8] {
        var out = [UInt8](repeating: 0, count: text.utf8.count)
        let count = EVP_DecodeBlock(&out, Array(text.utf8), CInt(text.utf8.count))
        guard count >= 0 else { throw TestTrouble("base64: \(text)") }
        return Array(out.prefix(Int(count) - text.reversed().prefix { $0 == "=" }.count))
    }
}

/// No accounts are made in these tests but by the server itself.
private struct NoKeys: PasswordKeys {
    func derive(_ password: String, completion: @escaping @Sendable (Result<[UInt8], PasswordRefusal>) -> Void) -> Bool { false }
}
