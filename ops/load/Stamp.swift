/// What a stanza of the load is called: its kind, who sent it, its number, and when it was to be sent, in nanoseconds. All that is known of
/// an operation travels with it.
struct Stamp {
    var kind: Character
    var sender: Int
    var number: UInt64
    var began: UInt64

    var text: String { "\(kind)-\(sender)-\(number)-\(began)" }

    init(_ kind: Character, sender: Int, number: UInt64, began: UInt64) {
        self.kind = kind
        self.sender = sender
        self.number = number
        self.began = began
    }

    /// Nil for what is not of the load.
    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 4, let kind = parts[0].first, parts[0].count == 1, let sender = Int(parts[1]), sender >= 0,
            let number = UInt64(parts[2]), let began = UInt64(parts[3])
        else { return nil }
        self.init(kind, sender: sender, number: number, began: began)
    }
}
