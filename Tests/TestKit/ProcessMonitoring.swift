import Glibc

/// What a node, or a program that watches it, says over HTTP.
public enum ProcessMonitoring {
    public enum Place {
        case unix(String)
        /// A port of loopback.
        case tcp(UInt16)
    }

    public struct Answer: Sendable {
        public var status: Int
        public var body: String

        /// The value of a sample, by its name and labels as they are written; nil when there is none.
        public func value(_ sample: String) -> Double? {
            for line in body.split(separator: "\n") where line.hasPrefix(sample + " ") { return Double(line.dropFirst(sample.count + 1)) }
            return nil
        }

        /// The names of all families.
        public var families: Set<String> {
            Set(
                body.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }.compactMap { $0.split(separator: " ").dropFirst(2).first }
                    .map(String.init))
        }
    }

    /// One request on a connection of its own, by HTTP/1.0: an answer is not in chunks.
    public static func get(_ path: String, at place: Place, within patience: Duration = .patient) throws -> Answer {
        let descriptor = try connect(place)
        defer { close(descriptor) }
        let request = Array("GET \(path) HTTP/1.0\r\nHost: localhost\r\n\r\n".utf8)
        guard send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else { throw ProcessFailure.system(path) }
        let deadline = Deadline(in: patience)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = poll(&waiting, 1, deadline.milliseconds)
            if ready < 0, errno == EINTR { continue }
            guard ready > 0 else { throw ProcessFailure("\(path) at \(place) is not answered in time") }
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count >= 0 else { throw ProcessFailure.system(path) }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.firstRange(of: "\r\n\r\n"), let status = Int(text.dropFirst(9).prefix(3)) else {
            throw ProcessFailure("\(path) at \(place) is answered with “\(text.prefix(200))”")
        }
        return Answer(status: status, body: String(text[end.upperBound...]))
    }

    private static func connect(_ place: Place) throws -> Int32 {
        let result: Int32
        let descriptor: Int32
        switch place {
        case .unix(let path):
            descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { throw ProcessFailure("\(path) is too long") }
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
            result = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        case .tcp(let port):
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_in.loopback(port)
            result = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        guard result == 0 else {
            defer { close(descriptor) }
            throw ProcessFailure.system("\(place)")
        }
        return descriptor
    }

    /// Ports that nobody has now.
    public static func freePorts(_ count: Int) throws -> [UInt16] { try FreePorts.find(count) }

    /// Where a program is, if it is installed.
    public static func program(_ name: String) -> String? {
        ["/usr/bin/", "/usr/local/bin/"].map { $0 + name }.first { access($0, X_OK) == 0 }
    }

    /// The folder of the repository.
    public static func repository(from test: String = #filePath) -> String {
        "/" + test.split(separator: "/").dropLast(3).joined(separator: "/")
    }

    /// A file of the repository.
    public static func file(_ path: String) throws -> String { try text(of: repository() + "/" + path) }

    /// Runs a program in a folder, without a cluster.
    ///
    /// - Returns: its exit status, and all that it wrote.
    public static func run(_ words: [String], in folder: String) throws -> (status: Int32, text: String) {
        let group = try ProcessGroup()
        let log = group.directory + "/output"
        let pid = try group.start(["/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", folder] + words, log: log)
        let deadline = Deadline(in: .patient)
        while !deadline.isOver {
            if let status = group.ended(pid) { return (status, (try? text(of: log)) ?? "") }
            poll(nil, 0, 5)
        }
        throw ProcessFailure("\(words.joined(separator: " ")) does not end")
    }

    /// The whole of a file.
    public static func text(of path: String) throws -> String {
        guard let file = fopen(path, "re") else { throw ProcessFailure.system(path) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A text as a parameter of a query.
    public static func escaped(_ text: String) -> String {
        text.utf8.map { byte in
            let isPlain = (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            return isPlain ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
    }
}

extension ProcessCluster {
    /// A page of a node's monitoring.
    public func monitor(_ index: Int, _ path: String) throws -> ProcessMonitoring.Answer {
        try ProcessMonitoring.get(path, at: .unix(monitoringSocket(index)))
    }

    /// Writes a file into the cluster's folder.
    public func keep(_ text: String, as name: String) throws { try write(text, to: directory + "/" + name) }

    /// Runs a program to its end, with a file as its input if it wants one.
    ///
    /// - Returns: its exit status, and all that it wrote.
    public func run(_ words: [String], input: String? = nil, within patience: Duration = .patient) throws -> (status: Int32, text: String) {
        let name = UInt32.random(in: 0...UInt32.max)
        var command = ["/bin/sh", "-c", "exec \"$@\"", "sh"] + words
        if let input {
            let file = "\(directory)/input-\(name)"
            try write(input, to: file)
            command = ["/bin/sh", "-c", "in=$1; shift; exec \"$@\" <\"$in\"", "sh", file] + words
        }
        return try finish(command, log: "\(directory)/output-\(name)", within: patience)
    }
}
