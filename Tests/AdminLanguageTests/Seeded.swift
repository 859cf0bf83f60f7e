/// A generator whose sequence is fixed by its seed, so that a failing property can be run again.
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    /// SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A text of up to `length` scalars, rich in what a parser may trip over.
    mutating func text(upTo length: Int) -> String {
        let pool: [Unicode.Scalar] = [
            "a", "z", "0", "9", "-", "+", ".", "e", "E", " ", "\t", "\n", "\r", "\"", "\\", "{", "}", "u", "n", "=", "#", "|", "%", "!",
            ":", "?",
            "@", "/", "ü", "\u{301}", "\u{0}", "\u{1B}", "\u{7F}", "\u{85}", "\u{2028}", "\u{202E}", "\u{200D}", "\u{1F600}", "\u{10FFFF}",
        ]
        var scalars = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0...length, using: &self) {
            if let scalar = pool.randomElement(using: &self) { scalars.append(scalar) }
        }
        return String(scalars)
    }
}
