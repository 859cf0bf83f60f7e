internal import AdminLanguage
internal import Glibc
internal import PortableData

/// The files of an import, read piece by piece, as lines for the node. Files that a file includes are followed inside the folder of the
/// first alone.
final class ImportFeed {
    /// Bytes read at once.
    private static let chunk = 65_536
    /// Bytes of lines that one call makes, about.
    private static let enough = 131_072

    private struct OpenFile {
        var path: String
        var descriptor: Int32
        var reader: PortableReader
        var events: ArraySlice<PortableReader.Event> = []
        var isAtEnd = false
        /// What is wrong with it was said.
        var isTold = false
    }

    /// Users found so far.
    private(set) var users: Int64 = 0
    private var stack: [OpenFile] = []
    /// Main files not yet begun.
    private var waiting: ArraySlice<String>
    /// The folder that nothing outside of is read; nil: nothing is included.
    private let folder: String?
    private let host: String?
    /// In a folder: files that are parts of others, with whether one included them.
    private var parts: [String: Bool] = [:]
    private let isFolder: Bool
    private let inputDescriptor: Int32?

    /// - Parameters:
    ///   - path: absolute, or `-`.
    ///   - host: of a file that is a lone user.
    ///   - input: what `-` stands for.
    init(_ path: String, host: String?, input: Input) throws(Failure) {
        self.host = host
        guard path != "-" else {
            guard !input.endsAtDot else {
                throw Failure(
                    .usage, "- is standard input, where the commands come from here: name a file, or write < FILE behind the command")
            }
            inputDescriptor = input.descriptor
            folder = nil
            isFolder = false
            waiting = []
            stack = [OpenFile(path: "standard input", descriptor: input.descriptor, reader: PortableReader())]
            return
        }
        inputDescriptor = nil
        guard let real = Self.real(path) else {
            throw Failure(.usage, "\(path) cannot be opened (\(String(cString: strerror(errno))))")
        }
        var status = stat()
        guard stat(real, &status) == 0 else { throw Failure(.usage, "\(path) cannot be opened (\(String(cString: strerror(errno))))") }
        isFolder = status.st_mode & S_IFMT == S_IFDIR
        guard isFolder else {
            folder = Self.folder(of: real)
            waiting = [real]
            return
        }
        folder = real
        guard let names = Self.names(in: real) else {
            throw Failure(.usage, "\(path) cannot be read (\(String(cString: strerror(errno))))")
        }
        guard !names.isEmpty else { throw Failure(.usage, "\(path) holds no file whose name ends with .xml") }
        waiting = names.map { real + "/" + $0 }[...]
    }

    deinit { for file in stack where file.descriptor != inputDescriptor { close(file.descriptor) } }

    /// What to wait for before `more` is asked; nil: it never waits.
    var waitsFor: Int32? { inputDescriptor }

    /// Appends lines; false when there are no more.
    func more(into lines: inout [UInt8]) throws(Failure) -> Bool {
        let end = lines.count + Self.enough
        while lines.count < end {
            guard !stack.isEmpty else {
                guard let path = waiting.popFirst() else {
                    tellUnread(&lines)
                    return false
                }
                // A file that another included has been read.
                if parts[path] == true { continue }
                open(path, expecting: .serverData, &lines)
                continue
            }
            if let event = stack[stack.count - 1].events.popFirst() {
                take(event, &lines)
            } else if stack[stack.count - 1].isAtEnd {
                leave(&lines)
            } else {
                try read(&lines)
                // Standard input is waited for between two pieces.
                if inputDescriptor != nil, stack.last?.events.isEmpty == true { return true }
            }
        }
        return true
    }

    private func read(_ lines: inout [UInt8]) throws(Failure) {
        let top = stack.count - 1
        var chunk = [UInt8](repeating: 0, count: Self.chunk)
        let count = Glibc.read(stack[top].descriptor, &chunk, chunk.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return }
        let reader = stack[top].reader
        do throws(PortableFault) {
            if count < 0 {
                put(.broken(line: 0, reason: "it cannot be read (\(String(cString: strerror(errno))))"), &lines)
                stack[top].isAtEnd = true
            } else if count == 0 {
                stack[top].isAtEnd = true
                stack[top].events = try reader.finish()[...]
            } else {
                stack[top].events = try chunk.withUnsafeBytes { bytes in
                    Result { () throws(PortableFault) in try reader.read(UnsafeRawBufferPointer(rebasing: bytes[..<count])) }
                }.get()[...]
            }
        } catch {
            put(.broken(line: error.line, reason: error.sentence), &lines)
            stack[top].isAtEnd = true
            stack[top].isTold = true
        }
    }

    private func take(_ event: PortableReader.Event, _ lines: inout [UInt8]) {
        switch event {
        case .line(let line):
            if case .user = line { users += 1 }
            put(line, &lines)
        case .root(let root, let line):
            guard stack.count == 1 else { return }
            switch root {
            case .serverData, .part: break
            case .host:
                // In a folder it is a part of a file that includes it.
                guard isFolder else { break }
                setAside()
            case .user:
                if let host {
                    put(.host(line: line, jid: host), &lines)
                } else if isFolder {
                    setAside()
                } else {
                    put(.broken(line: line, reason: "it is one user and does not say of which host; give --host"), &lines)
                    stack[0].events = []
                    stack[0].isAtEnd = true
                }
            }
        case .include(let href, let root, let line): include(href, root, line, &lines)
        }
    }

    /// The file is a part of another.
    private func setAside() {
        let path = stack[0].path
        if parts[path] == nil { parts[path] = false }
        stack[0].events = []
        stack[0].isAtEnd = true
    }

    private func leave(_ lines: inout [UInt8]) {
        // What ended the reading in its last piece.
        if let fault = stack[stack.count - 1].reader.fault, !stack[stack.count - 1].isTold {
            put(.broken(line: fault.line, reason: fault.sentence), &lines)
        }
        let file = stack.removeLast()
        if file.descriptor != inputDescriptor { close(file.descriptor) }
        if let outer = stack.last { put(.file(outer.path), &lines) }
    }

    private func tellUnread(_ lines: inout [UInt8]) {
        for (path, isRead) in parts.sorted(by: { $0.key < $1.key }) where !isRead {
            put(.file(path), &lines)
            put(.passed(line: 0, kind: "file that is part of another, and none includes it"), &lines)
        }
        parts = [:]
    }

    // MARK: Files

    private func include(_ href: String, _ root: PortableReader.Root, _ line: Int, _ lines: inout [UInt8]) {
        guard let folder, let including = stack.last?.path else {
            return put(.broken(line: line, reason: "an include is not followed from standard input; give the folder"), &lines)
        }
        let base = Self.folder(of: including)
        for name in PortableInclude.names(of: href) {
            guard let real = Self.real(base + "/" + name) else { continue }
            guard real.hasPrefix(folder == "/" ? "/" : folder + "/") else {
                return put(.broken(line: line, reason: "an include leads out of the folder, and is not followed"), &lines)
            }
            parts[real] = true
            return open(real, expecting: root, &lines)
        }
        put(.broken(line: line, reason: "an include names a file that is not there, or that is not beside this one"), &lines)
    }

    private func open(_ path: String, expecting root: PortableReader.Root, _ lines: inout [UInt8]) {
        put(.file(path), &lines)
        // Not blocking, so that a pipe in the place of a file is refused and not waited for.
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        var status = stat()
        guard descriptor >= 0, fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            put(.broken(line: 0, reason: "it cannot be opened, or is no file"), &lines)
            if descriptor >= 0 { close(descriptor) }
            if let outer = stack.last { put(.file(outer.path), &lines) }
            return
        }
        stack.append(OpenFile(path: path, descriptor: descriptor, reader: PortableReader(expecting: root)))
    }

    private func put(_ line: PortableLine, _ lines: inout [UInt8]) {
        // No line begins with a dot: each begins with its kind.
        lines.append(contentsOf: line.text.utf8)
        lines.append(UInt8(ascii: "\n"))
    }

    private static func real(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }

    private static func folder(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")), slash > path.startIndex else { return "/" }
        return String(path[..<slash])
    }

    private static func names(in folder: String) -> [String]? {
        guard let directory = opendir(folder) else { return nil }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".xml") { names.append(name) }
        }
        return names.sorted()
    }
}
