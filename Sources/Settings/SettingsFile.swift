internal import Glibc

extension Settings {
    /// The largest configuration file that is read, in bytes.
    public static let largestFile = 1_048_576

    /// Reads a configuration file. Relative paths in it count from its directory, and come out with that in front.
    ///
    /// Besides the text, the files it names are looked at: a certificate or key that cannot be read is a problem, a key that
    /// others may read is a warning.
    /// - Returns: the settings, and what should be mended though the server can run.
    /// - Throws: `SettingsError` with everything that must be mended, not only the first.
    public static func load(file: String) throws(SettingsError) -> (settings: Settings, warnings: [SettingsProblem]) {
        let text: String
        do {
            text = try SettingsFile.text(of: file)
        } catch {
            throw SettingsError(problems: [SettingsProblem(file: file, line: nil, column: nil, key: nil, sentence: error.sentence)])
        }
        var reader = SettingsReader(file: file, base: SettingsFile.directory(of: file))
        reader.read(text)
        reader.checkFiles()
        guard reader.problems.isEmpty else { throw SettingsError(problems: reader.problems) }
        return (reader.settings, reader.warnings)
    }

    /// Reads the text of a configuration file; no file is touched.
    /// - Parameters:
    ///   - text: TOML 1.0.
    ///   - file: how problems name it.
    ///   - base: the directory relative paths count from; empty: they stay relative.
    public static func parse(
        _ text: String, file: String, base: String = ""
    ) throws(SettingsError) -> (settings: Settings, warnings: [SettingsProblem]) {
        var reader = SettingsReader(file: file, base: base)
        reader.read(text)
        guard reader.problems.isEmpty else { throw SettingsError(problems: reader.problems) }
        return (reader.settings, reader.warnings)
    }

    /// What `martletd --check-config` prints, and whether the file can be used.
    public static func check(file: String) -> (text: String, isGood: Bool) {
        do {
            let (settings, warnings) = try load(file: file)
            var lines = warnings.map { "warning: \($0)" }
            let addresses =
                settings.listen.c2s + settings.listen.c2sDirectTLS + settings.listen.c2sOfNode.sorted { $0.key < $1.key }.flatMap(\.value)
            lines.append("\(file): good")
            lines.append("  hosts      \(settings.hosts.map(\.domain).joined(separator: ", "))")
            lines.append("  listening  \(addresses.joined(separator: ", "))")
            lines.append("  directory  \(settings.node.directory)")
            return (lines.joined(separator: "\n") + "\n", true)
        } catch {
            let count = error.problems.count
            return ("\(error)\n\(file): \(count == 1 ? "1 error" : "\(count) errors")\n", false)
        }
    }
}

extension SettingsReader {
    /// Looks at the files the settings name.
    mutating func checkFiles() {
        for (number, host) in settings.hosts.enumerated() {
            for (key, path) in [("certificate", host.certificate), ("key", host.key)] where !path.isEmpty {
                let line = lines["host \(number) \(key)"]
                if access(path, R_OK) != 0 {
                    let reason = String(cString: strerror(errno))
                    problems.append(
                        SettingsProblem(
                            file: file, line: line, column: nil, key: "host.\(key)",
                            sentence: "\(path) cannot be read (\(reason)): write the path of a PEM file"))
                } else if key == "key", SettingsFile.isOpenToOthers(path) {
                    warn("host.key", line, "\(path) can be read by others: chmod 600")
                }
            }
        }
        problems.sort { ($0.line ?? .max) < ($1.line ?? .max) }
    }
}

/// Files, without Foundation.
enum SettingsFile {
    /// Why a file cannot be used: a sentence.
    struct Unreadable: Error {
        var sentence: String
    }

    /// The whole text of a file.
    static func text(of path: String) throws(Unreadable) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { throw Unreadable(sentence: "cannot be opened (\(String(cString: strerror(errno))))") }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count == 0 { break }
            guard count > 0 else {
                if errno == EINTR { continue }
                throw Unreadable(sentence: "cannot be read (\(String(cString: strerror(errno))))")
            }
            bytes += chunk[..<count]
            guard bytes.count <= Settings.largestFile else {
                throw Unreadable(sentence: "is larger than \(Settings.largestFile) bytes: this is no configuration file")
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw Unreadable(sentence: "is not UTF-8: save it in that encoding")
        }
        return text
    }

    /// The directory a file is in, as it was written: `.` for a bare name.
    static func directory(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Whether the group or all others may read a file.
    static func isOpenToOthers(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & 0o044 != 0
    }
}
