import Glibc

/// The process begins anew: the same program file, which may be a newer one by now, with the same words and environment, under the same
/// process id, so that whoever watches over it need not be told.
public enum NewProcess {
    /// Replaces this process. Returns, with the reason, only when that is not possible.
    ///
    /// Nothing may be left that has to be ended in order: every other thread is gone at once.
    public static func begin() -> String {
        guard let program = programFile() else { return "/proc/self/exe cannot be read: \(String(cString: strerror(errno)))" }
        var words: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) } + [nil]
        // As it was when the process began, with what the service manager said in it.
        var environment: [UnsafeMutablePointer<CChar>?] = initialEnvironment().map { strdup($0) } + [nil]
        var none = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, nil)
        for number in [SIGTERM, SIGINT, SIGHUP, SIGPIPE] { signal(number, SIG_DFL) }
        // Files that a library opened without the flag stay behind too.
        for descriptor in openFiles() where descriptor > 2 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        execve(program, &words, &environment)
        return "\(program) cannot be started: \(String(cString: strerror(errno)))"
    }

    /// Where the program is now: a package that was upgraded has put a new file in the place of the old one.
    private static func programFile() -> String? {
        var path = [CChar](repeating: 0, count: 4_096)
        let length = readlink("/proc/self/exe", &path, path.count - 1)
        guard length > 0 else { return nil }
        let name = String(decoding: path.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let gone = " (deleted)"
        return name.hasSuffix(gone) ? String(name.dropLast(gone.count)) : name
    }

    private static func openFiles() -> [Int32] {
        guard let directory = opendir("/proc/self/fd") else { return [] }
        defer { closedir(directory) }
        var all: [Int32] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if let descriptor = Int32(name) { all.append(descriptor) }
        }
        return all
    }

    private static func initialEnvironment() -> [String] {
        guard let file = fopen("/proc/self/environ", "re") else { return [] }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
        return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }
}
