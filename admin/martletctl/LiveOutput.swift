internal import AdminLanguage
internal import Glibc

/// Where the reply of a command without end goes: to the screen line by line, or to a file.
struct LiveOutput {
    /// The words for the node, which writes no files here.
    let words: [String]
    private var renderer: LiveRenderer
    private var file: Int32?
    private let path: String

    /// Nil for a command whose reply ends by itself, or one that is not well formed: that is for the node to refuse.
    init?(_ options: Options) throws(Failure) {
        guard let invocation = try? CommandTable.parse(Words.line(options.words)), invocation.command.isEndless else { return nil }
        renderer = LiveRenderer(isJSON: options.json)
        guard let path = invocation.option("file") else {
            words = options.words
            path = ""
            return
        }
        words = Self.without("--file", options.words)
        self.path = path
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            let reason = errno
            throw Failure(
                .failure,
                reason == EEXIST
                    ? "\(path) is there already: name a file that is not" : "\(path) cannot be made: \(String(cString: strerror(reason)))")
        }
        file = descriptor
    }

    /// The words without an option and its value.
    private static func without(_ option: String, _ words: [String]) -> [String] {
        var left: [String] = []
        var isValue = false
        for (place, word) in words.enumerated() {
            if isValue {
                isValue = false
            } else if word == "--" {
                return left + words[place...]
            } else if word == option {
                isValue = true
            } else if !word.hasPrefix(option + "=") {
                left.append(word)
            }
        }
        return left
    }

    /// Takes the next line of the reply; what it returns is for the screen.
    mutating func take(_ line: ReplyLine) throws(Failure) -> Rendered {
        var shown = renderer.take(line)
        guard let file else { return shown }
        if !shown.out.isEmpty, !Output.write(file, shown.out) {
            throw Failure(.failure, "\(path) cannot be written: \(String(cString: strerror(errno)))")
        }
        shown.out = ""
        if line.isEnd {
            close(file)
            self.file = nil
        }
        return shown
    }
}
