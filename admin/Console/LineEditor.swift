internal import AdminLanguage

/// A line being written: keys in, text and cursor out. It knows no terminal.
public struct LineEditor: Sendable {
    /// What a key led to.
    public enum Step: Equatable, Sendable {
        /// The line, or what is shown of it, is another.
        case changed
        /// Nothing could be done: ring the bell.
        case nothing
        /// The line is whole.
        case line(String)
        /// ctrl-c: the line is given up.
        case interrupt
        /// ctrl-d on an empty line.
        case end
        /// Complete the word before the cursor.
        case complete
        /// ctrl-l: clear the screen.
        case clear
        /// ctrl-z: stop the program.
        case suspend
    }

    /// The longest line, in bytes: what a request may be.
    private static let longest = Words.longestRequest
    private static let mostKills = 20
    private static let mostUndos = 200

    /// The line in characters.
    public private(set) var text: [Character] = []
    /// Before which character the cursor stands.
    public private(set) var cursor = 0
    /// What is searched for in the history, while it is.
    public private(set) var search: Search?

    /// A search in the history, newest first.
    public struct Search: Equatable, Sendable {
        /// What the entry must contain.
        public internal(set) var wanted = ""
        /// Whether there is no such entry.
        public internal(set) var isFailing = false
        var place: Int
        let textBefore: [Character]
        let cursorBefore: Int
    }

    private let history: [String]
    /// The entry that is shown; the count: the line that is new.
    private var place: Int
    /// The lines of history that were changed, and the new one while an old one is shown.
    private var drafts: [Int: [Character]] = [:]
    private var kills: [[Character]]
    private var lastKill: KillDirection?
    /// The characters that the last yank put before the cursor.
    private var yanked: Int?
    private var undos: [(text: [Character], cursor: Int)] = []
    private var isTyping = false

    private enum KillDirection { case forward, backward }

    /// An empty line.
    ///
    /// - Parameters:
    ///   - history: the lines before, oldest first.
    ///   - kills: what was killed on lines before (`killed`).
    public init(history: [String] = [], kills: [[Character]] = []) {
        self.history = history
        self.kills = kills
        place = history.count
    }

    /// What was killed, the last first, for the next line.
    public var killed: [[Character]] { kills }

    /// Takes one key.
    public mutating func take(_ key: Key) -> Step {
        if search != nil, let step = takeInSearch(key) { return step }
        let killBefore = lastKill
        lastKill = nil
        let yankBefore = yanked
        yanked = nil
        if case .text = key {} else { isTyping = false }
        switch key {
        case .text(let scalar): return insert(scalar)
        case .paste(let text): return insert(pasted: text)
        case .enter: return .line(String(text))
        case .tab: return .complete
        case .left, .control("b"): return move(to: cursor - 1)
        case .right, .control("f"): return move(to: cursor + 1)
        case .home, .control("a"): return moveFreely(to: 0)
        case .end, .control("e"): return moveFreely(to: text.count)
        case .wordLeft, .alt("b"): return moveFreely(to: wordStart)
        case .wordRight, .alt("f"): return moveFreely(to: wordEnd)
        case .backspace: return remove(cursor - 1, cursor)
        case .delete: return remove(cursor, cursor + 1)
        case .control("d"): return text.isEmpty ? .end : remove(cursor, cursor + 1)
        case .control("k"): return kill(cursor, text.count, .forward, after: killBefore)
        case .control("u"): return kill(0, cursor, .backward, after: killBefore)
        case .control("w"): return kill(spaceStart, cursor, .backward, after: killBefore)
        case .altBackspace: return kill(wordStart, cursor, .backward, after: killBefore)
        case .alt("d"), .altDelete: return kill(cursor, wordEnd, .forward, after: killBefore)
        case .control("y"): return yank()
        case .alt("y"): return yankOther(yankBefore)
        case .control("t"): return transpose()
        case .control("_"): return undo()
        case .up, .control("p"): return show(place - 1)
        case .down, .control("n"): return show(place + 1)
        case .alt("<"), .pageUp: return show(0)
        case .alt(">"), .pageDown: return show(history.count)
        case .control("r"): return beginSearch()
        case .control("c"): return .interrupt
        case .control("l"): return .clear
        case .control("z"): return .suspend
        case .control, .alt, .escape, .backTab: return .nothing
        }
    }

    /// Puts a word in the place of what stands from `start` to the cursor.
    public mutating func replace(from start: Int, with word: String) {
        guard start >= 0, start <= cursor else { return }
        remember()
        text.replaceSubrange(start..<cursor, with: Array(word))
        cursor = start + word.count
    }

    // MARK: Text

    private mutating func insert(_ scalar: Unicode.Scalar) -> Step {
        guard bytes + 4 <= Self.longest, !Words.isHidden(scalar) else { return .nothing }
        // Typing is undone as a whole.
        if !isTyping { remember() }
        isTyping = true
        // A mark joins the character before it.
        if cursor > 0 {
            let joined = String(text[cursor - 1]) + String(Character(scalar))
            if joined.count == 1, let character = joined.first {
                text[cursor - 1] = character
                return .changed
            }
        }
        text.insert(Character(scalar), at: cursor)
        cursor += 1
        return .changed
    }

    /// Pasted lines become one: nobody has read them yet, so none is run.
    private mutating func insert(pasted: String) -> Step {
        var plain = String.UnicodeScalarView()
        for scalar in pasted.unicodeScalars {
            if scalar == "\n" || scalar == "\r" || scalar == "\t" {
                if plain.last != " " { plain.append(" ") }
            } else if !Words.isHidden(scalar) {
                plain.append(scalar)
            }
        }
        while plain.last == " " { plain.removeLast() }
        let more = Array(String(plain))
        guard !more.isEmpty, bytes + String(more).utf8.count <= Self.longest else { return .nothing }
        remember()
        text.insert(contentsOf: more, at: cursor)
        cursor += more.count
        return .changed
    }

    private var bytes: Int { text.reduce(0) { $0 + $1.utf8.count } }

    private mutating func move(to place: Int) -> Step {
        guard (0...text.count).contains(place) else { return .nothing }
        cursor = place
        return .changed
    }

    private mutating func moveFreely(to place: Int) -> Step {
        cursor = place
        return .changed
    }

    private mutating func remove(_ start: Int, _ end: Int) -> Step {
        guard start >= 0, end <= text.count, start < end else { return .nothing }
        remember()
        text.removeSubrange(start..<end)
        cursor = start
        return .changed
    }

    private mutating func transpose() -> Step {
        guard cursor > 0, text.count > 1 else { return .nothing }
        remember()
        let second = cursor == text.count ? cursor - 1 : cursor
        text.swapAt(second - 1, second)
        cursor = second + 1
        return .changed
    }

    private mutating func remember() {
        undos.append((text, cursor))
        if undos.count > Self.mostUndos { undos.removeFirst() }
    }

    private mutating func undo() -> Step {
        guard let last = undos.popLast() else { return .nothing }
        (text, cursor) = last
        return .changed
    }

    // MARK: Words

    private static func isWord(_ character: Character) -> Bool { character.isLetter || character.isNumber }

    /// Where the word begins in which, or behind which, the cursor stands.
    private var wordStart: Int {
        var place = cursor
        while place > 0, !Self.isWord(text[place - 1]) { place -= 1 }
        while place > 0, Self.isWord(text[place - 1]) { place -= 1 }
        return place
    }

    private var wordEnd: Int {
        var place = cursor
        while place < text.count, !Self.isWord(text[place]) { place += 1 }
        while place < text.count, Self.isWord(text[place]) { place += 1 }
        return place
    }

    /// As `wordStart`, for words that are parted by spaces alone.
    private var spaceStart: Int {
        var place = cursor
        while place > 0, text[place - 1] == " " { place -= 1 }
        while place > 0, text[place - 1] != " " { place -= 1 }
        return place
    }

    // MARK: Kill and yank

    private mutating func kill(_ start: Int, _ end: Int, _ direction: KillDirection, after last: KillDirection?) -> Step {
        guard start < end else {
            lastKill = last
            return .nothing
        }
        remember()
        let killed = Array(text[start..<end])
        text.removeSubrange(start..<end)
        cursor = start
        // What is killed in a row is yanked as one.
        if last != nil, !kills.isEmpty {
            kills[0] = direction == .forward ? kills[0] + killed : killed + kills[0]
        } else {
            kills.insert(killed, at: 0)
            if kills.count > Self.mostKills { kills.removeLast() }
        }
        lastKill = direction
        return .changed
    }

    private mutating func yank() -> Step {
        guard let kill = kills.first, bytes + String(kill).utf8.count <= Self.longest else { return .nothing }
        remember()
        text.insert(contentsOf: kill, at: cursor)
        cursor += kill.count
        yanked = kill.count
        return .changed
    }

    /// Puts an older kill in the place of what was yanked just now.
    private mutating func yankOther(_ count: Int?) -> Step {
        guard let count, kills.count > 1, count <= cursor else { return .nothing }
        kills.append(kills.removeFirst())
        let kill = kills[0]
        guard bytes - count + String(kill).utf8.count <= Self.longest else { return .nothing }
        remember()
        text.replaceSubrange(cursor - count..<cursor, with: kill)
        cursor += kill.count - count
        yanked = kill.count
        return .changed
    }

    // MARK: History

    private mutating func show(_ wanted: Int) -> Step {
        guard (0...history.count).contains(wanted), wanted != place else { return .nothing }
        drafts[place] = text
        place = wanted
        text = drafts[wanted] ?? (wanted < history.count ? Array(history[wanted]) : [])
        cursor = text.count
        undos = []
        return .changed
    }

    private mutating func beginSearch() -> Step {
        search = Search(place: history.count, textBefore: text, cursorBefore: cursor)
        return .changed
    }

    /// nil: the key ends the search and then does what it does.
    private mutating func takeInSearch(_ key: Key) -> Step? {
        guard let before = search else { return nil }
        switch key {
        case .text(let scalar):
            search?.wanted.unicodeScalars.append(scalar)
            return find(from: min(before.place, history.count - 1), older: true)
        case .paste(let text):
            search?.wanted += text
            return find(from: min(before.place, history.count - 1), older: true)
        case .backspace:
            guard !before.wanted.isEmpty else { return .nothing }
            search?.wanted.removeLast()
            return find(from: history.count - 1, older: true)
        case .control("r"): return find(from: before.place - 1, older: true)
        case .control("s"): return find(from: before.place + 1, older: false)
        case .control("g"), .control("c"):
            text = before.textBefore
            cursor = before.cursorBefore
            search = nil
            return .changed
        case .escape:
            accept(before)
            return .changed
        default:
            accept(before)
            return nil
        }
    }

    private mutating func accept(_ found: Search) {
        search = nil
        guard found.place < history.count, !found.wanted.isEmpty else { return }
        drafts[place] = found.textBefore
        place = found.place
        undos = []
    }

    private mutating func find(from start: Int, older: Bool) -> Step {
        guard var current = search else { return .nothing }
        defer { search = current }
        guard !current.wanted.isEmpty else {
            current.isFailing = false
            current.place = history.count
            text = current.textBefore
            cursor = current.cursorBefore
            return .changed
        }
        var place = start
        while history.indices.contains(place) {
            if let range = Self.range(of: current.wanted, in: history[place]) {
                current.place = place
                current.isFailing = false
                text = Array(history[place])
                cursor = range
                return .changed
            }
            place += older ? -1 : 1
        }
        current.isFailing = true
        return .changed
    }

    /// Where in a line the wanted text begins, in characters.
    private static func range(of wanted: String, in line: String) -> Int? {
        let line = Array(line)
        let wanted = Array(wanted)
        guard wanted.count <= line.count else { return nil }
        return (0...line.count - wanted.count).first { line[$0...].starts(with: wanted) }
    }
}
