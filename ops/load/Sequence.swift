/// What came of one numbered sequence, from one sender to one receiver. Numbers begin with 0.
struct ReceivedSequence {
    /// All before it have come.
    private(set) var expected: UInt64 = 0
    /// Those beyond that came too early.
    private var early: Set<UInt64> = []
    private(set) var duplicates = 0
    private(set) var reordered = 0

    /// False when it had come before.
    mutating func receive(_ number: UInt64) -> Bool {
        guard number >= expected, !early.contains(number) else {
            duplicates += 1
            return false
        }
        guard number == expected else {
            reordered += 1
            early.insert(number)
            return true
        }
        expected += 1
        while early.remove(expected) != nil { expected += 1 }
        return true
    }

    /// Numbers below `sent` that have not come.
    func missing(of sent: UInt64) -> UInt64 { sent - min(sent, expected) - UInt64(early.count { $0 < sent }) }
}
