/// Where pages for programs that watch the server are served: an address, or a socket of this machine.
public enum MonitoringAddress: Hashable, Sendable, CustomStringConvertible {
    case tcp(ListenAddress)
    /// The path of a Unix socket.
    case unix(String)

    static let unixPrefix = "unix:"

    /// Reads `127.0.0.1:9280`, `[::1]:9280` or `unix:/run/martlet/a.sock`; `nil` for anything else.
    public init?(_ text: String) {
        if text.hasPrefix(Self.unixPrefix) {
            let path = String(text.dropFirst(Self.unixPrefix.count))
            // What the kernel takes, with the zero behind it.
            guard (1..<108).contains(path.utf8.count), TextShape.isLine(path) else { return nil }
            self = .unix(path)
        } else {
            guard let address = ListenAddress(text) else { return nil }
            self = .tcp(address)
        }
    }

    /// As it is written in the file.
    public var description: String {
        switch self {
        case .tcp(let address): "\(address)"
        case .unix(let path): Self.unixPrefix + path
        }
    }
}

extension Settings.Listen {
    /// Where a node serves its pages for monitoring: its own list, or the one for all.
    public func http(ofNode name: String) -> [MonitoringAddress] { (httpOfNode[name] ?? http).compactMap(MonitoringAddress.init) }
}

extension SettingsReader {
    /// The addresses of monitoring: a shared one serves one node only, and what is not loopback is open to whoever reaches it.
    mutating func checkMonitoring() {
        var lists = [("listen.http", settings.listen.http)]
        lists += settings.listen.httpOfNode.sorted { $0.key < $1.key }.map { ("node.\($0.key).http", $0.value) }
        var seen: [MonitoringAddress: String] = [:]
        for (key, texts) in lists {
            for (index, text) in texts.enumerated() {
                guard let address = MonitoringAddress(text) else { continue }
                let place = line("\(key) \(index)")
                if let first = seen[address] {
                    rule(key, place, "\"\(text)\" stands in \(first) too: each node needs an address of its own")
                }
                seen[address] = key
                guard case .tcp(let tcp) = address else { continue }
                if let other = clientListener(tcp) {
                    rule(key, place, "\"\(text)\" stands in \(other) too: give one of them another port")
                } else if !tcp.isLoopback {
                    warn(
                        key, place,
                        "\"\(text)\" is reached from other machines, and what is served there is neither encrypted nor asks who reads it: let only the monitoring through"
                    )
                }
            }
        }
    }

    private func clientListener(_ address: ListenAddress) -> String? {
        listenAddresses.first { $0.address == address }?.key
    }
}
