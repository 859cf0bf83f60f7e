import Glibc

/// What a node serves to programs that watch it, read over its Unix socket.
public enum ProcessMonitoring {
    public struct Answer: Sendable {
        public var status: Int
        public var body: String

        /// The value of a sample, by its name and labels as they are written; nil when there is none.
        public func value(_ sample: String) -> Double? {
            for line in body.split(separator: "\n") where line.hasPrefix(sample + " ") { return Double(line.dropFirst(sample.count + 1)) }
            return nil
        }
    }

    /// One request on a connection of its own.
    public static func get(_ path: String, socket: String, within patience: Duration = .seconds(30)) throws -> Answer {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ProcessFailure.system("socket") }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard socket.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { throw ProcessFailure("\(socket) is too long") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: socket.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        guard result == 0 else { throw ProcessFailure.system(socket) }
        let request = Array("GET \(path) HTTP/1.1\r\nHost: martlet\r\nConnection: close\r\n\r\n".utf8)
        guard send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else { throw ProcessFailure.system(socket) }
        let deadline = Deadline(in: patience)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, deadline.milliseconds) > 0 else { throw ProcessFailure("\(path) at \(socket) is not answered in time") }
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count >= 0 else { throw ProcessFailure.system(socket) }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.firstRange(of: "\r\n\r\n"), let status = Int(text.dropFirst(9).prefix(3)) else {
            throw ProcessFailure("\(path) at \(socket) is answered with \(text.prefix(200))")
        }
        return Answer(status: status, body: String(text[end.upperBound...]))
    }
}

extension ProcessCluster {
    /// A page of a node's monitoring.
    public func monitor(_ index: Int, _ path: String) throws -> ProcessMonitoring.Answer {
        try ProcessMonitoring.get(path, socket: monitoringSocket(index))
    }
}
