internal import AdminLanguage

/// A line on a terminal: what to write so that prompt, text and cursor are seen, over as many rows as they take.
public struct LineView: Sendable {
    /// The cells of a row.
    public private(set) var width: Int
    /// The rows of the screen; a text with more is shown around the cursor.
    public private(set) var height: Int
    /// The rows that are drawn, as they were laid out, and in which of them the cursor stands.
    private var rows: [[Character]] = []
    private var cursorRow = 0

    public init(width: Int, height: Int) {
        self.width = max(width, 2)
        self.height = max(height, 1)
    }

    /// Draws over what was drawn before.
    public mutating func draw(prompt: String, text: [Character], cursor: Int) -> String {
        let (all, place) = layout(Array(prompt) + text, cursor: prompt.count + cursor)
        // A window of the rows around the cursor, when there are more than the screen has.
        let first = min(max(place.row - height + 1, 0), max(all.count - height, 0))
        let shown = Array(all[first..<min(first + height, all.count)])
        var out = begin()
        for (number, row) in shown.enumerated() {
            // A full row goes over by itself when something follows, so that the terminal knows it as one line.
            if number > 0, row.isEmpty { out += "\r\n" }
            out += String(row)
        }
        rows = shown
        cursorRow = place.row - first
        out += Self.up(shown.count - 1 - cursorRow) + "\r" + (place.column > 0 ? "\u{1B}[\(place.column)C" : "")
        return out
    }

    /// Moves to the beginning of what is drawn, and takes it away.
    public mutating func erase() -> String {
        defer { forget() }
        return begin()
    }

    /// Moves below what is drawn.
    public mutating func leave() -> String {
        defer { forget() }
        let below = rows.count - 1 - cursorRow
        return (below > 0 ? "\u{1B}[\(below)B" : "") + "\r\n"
    }

    /// Something else was written: the next line begins where the cursor stands.
    public mutating func forget() {
        rows = []
        cursorRow = 0
    }

    /// The screen has another size: terminals break the rows anew that went over by themselves.
    public mutating func resize(width: Int, height: Int) {
        let (new, newHeight) = (max(width, 2), max(height, 1))
        guard new != self.width || newHeight != self.height else { return }
        let before = rows.prefix(cursorRow + 1).flatMap(\.self)
        self.width = new
        self.height = newHeight
        guard !rows.isEmpty else { return }
        // Where the cursor was in its row is lost when that is broken: the row before its end is never above its beginning.
        rows = layout(rows.flatMap(\.self), cursor: 0).rows
        cursorRow = min(layout(before, cursor: before.count).place.row, rows.count - 1)
    }

    private func begin() -> String { Self.up(cursorRow) + "\r\u{1B}[J" }

    private static func up(_ count: Int) -> String { count > 0 ? "\u{1B}[\(count)A" : "" }

    /// Breaks characters into rows, and finds the cursor.
    private func layout(_ text: [Character], cursor: Int) -> (rows: [[Character]], place: (row: Int, column: Int)) {
        var rows: [[Character]] = [[]]
        var column = 0
        var place = (row: 0, column: 0)
        for (index, character) in text.enumerated() {
            let cells = CellWidth.of(character)
            if column + cells > width {
                rows.append([])
                column = 0
            }
            if index == cursor { place = (rows.count - 1, column) }
            rows[rows.count - 1].append(character)
            column += cells
        }
        // Behind a full row the cursor stands in the next.
        if column >= width {
            rows.append([])
            column = 0
        }
        if cursor >= text.count { place = (rows.count - 1, column) }
        return (rows, place)
    }
}

/// Words in columns, as many as fit, going down.
public enum Columns {
    /// The lines, without their ends.
    public static func lines(_ words: [String], width: Int) -> [String] {
        guard let widest = words.map({ CellWidth.of($0) }).max() else { return [] }
        let columns = max(1, min(words.count, (width + 2) / (widest + 2)))
        let rows = (words.count + columns - 1) / columns
        return (0..<rows).map { row in
            var line = ""
            for column in 0..<columns {
                let index = column * rows + row
                guard index < words.count else { break }
                line += words[index]
                guard index + rows < words.count else { break }
                line += String(repeating: " ", count: widest - CellWidth.of(words[index]) + 2)
            }
            return line
        }
    }
}
