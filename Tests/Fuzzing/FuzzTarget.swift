/// One thing of the server that reads what comes from outside, and what must hold whatever it reads.
///
/// Overview: a target is a function over bytes. It returns when every promise held, throws `Breach` when one did not, and a trap is a
/// breach as well. `martlet-fuzz` drives it with chance from a seed, or, built with libFuzzer, with what the code covers.
public struct FuzzTarget: Sendable {
    /// What `martlet-fuzz` and `ops/fuzz` call it.
    public let name: String
    /// What it holds, in a sentence.
    public let promise: String
    /// The most bytes an input has.
    public let longest: Int
    /// What inputs may be put together from, besides the seeds.
    let words: [String]
    /// Inputs that lead into the depth: what the writers write, and examples.
    let seeds: @Sendable () -> [[UInt8]]
    let check: @Sendable ([UInt8]) throws(Breach) -> Void

    init(
        _ name: String, _ promise: String, longest: Int = 2_048, words: [String] = [], seeds: @escaping @Sendable () -> [[UInt8]],
        check: @escaping @Sendable ([UInt8]) throws(Breach) -> Void
    ) {
        self.name = name
        self.promise = promise
        self.longest = longest
        self.words = words
        self.seeds = seeds
        self.check = check
    }

    /// The words, for other fuzzers.
    public var dictionary: [[UInt8]] { words.map { Array($0.utf8) }.filter { !$0.isEmpty && $0.count <= 64 } }

    /// Tries one input; what is beyond the longest is cut off.
    public func run(_ input: [UInt8]) throws(Breach) {
        try check(input.count > longest ? Array(input.prefix(longest)) : input)
    }
}

/// A promise that did not hold.
public struct Breach: Error, Equatable, CustomStringConvertible {
    public let description: String

    init(_ sentence: String) { description = sentence }
}

/// Breaches unless the condition holds.
func hold(_ condition: @autoclosure () -> Bool, _ sentence: @autoclosure () -> String) throws(Breach) {
    if !condition() { throw Breach(sentence()) }
}

/// The bytes of an input, taken one by one as choices, then as they stand.
struct Choices {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The next byte; 0 when there is none left.
    mutating func byte() -> UInt8 {
        guard position < bytes.count else { return 0 }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func below(_ bound: Int) -> Int { Int(byte()) % max(1, bound) }

    mutating func flag() -> Bool { byte() & 1 == 1 }

    mutating func number() -> UInt64 {
        var value: UInt64 = 0
        for _ in 0..<8 { value = value << 8 | UInt64(byte()) }
        return value
    }

    /// Up to `length` bytes.
    mutating func take(_ length: Int) -> [UInt8] {
        let end = min(bytes.count, position + max(0, length))
        defer { position = end }
        return Array(bytes[position..<end])
    }

    /// Text behind its length.
    mutating func text() -> String { String(decoding: take(Int(byte())), as: UTF8.self) }

    /// All that is left.
    mutating func rest() -> [UInt8] { take(bytes.count) }

    var isAtEnd: Bool { position >= bytes.count }
}
