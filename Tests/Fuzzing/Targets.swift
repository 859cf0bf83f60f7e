extension FuzzTarget {
    /// All there are.
    public static let all: [FuzzTarget] = [
        framer, elements, client, component, sasl, jid, bus, letters, records, manifest, requests, replies, settings, portable, server,
    ]

    public static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

extension FuzzTarget {
    /// A promise that cannot be kept, to see that fuzzing finds it.
    public static let broken = FuzzTarget("broken", "Nobody says BOOM", words: ["BO", "OM"], seeds: { [Array("hello".utf8)] }) {
        (input) throws(Breach) in
        try hold(!input.indices.contains { input[$0...].starts(with: "BOOM".utf8) }, "it says BOOM")
    }
}
