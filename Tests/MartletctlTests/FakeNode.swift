import Glibc
import Synchronization
import Testing

/// What a fake node does with its one connection, in order.
enum Step: Sendable {
    case send(String)
    /// Takes one line.
    case take
    /// Takes lines up to a lone dot.
    case takeLines
    /// Waits until the client goes.
    case linger
}

/// A Unix socket that plays one script to one client, on a thread of its own, and remembers the lines it got.
final class FakeNode: Sendable {
    let path: String
    private let listener: Int32
    private let script: [Step]
    private let got = Mutex<[String]>([])
    private let thread = Mutex<pthread_t?>(nil)

    init(_ path: String, _ script: [Step]) throws {
        self.path = path
        self.script = script
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        try #require(path.utf8.count < MemoryLayout.size(ofValue: address.sun_path))
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        let bound = withUnsafePointer(to: &address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, size) } }
        try #require(bound == 0 && listen(listener, 4) == 0)
        guard !script.isEmpty else { return }
        var started = pthread_t()
        let box = Unmanaged.passRetained(self)
        let failed = pthread_create(
            &started, nil,
            { box in
                guard let box else { return nil }
                Unmanaged<FakeNode>.fromOpaque(box).takeRetainedValue().play()
                return nil
            }, box.toOpaque())
        try #require(failed == 0)
        thread.withLock { $0 = started }
    }

    private func play() {
        let client = accept(listener, nil, nil)
        guard client >= 0 else { return }
        defer { close(client) }
        for step in script {
            switch step {
            case .send(let text):
                let bytes = Array(text.utf8)
                _ = Glibc.send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
            case .take: take(client)
            case .takeLines: while let line = take(client), line != "." {}
            case .linger:
                var byte: UInt8 = 0
                while recv(client, &byte, 1, 0) > 0 {}
            }
        }
    }

    @discardableResult
    private func take(_ client: Int32) -> String? {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while recv(client, &byte, 1, 0) == 1 {
            guard byte == UInt8(ascii: "\n") else {
                line.append(byte)
                continue
            }
            let text = String(decoding: line, as: UTF8.self)
            got.withLock { $0.append(text) }
            return text
        }
        return nil
    }

    /// Ends the node, and gives the lines it got.
    func end() -> [String] {
        shutdown(listener, Int32(SHUT_RDWR))
        if let thread = thread.withLock({ $0 }) { pthread_join(thread, nil) }
        close(listener)
        unlink(path)
        return got.withLock { $0 }
    }
}

/// One run of the built `martletctl`, with a pair of sockets for each of its three ends.
struct Run: Equatable {
    var out: String
    var err: String
    var status: Int32

    init(out: String = "", err: String = "", status: Int32) {
        self.out = out
        self.err = err
        self.status = status
    }

    /// Runs the program that was built beside this test, or another one. `input` must fit a socket's buffer, 64 KiB.
    init(_ arguments: [String], program: String? = nil, input: String = "", environment: [String] = []) throws {
        var ends = [[Int32]](repeating: [-1, -1], count: 3)
        for index in ends.indices {
            // Sockets, because no pipe can be made closed to the children of other tests from its first moment.
            let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
            try #require(socketpair(AF_UNIX, kind, 0, &ends[index]) == 0)
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[0][0], 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1][1], 1)
        posix_spawn_file_actions_adddup2(&actions, ends[2][1], 2)
        let program = try program ?? Run.folder() + "/martletctl"
        var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
        defer { for pointer in words + variables { free(pointer) } }
        var process = pid_t()
        try #require(posix_spawn(&process, program, &actions, nil, &words, &variables) == 0)
        close(ends[0][0])
        close(ends[1][1])
        close(ends[2][1])
        let bytes = Array(input.utf8)
        // A program that does not read its input may be gone by now.
        let count = send(ends[0][1], bytes, bytes.count, Int32(MSG_NOSIGNAL))
        try #require(count == bytes.count || errno == EPIPE)
        close(ends[0][1])
        out = Run.all(of: ends[1][0])
        err = Run.all(of: ends[2][0])
        var code: Int32 = 0
        try #require(waitpid(process, &code, 0) == process)
        // 128 + the signal, as a shell shows it.
        status = code & 0x7F == 0 ? code >> 8 & 0xFF : 128 + code & 0x7F
    }

    private static func all(of descriptor: Int32) -> String {
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
    }

    /// The product directory is the one this test was started from.
    static func folder() throws -> String {
        var path = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &path, path.count - 1)
        try #require(count > 0)
        let own = String(decoding: path[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let directory = try #require(own.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(own[..<$0]) })
        try #require(access(directory + "/martletctl", X_OK) == 0, "\(directory)/martletctl is not built")
        return directory
    }
}
