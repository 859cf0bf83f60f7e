internal import CShims
internal import Glibc

/// What the kernel knows of this process, under the names that every exporter gives it, and of the machine's clock. All of it is read when
/// somebody asks, from `/proc`, on the thread that asks.
public enum ProcessMetrics {
    /// - Throws: `RegistrationError` when a name is taken.
    public static func register(in registry: Registry) throws(RegistrationError) {
        func one(_ name: String, _ help: String, _ read: @escaping @Sendable () -> Double?) throws(RegistrationError) {
            try registry.samples(name, help: help) { read().map { [Registry.Sample([], $0)] } ?? [] }
        }
        try one("process_cpu_seconds_total", "Processor time of this process, user and system.") { cpuSeconds }
        try one("process_resident_memory_bytes", "Memory of this process that is in RAM.") { memory(1) }
        try one("martlet_memory_bytes", "Memory that is this process's own: what is resident without the pages of the store's file.") {
            ownMemory
        }
        try one("process_virtual_memory_bytes", "Address space of this process; most of it is the reserved map of the store.") { memory(0) }
        try one("process_start_time_seconds", "When this process was started, in seconds since 1970.") { startTime }
        try one("process_open_fds", "File descriptors that are open.") { entries(of: "/proc/self/fd").map { Double($0.count) } }
        try one("process_max_fds", "File descriptors that may be open (ulimit -n).") { descriptorLimit }
        try one("process_threads", "Threads of this process.") { entries(of: "/proc/self/task").map { Double($0.count) } }
        try registry.samples(
            "martlet_thread_cpu_seconds_total",
            help: "Processor time by thread: NIO-ELT-0-#N are the event loops, store-committer writes the store."
        ) { threads.map { Registry.Sample([("thread", $0.name)], $0.seconds) } }
        try one("martlet_clock_synchronized", "1 while the kernel believes that the machine's clock is kept right (NTP).") {
            clock.map { $0.isSynchronized ? 1 : 0 }
        }
        try one("martlet_clock_error_seconds", "By how much the machine's clock may be wrong, as the kernel estimates it.") { clock?.error }
    }

    /// Memory of the process's own in bytes, without pages of the store's file, which the kernel takes back at will; 0 when it cannot
    /// be read.
    public static var ownBytes: UInt64 { ownMemory.map { UInt64($0) } ?? 0 }

    /// Seconds of processor time of this process.
    public static var cpuSeconds: Double? {
        var time = timespec()
        guard clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 else { return nil }
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Processor time of the threads by name; those of one name are one.
    public static var threads: [(name: String, seconds: Double)] {
        let tick = Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
        var sums: [String: Double] = [:]
        for thread in entries(of: "/proc/self/task") ?? [] {
            guard let text = read("/proc/self/task/\(thread)/stat"), let name = name(in: text), let fields = fields(of: text),
                fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12])
            else { continue }
            sums[name, default: 0] += (user + system) / tick
        }
        return sums.map { ($0.key, $0.value) }.sorted { $0.name < $1.name }
    }

    // MARK: /proc

    /// A field of `statm`: 0 the address space, 1 what is resident; in bytes.
    private static func memory(_ field: Int) -> Double? {
        guard let text = read("/proc/self/statm") else { return nil }
        let words = text.split(separator: " ")
        guard field < words.count, let pages = Double(words[field]) else { return nil }
        return pages * Double(max(0, sysconf(Int32(_SC_PAGESIZE))))
    }

    private static var ownMemory: Double? {
        for line in read("/proc/self/status")?.split(separator: "\n") ?? [] where line.hasPrefix("RssAnon:") {
            return line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { word in Double(word) }.map { $0 * 1024 }
        }
        return nil
    }

    private static var descriptorLimit: Double? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
        return limit.rlim_cur == rlim_t.max ? .infinity : Double(limit.rlim_cur)
    }

    private static var startTime: Double? {
        guard let text = read("/proc/self/stat"), let fields = fields(of: text), fields.count > 19, let ticks = Double(fields[19]),
            let boot = read("/proc/stat")?.split(separator: "\n").first(where: { $0.hasPrefix("btime ") })?.dropFirst(6),
            let seconds = Double(boot)
        else { return nil }
        return seconds + ticks / Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
    }

    /// The fields of `stat` behind the name, which may itself hold spaces and brackets; the first is the state.
    private static func fields(of text: String) -> [Substring]? {
        text.lastIndex(of: ")").map { text[text.index(after: $0)...].split(separator: " ") }
    }

    private static func name(in text: String) -> String? {
        guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")"), open < close else { return nil }
        return String(text[text.index(after: open)..<close])
    }

    /// The names in a folder that are numbers.
    private static func entries(of path: String) -> [String]? {
        guard let folder = opendir(path) else { return nil }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = Glibc.readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if Int(name) != nil { names.append(name) }
        }
        return names
    }

    private static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count < 1 << 20 {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
    }

    // MARK: The clock

    /// What the kernel says of the machine's clock; nil where it may not be asked.
    public static var clock: (isSynchronized: Bool, error: Double)? {
        var isSynchronized: CInt = 0
        var error = 0
        guard martlet_clock_state(&isSynchronized, &error) == 0 else { return nil }
        return (isSynchronized != 0, Double(error) / 1e6)
    }
}
