internal import Glibc

/// Ids of streams: 128 bits of chance each, unique and not to be guessed (RFC 6120 §4.7.3), as 32 hexadecimal digits.
///
/// The system is asked for many at once: one of each system call costs as much as the rest of its stream's header.
struct StreamIDs {
    private static let bytes = 16
    /// Up to here the system gives all that is asked for, or nothing.
    private static let most = 256

    private var random: [UInt8] = []
    /// Bytes of `random` that are spent.
    private var used = 0
    private let reserve: Int

    /// - Parameter reserve: ids to ask for at once, 1 to 16.
    init(reserve: Int = 16) { self.reserve = min(max(reserve, 1), Self.most / Self.bytes) }

    /// For those who need one now and then.
    static func one() -> String {
        var ids = StreamIDs(reserve: 1)
        return ids.next()
    }

    mutating func next() -> String {
        if random.count - used < Self.bytes { refill() }
        let first = used
        used += Self.bytes
        return String(unsafeUninitializedCapacity: 2 * Self.bytes) { text in
            for index in 0..<Self.bytes {
                let byte = random[first + index]
                text[2 * index] = Self.digit(byte >> 4)
                text[2 * index + 1] = Self.digit(byte & 15)
            }
            return 2 * Self.bytes
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }

    private mutating func refill() {
        random = [UInt8](repeating: 0, count: reserve * Self.bytes)
        used = 0
        if getentropy(&random, random.count) == 0 { return }
        // The system has no chance yet: the generator waits until it has.
        var generator = SystemRandomNumberGenerator()
        for index in random.indices { random[index] = generator.next() }
    }
}
