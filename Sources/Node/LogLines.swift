import Glibc
import Logging
import Settings
import Synchronization

/// Log lines, a fact each: as text for people, as JSON for machines. One writer a process.
final class LogWriter: Sendable {
    private let descriptor: Int32
    let format: Settings.Log.Format
    private let lock = Mutex(())

    /// - Throws: `StartFailure` naming the file that cannot be opened.
    init(_ settings: Settings.Log) throws(StartFailure) {
        format = settings.format
        if settings.file.isEmpty {
            descriptor = 2
        } else {
            descriptor = open(settings.file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else {
                throw StartFailure("log.file: \(settings.file) cannot be opened: \(String(cString: strerror(errno)))")
            }
        }
    }

    func write(_ line: String) {
        var line = line
        line.append("\n")
        lock.withLock { _ in
            line.withUTF8 { bytes in
                var rest = bytes[...]
                while !rest.isEmpty {
                    let count = Glibc.write(descriptor, rest.baseAddress(in: bytes), rest.count)
                    guard count > 0 else { return }
                    rest = rest.dropFirst(count)
                }
            }
        }
    }
}

extension Slice where Base == UnsafeBufferPointer<UInt8> {
    fileprivate func baseAddress(in base: Base) -> UnsafePointer<UInt8>? { base.baseAddress.map { $0 + startIndex } }
}

/// A swift-log backend over `LogWriter`.
struct LogLines: LogHandler {
    private let writer: LogWriter
    private let label: String
    private let area: LogLevels.Cell
    /// Set for one logger alone, by whoever wants it to differ from its area.
    private var own: Logger.Level?
    var metadata: Logger.Metadata = [:]

    init(label: String, writer: LogWriter, level: LogLevels.Cell) {
        self.label = label
        self.writer = writer
        area = level
    }

    var logLevel: Logger.Level {
        get { own ?? area.level }
        set { own = newValue }
    }

    subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var all = metadata
        if let extra = event.metadata { all.merge(extra) { $1 } }
        let facts = all.sorted { $0.key < $1.key }
        switch writer.format {
        case .text:
            var line = "\(Self.now) \(event.level.rawValue) \(label): \(event.message)"
            for (key, value) in facts { line += " \(key)=\(Self.quoted("\(value)"))" }
            writer.write(Self.oneLine(line))
        case .json:
            var line =
                "{\"time\":\"\(Self.now)\",\"level\":\"\(event.level.rawValue)\",\"area\":\(Self.json(label)),\"message\":\(Self.json("\(event.message)"))"
            for (key, value) in facts { line += ",\(Self.json(key)):\(Self.json("\(value)"))" }
            writer.write(line + "}")
        }
    }

    private static var now: String {
        var t = timespec()
        clock_gettime(CLOCK_REALTIME, &t)
        var parts = tm()
        gmtime_r(&t.tv_sec, &parts)
        func two(_ n: Int32) -> String { n < 10 ? "0\(n)" : "\(n)" }
        let ms = String(t.tv_nsec / 1_000_000 + 1000).dropFirst()
        return
            "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(ms)Z"
    }

    private static func quoted(_ text: String) -> String {
        text.isEmpty || text.utf8.contains(where: { $0 <= 0x20 || $0 == 0x22 }) ? json(text) : text
    }

    /// What strangers put into a value must not begin a new line.
    private static func oneLine(_ text: String) -> String {
        text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F })
            ? String(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : Character($0) }) : text
    }

    private static func json(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
