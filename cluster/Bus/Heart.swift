import BusProtocol
import CShims
import Glibc
import Synchronization

/// Tells the others that this process is scheduled, and kills those that are not. A thread of its own.
///
/// The beat is a datagram on a Unix socket, not a counter in a mapped file: storing to a file's page can wait for the file system
/// (`page_mkwrite` during a journal commit), and then a stalled disk would look like a dead node. Datagrams touch no disk: each peer's
/// socket is connected when it is first watched, and a full queue of a stopped peer is simply not waited for. Nor does this thread
/// wait for a lock that a loop holds: it tries, and looks again at the next beat.
final class Heart: Sendable {
    /// What the thread found out.
    enum Finding: Sendable {
        case killed(incarnation: UInt64)
        /// It is silent, but the signal was refused.
        case notKilled(incarnation: UInt64, errno: Int32)
    }

    private struct Peer {
        /// Connected to its beat socket; -1 when that failed.
        var socket: Int32
        var pidfd: Int32
    }

    private enum Order {
        case watch(UInt64, Peer)
        case forget(UInt64)
    }

    private struct State {
        var orders: [Order] = []
        var thread: OSThread?
    }

    private let directory: RunDirectory
    private let me: NodeID
    private let beat: UInt64
    private let judge: Judge
    private let socket: Int32
    private let waker: Waker
    private let state = Mutex(State())
    private let stops = Atomic(false)
    private let willKill: @Sendable (UInt64) -> Void

    /// `willKill` is called on the heart's thread just before the signal, and must not wait for anything.
    init(
        directory: RunDirectory, me: NodeID, beatMilliseconds: Int, missedBeats: Int, willKill: @escaping @Sendable (UInt64) -> Void
    ) throws(BusError) {
        self.directory = directory
        self.me = me
        self.willKill = willKill
        beat = UInt64(max(1, min(beatMilliseconds, 3_600_000))) * 1_000_000
        judge = Judge(beatMilliseconds: beatMilliseconds, missedBeats: missedBeats)
        waker = try Waker()
        do throws(BusError) { socket = try Self.bound(to: directory.beatSocket(of: me.name)) } catch {
            waker.close()
            throw error
        }
    }

    func start(report: @escaping @Sendable (Finding) -> Void) throws(BusError) {
        let thread = try OSThread(name: "bus-heart") { self.run(report) }
        state.withLock { $0.thread = thread }
    }

    /// Beats for a node, and watches it. The heart closes `process.pidfd` when it forgets.
    func watch(_ id: NodeID, process: PeerProcess) {
        var peer = Peer(socket: -1, pidfd: process.pidfd)
        if let socket = try? Self.datagramSocket() {
            let result = (try? withAddress(directory.beatSocket(of: id.name)) { connect(socket, $0, $1) }) ?? -1
            if result == 0 { peer.socket = socket } else { close(socket) }
        }
        state.withLock { $0.orders.append(.watch(id.incarnation, peer)) }
        waker.wake()
    }

    func forget(_ incarnation: UInt64) {
        state.withLock { $0.orders.append(.forget(incarnation)) }
        waker.wake()
    }

    /// Ends the thread, if it was started, and the beats. Once only.
    func stop() {
        stops.store(true, ordering: .relaxed)
        waker.wake()
        state.withLock { $0.thread }?.join()
        state.withLock { state in
            for case .watch(_, let peer) in state.orders { Self.release(peer) }
            state.orders = []
        }
        close(socket)
        waker.close()
        unlink(directory.beatSocket(of: me.name))
    }

    // MARK: The thread

    private func run(_ report: @Sendable (Finding) -> Void) {
        var judge = judge
        var peers: [UInt64: Peer] = [:]
        var next = monotonicNow()
        while !stops.load(ordering: .relaxed) {
            obey(&judge, &peers)
            listen(&judge)
            let now = monotonicNow()
            if now >= next {
                next = now - next < beat ? next + beat : now + beat
                tell(peers)
                for incarnation in judge.check(at: now) { kill(incarnation, peers[incarnation], report) }
            }
            var files = [
                pollfd(fd: socket, events: Int16(POLLIN), revents: 0), pollfd(fd: waker.reader, events: Int16(POLLIN), revents: 0),
            ]
            let after = monotonicNow()
            if next > after { poll(&files, 2, Int32(clamping: (next - after + 999_999) / 1_000_000)) }
            if files[1].revents != 0 { waker.drain() }
        }
        for peer in peers.values { Self.release(peer) }
    }

    private func obey(_ judge: inout Judge, _ peers: inout [UInt64: Peer]) {
        let orders = state.withLockIfAvailable { state in
            defer { state.orders = [] }
            return state.orders
        }
        for order in orders ?? [] {
            switch order {
            case .watch(let incarnation, let peer):
                if let old = peers.updateValue(peer, forKey: incarnation) { Self.release(old) }
                judge.watch(incarnation)
            case .forget(let incarnation):
                if let peer = peers.removeValue(forKey: incarnation) { Self.release(peer) }
                judge.forget(incarnation)
            }
        }
    }

    /// A beat is the sender's incarnation, eight bytes.
    private func listen(_ judge: inout Judge) {
        var incarnation: UInt64 = 0
        // Bounded: whoever floods the socket must not keep the heart from beating.
        for _ in 0..<1024 {
            let count = recv(socket, &incarnation, 8, Int32(truncatingIfNeeded: MSG_DONTWAIT) | Int32(truncatingIfNeeded: MSG_TRUNC))
            guard count >= 0 else { return }
            if count == 8 { judge.heard(UInt64(bigEndian: incarnation)) }
        }
    }

    private func tell(_ peers: [UInt64: Peer]) {
        var beat = me.incarnation.bigEndian
        for peer in peers.values where peer.socket >= 0 {
            send(peer.socket, &beat, 8, Int32(truncatingIfNeeded: MSG_DONTWAIT) | Int32(truncatingIfNeeded: MSG_NOSIGNAL))
        }
    }

    private func kill(_ incarnation: UInt64, _ peer: Peer?, _ report: @Sendable (Finding) -> Void) {
        // A node of this very process is as silent as this one.
        guard let peer, peer.pidfd >= 0 else { return }
        willKill(incarnation)
        let result = martlet_pidfd_send_signal(peer.pidfd, SIGKILL)
        // Gone already is killed enough.
        report(result == 0 || result == ESRCH ? .killed(incarnation: incarnation) : .notKilled(incarnation: incarnation, errno: result))
    }

    // MARK: Sockets

    private static func release(_ peer: Peer) {
        if peer.socket >= 0 { close(peer.socket) }
        if peer.pidfd >= 0 { close(peer.pidfd) }
    }

    /// What is left of an earlier life is removed: the lock of the name is held.
    private static func bound(to path: String) throws(BusError) -> Int32 {
        let socket = try datagramSocket()
        unlink(path)
        do throws(BusError) {
            let result = try withAddress(path) { bind(socket, $0, $1) }
            guard result == 0, chmod(path, 0o600) == 0 else { throw .system("bind \(path)", errno: errno) }
            return socket
        } catch {
            close(socket)
            throw error
        }
    }

    private static func datagramSocket() throws(BusError) -> Int32 {
        let kind = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let socket = Glibc.socket(AF_UNIX, kind, 0)
        guard socket >= 0 else { throw .system("socket", errno: errno) }
        return socket
    }
}

/// Calls `body` with the address of a Unix socket.
func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) throws(BusError) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { throw .pathTooLong(path) }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
}
