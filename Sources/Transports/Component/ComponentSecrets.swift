internal import COpenSSL
internal import Glibc
internal import Settings

/// Why a component's secret cannot be used: one sentence that names the file and what to do.
public struct ComponentSecretError: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}

/// The secrets of all components, by domain. They are in files that only the server's user may read, and never shown.
struct ComponentSecrets: Sendable {
    /// A secret is a line of at least so many bytes.
    static let shortest = 16
    private static let largestFile = 4_096

    private var secrets: [String: [UInt8]] = [:]

    /// Reads every secret; makes those whose file is not there. Several nodes may do so at once: one file wins, all read it.
    static func load(_ settings: Settings) throws(ComponentSecretError) -> ComponentSecrets {
        var all = ComponentSecrets()
        for component in settings.components {
            var path = component.secretFile
            if path.isEmpty {
                let folder = settings.node.directory + "/components"
                guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw failure("\(folder) cannot be made") }
                path = "\(folder)/\(component.domain).secret"
            }
            if access(path, F_OK) != 0, errno == ENOENT { try make(path) }
            all.secrets[component.domain] = try read(path)
        }
        return all
    }

    /// Whether a digest is SHA-1 of stream id and secret in hexadecimal small letters (XEP-0114 §3). Takes as long for a wrong one.
    func proves(_ digest: String, domain: String, streamID: String) -> Bool {
        guard let secret = secrets[domain] else { return false }
        let text = Array(streamID.utf8) + secret
        var sum = [UInt8](repeating: 0, count: Int(SHA_DIGEST_LENGTH))
        guard SHA1(text, text.count, &sum) != nil else { return false }
        let digits = Array("0123456789abcdef".utf8)
        let expected = sum.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
        let given = Array(digest.utf8)
        return given.count == expected.count && CRYPTO_memcmp(given, expected, expected.count) == 0
    }

    private static func failure(_ what: String) -> ComponentSecretError {
        ComponentSecretError("component.secret_file: \(what): \(String(cString: strerror(errno)))")
    }

    /// Makes the file whole under another name, then gives it its own, so that nobody reads half of it.
    private static func make(_ path: String) throws(ComponentSecretError) {
        var generator = SystemRandomNumberGenerator()
        let secret = (0..<4).map { _ in
            let text = String(generator.next(), radix: 16)
            return String(repeating: "0", count: 16 - text.utf8.count) + text
        }.joined()
        let draft = "\(path).\(getpid())"
        unlink(draft)
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("\(draft) cannot be made") }
        let line = Array((secret + "\n").utf8)
        let isWritten = write(descriptor, line, line.count) == line.count && fsync(descriptor) == 0
        let error = errno
        close(descriptor)
        defer { unlink(draft) }
        errno = error
        guard isWritten else { throw failure("\(draft) cannot be written") }
        guard link(draft, path) == 0 || errno == EEXIST else { throw failure("\(path) cannot be made") }
    }

    private static func read(_ path: String) throws(ComponentSecretError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { throw failure("\(path) cannot be read") }
        defer { close(descriptor) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { throw failure("\(path) cannot be read") }
        guard facts.st_mode & S_IFMT == S_IFREG else { throw ComponentSecretError("component.secret_file: \(path) is no file") }
        guard facts.st_mode & 0o077 == 0 else {
            throw ComponentSecretError("component.secret_file: others than its owner may use \(path): chmod 600 \(path)")
        }
        var bytes = [UInt8](repeating: 0, count: largestFile)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw failure("\(path) cannot be read") }
        let line = Array(bytes[..<count].prefix { $0 != 0x0A && $0 != 0x0D })
        guard line.count >= shortest, line.count < largestFile else {
            throw ComponentSecretError(
                "component.secret_file: the first line of \(path) must be from \(shortest) to \(largestFile - 1) bytes long; remove the file and the server makes a secret"
            )
        }
        return line
    }
}
