import Glibc
import Settings
import Testing

@testable import Transports

/// The files with the secrets of components.
@Suite struct ComponentSecretTests {
    /// A directory of its own, gone with the object.
    private final class Folder {
        let path: String
        init() throws {
            var template = Array("/tmp/martlet-secrets-XXXXXX".utf8CString)
            path = try #require(mkdtemp(&template).map { String(cString: $0) })
        }
        deinit {
            for name in ["components/plays.example.secret", "secret"] { unlink(path + "/" + name) }
            rmdir(path + "/components")
            rmdir(path)
        }
    }

    private func settings(_ folder: Folder, file: String = "") -> Settings {
        var settings = Settings()
        settings.node.directory = folder.path
        var component = Settings.Component(domain: "plays.example")
        component.secretFile = file.isEmpty ? "" : folder.path + "/" + file
        settings.components = [component]
        return settings
    }

    private func write(_ text: String, to path: String, mode: mode_t) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        fchmod(descriptor, mode)
        let bytes = Array(text.utf8)
        #expect(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
    }

    /// XEP-0114 §3: SHA-1 of stream id and secret, in small letters.
    @Test func provesWithTheDigestOfTheStandard() throws {
        let folder = try Folder()
        try write("a secret of the test\nand more\n", to: folder.path + "/secret", mode: 0o600)
        let secrets = try ComponentSecrets.load(settings(folder, file: "secret"))
        // printf '3BF96D32a secret of the test' | sha1sum
        let digest = "777e5dc2b34915964c4bb70e6a77b1558e018e6c"
        #expect(secrets.proves(digest, domain: "plays.example", streamID: "3BF96D32"))
        #expect(!secrets.proves(digest.uppercased(), domain: "plays.example", streamID: "3BF96D32"))
        #expect(!secrets.proves(digest, domain: "plays.example", streamID: "3BF96D33"))
        #expect(!secrets.proves(digest, domain: "other.example", streamID: "3BF96D32"))
        #expect(!secrets.proves("", domain: "plays.example", streamID: "3BF96D32"))
    }

    @Test func aSecretIsMadeOnceWhereThereIsNone() throws {
        let folder = try Folder()
        _ = try ComponentSecrets.load(settings(folder))
        let path = folder.path + "/components/plays.example.secret"
        var facts = stat()
        #expect(stat(path, &facts) == 0)
        #expect(facts.st_mode & 0o777 == 0o600)
        #expect(facts.st_size == 65)
        let inode = facts.st_ino
        _ = try ComponentSecrets.load(settings(folder))
        #expect(stat(path, &facts) == 0)
        #expect(facts.st_ino == inode)
    }

    @Test func aFileThatOthersMayReadIsRefused() throws {
        let folder = try Folder()
        for mode in [0o640, 0o604, 0o620] as [mode_t] {
            try write("a secret of the test\n", to: folder.path + "/secret", mode: mode)
            #expect(throws: ComponentSecretError.self) { try ComponentSecrets.load(settings(folder, file: "secret")) }
            unlink(folder.path + "/secret")
        }
    }

    @Test(arguments: ["", "short\n", "\na second line that is long enough\n"])
    func aSecretTooShortIsRefused(_ text: String) throws {
        let folder = try Folder()
        try write(text, to: folder.path + "/secret", mode: 0o600)
        do {
            _ = try ComponentSecrets.load(settings(folder, file: "secret"))
            Issue.record("it is taken")
        } catch {
            #expect("\(error)".contains("bytes long"))
            #expect(!"\(error)".contains("short\n"))
        }
    }
}
