internal import AdminLanguage
internal import Glibc

/// Finding a node that answers.
enum Search {
    /// How long one of several nodes may keep silent before the next is tried, in milliseconds. A stopped process still
    /// takes connections: only its greeting shows that it lives. The last is given all the time there is: a busy machine makes all slow.
    private static let patience: Int64 = 2000

    /// The socket asked for, or of a directory the first that greets.
    ///
    /// - Parameter first: the socket that answered last; the others beside it are tried then too.
    static func connect(_ options: Options, first: String? = nil) throws(Failure) -> Connection {
        var (sockets, place) = try candidates(options)
        if let first {
            if let directory = cluster(of: first), let beside = try? Search.sockets(of: directory) { (sockets, place) = beside }
            sockets = [first] + sockets.filter { $0 != first }
        }
        var failures: [String] = []
        for (index, socket) in sockets.enumerated() {
            do {
                let all = Int64(options.timeout) * 1000
                let wait = index == sockets.count - 1 ? all : min(patience, all)
                return try Connection(socket, greetingWithin: wait)
            } catch {
                failures.append(error.sentence)
            }
        }
        let sentence = failures.count == 1 ? failures[0] : "no node answers in \(place): " + failures.joined(separator: "; ")
        throw Failure(.noConnection, sentence)
    }

    /// The directory of the cluster to which a socket belongs, by its path.
    static func cluster(of socket: String) -> String? {
        guard let slash = socket.lastIndex(of: "/") else { return nil }
        let run = socket[..<slash]
        guard run.hasSuffix("/run") else { return nil }
        return String(run.dropLast(4))
    }

    private static func candidates(_ options: Options) throws(Failure) -> (sockets: [String], place: String) {
        if let socket = options.socket { return ([socket], socket) }
        if let directory = options.directory { return try sockets(of: directory) }
        if let variable = getenv("MARTLET_SOCKET").map({ String(cString: $0) }), !variable.isEmpty {
            return isDirectory(variable) ? try sockets(of: variable) : ([variable], variable)
        }
        for directory in ["data", "/var/lib/martlet"] where isDirectory(directory + "/run") { return try sockets(of: directory) }
        throw Failure(
            .noConnection,
            "no node was found here: name the cluster's directory with --directory, or a socket with --socket or MARTLET_SOCKET")
    }

    /// The admin sockets of a cluster's directory, by the names of their nodes.
    private static func sockets(of directory: String) throws(Failure) -> (sockets: [String], place: String) {
        let run = directory + "/run"
        guard let stream = opendir(run) else {
            let reason = errno
            throw Failure(
                .noConnection,
                reason == EACCES
                    ? "\(run): permission denied: run martletctl as the user of the server"
                    : "\(run): \(String(cString: strerror(reason))): is \(directory) the directory of a cluster, and does it run?")
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name.hasPrefix("admin-"), name.hasSuffix(".sock") { names.append(name) }
        }
        guard !names.isEmpty else { throw Failure(.noConnection, "no node runs in \(directory): there is no \(run)/admin-*.sock") }
        return (names.sorted().map { run + "/" + $0 }, run)
    }

    private static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}
