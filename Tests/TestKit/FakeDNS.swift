import Glibc
import Synchronization

/// A DNS server on loopback that knows a few names, on a thread of its own, as long as the object lives.
public final class FakeDNS {
    public enum Record: Sendable {
        case address(String)
        case alias(String)
        case service(priority: UInt16, weight: UInt16, port: UInt16, target: String)

        fileprivate var type: UInt16 {
            switch self {
            case .address(let text): text.contains(":") ? 28 : 1
            case .alias: 5
            case .service: 33
            }
        }

        fileprivate var data: [UInt8] {
            switch self {
            case .address(let text):
                var bytes = [UInt8](repeating: 0, count: 16)
                inet_pton(text.contains(":") ? AF_INET6 : AF_INET, text, &bytes)
                return Array(bytes.prefix(text.contains(":") ? 16 : 4))
            case .alias(let name): return FakeDNS.labels(name)
            case .service(let priority, let weight, let port, let target):
                return [priority, weight, port].flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] } + FakeDNS.labels(target)
            }
        }
    }

    /// "127.0.0.1:port", as resolvers are told.
    public let address: String
    private let descriptor: Int32
    /// What is closed to end the thread, and what the thread sees of it.
    private let stop: (here: Int32, there: Int32)
    private let records: Knowledge
    private let thread: ProcessThread

    private final class Knowledge: Sendable {
        let all: Mutex<[String: [Record]]>
        init(_ records: [String: [Record]]) { all = Mutex(records) }
        subscript(_ name: String) -> [Record]? { all.withLock { $0[name] } }
    }

    public init(_ known: [String: [Record]]) throws {
        let made = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard made >= 0 else { throw ProcessFailure.system("socket") }
        // The kernel chooses the port, which is held from then on.
        var own = sockaddr_in.loopback(0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &own) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(made, $0, size) == 0 && getsockname(made, $0, &size) == 0 }
        }
        var ends: [Int32] = [-1, -1]
        guard bound, socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw ProcessFailure.system("a socket of the DNS")
        }
        address = "127.0.0.1:\(UInt16(bigEndian: own.sin_port))"
        descriptor = made
        stop = (ends[0], ends[1])
        let records = Knowledge(known)
        self.records = records
        let there = ends[1]
        thread = try ProcessThread { while Self.serve(made, until: there, { Self.answer($0, records) }) {} }
    }

    deinit {
        close(stop.here)
        thread.join()
        close(stop.there)
        close(descriptor)
    }

    /// What is known from now on.
    public func know(_ records: [String: [Record]]) { self.records.all.withLock { $0 = records } }

    /// Answers one question; false at the end.
    private static func serve(_ descriptor: Int32, until stop: Int32, _ answer: ([UInt8]) -> [UInt8]?) -> Bool {
        var waiting = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: stop, events: Int16(POLLIN), revents: 0)]
        guard poll(&waiting, 2, -1) > 0 else { return errno == EINTR }
        guard waiting[1].revents == 0 else { return false }
        var bytes = [UInt8](repeating: 0, count: 1_500)
        var asker = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let count = withUnsafeMutablePointer(to: &asker) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { recvfrom(descriptor, &bytes, bytes.count, 0, $0, &size) }
        }
        guard count > 0 else { return count < 0 && errno == EINTR }
        guard let reply = answer(Array(bytes.prefix(count))) else { return true }
        _ = withUnsafePointer(to: &asker) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { sendto(descriptor, reply, reply.count, 0, $0, size) }
        }
        return true
    }

    private static func answer(_ query: [UInt8], _ records: Knowledge) -> [UInt8]? {
        guard query.count > 16, let (name, end) = name(in: query), end + 4 <= query.count else { return nil }
        let type = UInt16(query[end]) << 8 | UInt16(query[end + 1])
        let known = records[name]
        let found = (known ?? []).filter { $0.type == type || $0.type == 5 }
        var reply = Array(query[..<2]) + [0x81, known == nil ? 0x83 : 0x80, 0, 1, 0, UInt8(found.count), 0, 0, 0, 0]
        reply += query[12..<(end + 4)]
        for record in found {
            let data = record.data
            reply += [
                0xC0, 12, UInt8(record.type >> 8), UInt8(record.type & 255), 0, 1, 0, 0, 0, 60, UInt8(data.count >> 8),
                UInt8(data.count & 255),
            ]
            reply += data
            guard case .alias(let target) = record else { continue }
            // What it stands for comes along, as a resolver would give it.
            let more = (records[target] ?? []).filter { $0.type == type }
            reply[7] += UInt8(more.count)
            for record in more {
                let data = record.data
                reply +=
                    labels(target) + [UInt8(record.type >> 8), UInt8(record.type & 255), 0, 1, 0, 0, 0, 60, 0, UInt8(data.count)]
                    + data
            }
        }
        return reply
    }

    private static func name(in query: [UInt8]) -> (String, Int)? {
        var labels: [String] = []
        var position = 12
        while position < query.count, query[position] > 0 {
            let end = position + 1 + Int(query[position])
            guard end < query.count else { return nil }
            labels.append(String(decoding: query[(position + 1)..<end], as: UTF8.self).lowercased())
            position = end
        }
        return (labels.joined(separator: "."), position + 1)
    }

    fileprivate static func labels(_ name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8(clamping: $0.utf8.count)] + Array($0.utf8) } + [0]
    }
}
