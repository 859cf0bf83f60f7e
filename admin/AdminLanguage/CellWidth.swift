/// How many cells of a terminal a text takes.
///
/// A grapheme cluster counts as its widest scalar, as terminals that know clusters draw it: marks take none, ideographs, syllables of
/// Hangul and pictures two.
public enum CellWidth {
    /// The cells of a text without control characters.
    public static func of(_ text: some StringProtocol) -> Int {
        if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.utf8.count }
        return text.reduce(0) { $0 + of($1) }
    }

    /// The cells of one character.
    public static func of(_ character: Character) -> Int {
        var widest = 0
        for scalar in character.unicodeScalars {
            // The selector asks for the picture instead of the sign.
            if scalar.value == 0xFE0F { return 2 }
            widest = max(widest, of(scalar))
        }
        return widest
    }

    private static func of(_ scalar: Unicode.Scalar) -> Int {
        let value = scalar.value
        if value < 0x300 { return 1 }
        if wide.contains(where: { $0.contains(value) }) || scalar.properties.isEmojiPresentation { return 2 }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        // The vowels and finals of Hangul stand in the cells of their initial.
        default: return (0x1160...0x11FF).contains(value) ? 0 : 1
        }
    }

    /// East Asian Wide and Fullwidth (UAX #11) beside the pictures.
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x2329...0x232A, 0x2E80...0x303E, 0x3041...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF,
        0xFE10...0xFE19, 0xFE30...0xFE6F, 0xFF01...0xFF60, 0xFFE0...0xFFE6, 0x16FE0...0x18CFF, 0x1AFF0...0x1B2FF, 0x1F200...0x1F265,
        0x20000...0x2FFFD, 0x30000...0x3FFFD,
    ]

    /// The text in at most `cells` cells: where it is longer its middle gives way to `…`, because the ends of JIDs and paths tell them
    /// apart.
    public static func shortened(_ text: String, to cells: Int) -> String {
        guard cells > 0 else { return "" }
        guard of(text) > cells else { return text }
        let tail = (cells - 1) / 2
        let end = suffix(of: text, cells: tail)
        return prefix(of: text, cells: cells - 1 - tail) + "…" + end
    }

    /// As much of the beginning as fits.
    public static func prefix(of text: String, cells: Int) -> String {
        var left = cells
        return String(
            text.prefix { character in
                left -= of(character)
                return left >= 0
            })
    }

    private static func suffix(of text: String, cells: Int) -> String {
        var left = cells
        var end: [Character] = []
        for character in text.reversed() {
            left -= of(character)
            guard left >= 0 else { break }
            end.append(character)
        }
        return String(end.reversed())
    }

    /// Breaks a text into lines of at most `cells` cells, at spaces where there are any.
    public static func wrapped(_ text: String, cells: Int) -> [String] {
        let cells = max(cells, 2)
        var lines: [String] = []
        var rest = Substring(text)
        while of(rest) > cells {
            let fitting = prefix(of: String(rest), cells: cells)
            var end = rest.index(rest.startIndex, offsetBy: max(fitting.count, 1))
            var next = end
            if rest[end] == " " {
                next = rest.index(after: end)
            } else if let space = rest[..<end].lastIndex(of: " "), space > rest.startIndex {
                end = space
                next = rest.index(after: space)
            }
            lines.append(String(rest[..<end]))
            rest = rest[next...]
        }
        return lines + [String(rest)]
    }
}
