internal import AdminLanguage
internal import Console
internal import Glibc

/// Writing, without losing a byte and without Foundation.
enum Output {
    static func out(_ text: String) { write(STDOUT_FILENO, text) }
    static func error(_ text: String) { write(STDERR_FILENO, text) }

    /// False when not all of it could be written.
    @discardableResult
    static func write(_ descriptor: Int32, _ text: String) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if count < 0, errno == EINTR || errno == EAGAIN { continue }
                guard count > 0 else { return false }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
            return true
        }
    }
}

/// Where a reply is shown: at once, page by page, or held for whoever draws it.
final class Display {
    enum Manner { case plain, paged, held }

    /// Whether this command's reply is for programs.
    private(set) var isJSON: Bool
    private let manner: Manner
    /// What was written, when it is held.
    private(set) var held = ""
    /// Whether the person has seen enough: nothing more is shown.
    private(set) var isLeft = false
    private var size: TerminalSize?
    private var rows = 0
    private var isEndless = false
    private var pager = Pager()

    init(isJSON: Bool, manner: Manner = .plain) {
        self.isJSON = isJSON
        self.manner = manner
        size = manner == .held || isatty(STDOUT_FILENO) == 1 ? TerminalSize.now : nil
    }

    /// Whether somebody else draws what is shown.
    var isHeld: Bool { manner == .held }

    /// The cells of a line; nil where there is no terminal.
    var width: Int? { size?.columns }

    /// A command begins.
    func begin(isJSON: Bool) {
        self.isJSON = isJSON
        if size != nil { size = TerminalSize.now }
        rows = 0
        isLeft = false
        isEndless = false
        held = ""
    }

    /// The reply has no end: it does not stop at pages either.
    func goesOn() { isEndless = true }

    func show(_ rendered: Rendered) {
        if !rendered.out.isEmpty { out(rendered.out) }
        if !rendered.err.isEmpty { error(rendered.err) }
    }

    func out(_ text: String) { write(STDOUT_FILENO, text) }
    func error(_ text: String) { write(STDERR_FILENO, text) }

    private func write(_ descriptor: Int32, _ text: String) {
        guard !isLeft else { return }
        switch manner {
        case .plain: Output.write(descriptor, text)
        case .held: held += text
        case .paged: page(descriptor, text)
        }
    }

    private func page(_ descriptor: Int32, _ text: String) {
        guard let size, !isEndless else {
            Output.write(descriptor, text)
            return
        }
        var page = ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            let taken = max(1, (CellWidth.of(line) + size.columns - 1) / size.columns)
            if rows + taken > size.rows - 1 {
                Output.write(descriptor, page)
                page = ""
                switch pager.wait() {
                case .page: rows = 0
                case .line: rows -= taken
                case .leave:
                    isLeft = true
                    return
                }
            }
            rows += taken
            page += line + "\n"
        }
        Output.write(descriptor, page)
    }
}

/// The person at the end of a page.
struct Pager {
    enum Answer { case page, line, leave }

    private var decoder = KeyDecoder()
    /// Keys that came together with the one that was an answer.
    private var ahead: [Key] = []

    /// Asks on the terminal, and takes the question away again.
    mutating func wait() -> Answer {
        guard let mode = TerminalMode() else { return .page }
        mode.enter(.editing)
        defer { mode.enter(.before) }
        Output.error("\u{1B}[7m--more--\u{1B}[m (space, enter, q)")
        defer { Output.error("\r\u{1B}[K") }
        while true {
            while !ahead.isEmpty {
                switch ahead.removeFirst() {
                case .text(" "), .pageDown: return .page
                case .enter, .down: return .line
                case .text("q"), .text("Q"), .escape, .control("c"), .control("d"):
                    ahead = []
                    return .leave
                default: break
                }
            }
            guard let keys = TerminalKeys.read(&decoder) else { return .leave }
            ahead = keys
        }
    }
}
