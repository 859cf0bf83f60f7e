internal import AdminLanguage
internal import Glibc

/// `martletctl --complete WORDS… WORD`: what the last of the words may become, a line each. The shells' scripts ask it.
struct ShellCompletion {
    /// Milliseconds a node may take: the person waits for it.
    private static let patience: Int64 = 1_000

    private var options: Options
    private var before: ArraySlice<String>
    private let word: String

    init(_ options: Options) {
        self.options = options
        // A shell that cannot split as the person meant hands over the line as one.
        let words = options.words.first == "--line" ? Self.split(options.words.dropFirst().joined(separator: " ")) : options.words
        word = words.last ?? ""
        before = words.dropLast()
        self.options.words = []
    }

    func run() -> ExitStatus {
        var answer = self
        for word in answer.words() { Output.out(word + "\n") }
        return .success
    }

    private mutating func words() -> [String] {
        // The options of martletctl itself come first.
        while let first = before.first, first.utf8.starts(with: "-".utf8) {
            before = before.dropFirst()
            let parts = first.split(separator: "=", maxSplits: 1).map(String.init)
            guard let name = parts.first, Options.valued.contains(name) else { continue }
            guard let value = parts.count > 1 ? parts[1] : before.popFirst() else { return values(of: name, beginning: word) }
            if name == "--directory" { options.directory = value }
            if name == "--socket" { options.socket = value }
        }
        if before.isEmpty, let equals = word.firstIndex(of: "="), Options.valued.contains(String(word[..<equals])) {
            let name = String(word[..<equals])
            return values(of: name, beginning: String(word[word.index(after: equals)...])).map { "\(name)=\($0)" }
        }
        let commands = CommandTable.client + CommandTable.all.filter { !$0.isDebug }
        var found = Completion.Answer(Array(before), word, commands)
        if before.isEmpty { found.words += (Options.valued + Options.flags).filter { !word.isEmpty && $0.hasPrefix(word) } }
        guard let source = found.completer.source else { return found.words }
        if source == .file || source == .backup { found.add(Files.beginning(with: found.completer.prefix)) }
        if let request = found.completer.request() {
            var options = self.options
            options.timeout = 1
            if let connection = try? Search.connect(options), let more = try? connection.words(request, within: Self.patience) {
                found.add(more)
            }
        }
        return found.words
    }

    private func values(of option: String, beginning prefix: String) -> [String] {
        switch option {
        case "--generate": Manual.generated.filter { $0.hasPrefix(prefix) }
        case "--directory", "--socket": Files.beginning(with: prefix)
        default: []
        }
    }

    /// Splits a line of a shell before the cursor: quotes and backslashes, no expansions. The program's name is the first word.
    private static func split(_ line: String) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        var isEscaped = false
        for character in line {
            if isEscaped {
                word = (word ?? "") + String(character)
                isEscaped = false
            } else if character == "\\", quote != "'" {
                isEscaped = true
                word = word ?? ""
            } else if let open = quote {
                if character == open { quote = nil } else { word = (word ?? "") + String(character) }
            } else if character == "\"" || character == "'" {
                quote = character
                word = word ?? ""
            } else if character == " " || character == "\t" {
                if let word { words.append(word) }
                word = nil
            } else {
                word = (word ?? "") + String(character)
            }
        }
        return Array((words + [word ?? ""]).dropFirst())
    }
}

/// Names in the file system.
enum Files {
    private static let most = 1_000

    /// The paths that begin so; folders with a slash behind them.
    static func beginning(with prefix: String) -> [String] {
        let slash = prefix.lastIndex(of: "/")
        let folder = slash.map { String(prefix[...$0]) } ?? ""
        let name = slash.map { String(prefix[prefix.index(after: $0)...]) } ?? prefix
        guard let stream = opendir(folder.isEmpty ? "." : folder) else { return [] }
        defer { closedir(stream) }
        var found: [String] = []
        while let entry = readdir(stream), found.count < most {
            let text = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            guard text.utf8.starts(with: name.utf8), text != ".", text != "..", name.hasPrefix(".") || !text.hasPrefix("."),
                !text.unicodeScalars.contains(where: Words.isHidden)
            else { continue }
            var status = stat()
            let isFolder = stat(folder + text, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
            found.append(folder + text + (isFolder ? "/" : ""))
        }
        return found.sorted()
    }
}

extension Connection {
    /// The words of an answer to `complete`. Afterwards the connection is ready for the next request only when they came.
    func words(_ request: String, within milliseconds: Int64) throws(Failure) -> [String] {
        let deadline = monotonicMilliseconds() + milliseconds
        let bytes = Array((request + "\n").utf8)
        var sent = 0
        var parser = ReplyParser()
        var words: [String] = []
        while true {
            if sent < bytes.count { sent += try send(bytes[sent...]) }
            while let line = try nextLine() {
                guard let reply = try? parser.next(line) else { throw Failure(.noConnection, "the answer is not in the admin language") }
                if case .row(let values) = reply, case .text(let word)? = values.first { words.append(word) }
                if reply.isEnd { return words }
            }
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN) | (sent < bytes.count ? Int16(POLLOUT) : 0), revents: 0)
            let left = deadline - monotonicMilliseconds()
            guard left > 0, poll(&waiting, 1, Int32(clamping: left)) > 0 else {
                throw Failure(.noConnection, "node \(node) did not answer in time")
            }
            if waiting.revents & Int16(POLLIN | POLLHUP | POLLERR) != 0, try !receive() {
                throw Failure(.noConnection, "node \(node) closed the connection")
            }
        }
    }
}
