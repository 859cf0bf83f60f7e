import Glibc
import Testing

@testable import Transports

/// What every connection has from its first moment.
@Suite("Connections", .serialized)
struct ConnectionTests {
    @Test func streamIDsAreLongAndNeverTheSame() {
        var ids = StreamIDs()
        // More than are asked for at once, several times.
        let many = (0..<100).map { _ in ids.next() } + [StreamIDs.one(), StreamIDs.one()]
        #expect(Set(many).count == 102)
        for id in many {
            #expect(id.utf8.count == 32 && id.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }, "\(id)")
        }
        // Every digit can be every one, or chance is not what it looks like: of 102 ids, each place has more than a few.
        for place in 0..<32 { #expect(Set(many.map { Array($0.utf8)[place] }).count > 4) }
    }

    /// Set on the listener alone: its connections inherit them.
    @Test func acceptedSocketsAreWatchedAndAtOnce() async throws {
        let server = try await TestServer(loops: 1)
        do {
            try await server.start()
            let client = try TestClient(port: server.port)
            try client.open("plain.example")
            let accepted = try #require(Self.descriptor(connectedTo: client.localPort))
            #expect(Self.option(accepted, SOL_SOCKET, SO_KEEPALIVE) == 1)
            #expect(Self.option(accepted, CInt(IPPROTO_TCP), TCP_NODELAY) == 1)
            #expect(Self.option(accepted, CInt(IPPROTO_TCP), TCP_USER_TIMEOUT) == 60_000)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    /// The other end of a connection within this process.
    private static func descriptor(connectedTo port: Int) -> CInt? {
        (0..<CInt(1024)).first { portOfOtherEnd($0) == port }
    }

    private static func option(_ descriptor: CInt, _ level: CInt, _ name: CInt) -> CInt? {
        var value: CInt = 0
        var size = socklen_t(MemoryLayout<CInt>.size)
        return getsockopt(descriptor, level, name, &value, &size) == 0 ? value : nil
    }
}
