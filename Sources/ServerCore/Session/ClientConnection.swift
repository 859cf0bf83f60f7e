public import Stanzas

/// What is known of a client's socket, for the administrator and for policy.
public struct ConnectionFacts: Sendable, Equatable {
    /// "address:port" of the peer.
    public var remoteAddress: String
    /// The listener's port.
    public var localPort: Int
    /// "TLSv1.3" and the like; nil on a plain connection.
    public var tlsVersion: String?
    /// OpenSSL's name of the cipher suite.
    public var tlsCipher: String?
    /// Whether the stream is compressed (XEP-0138).
    public var isCompressed = false
    /// The SASL mechanism that authenticated the stream.
    public var mechanism: String
    /// Wall clock µs at which the connection was accepted.
    public var since: Int64
    public var bytesIn: UInt64 = 0
    public var bytesOut: UInt64 = 0

    public init(remoteAddress: String, localPort: Int, tlsVersion: String? = nil, tlsCipher: String? = nil, mechanism: String, since: Int64)
    {
        self.remoteAddress = remoteAddress
        self.localPort = localPort
        self.tlsVersion = tlsVersion
        self.tlsCipher = tlsCipher
        self.mechanism = mechanism
        self.since = since
    }
}

/// The socket side of a bound session. Implemented by the transports; every call is made on the shard's loop.
public protocol ClientConnection: AnyObject {
    var facts: ConnectionFacts { get }
    /// Writes and flushes `bytes` (copied). When all of them were handed to the kernel the connection calls
    /// `Session.written(through: mark)`.
    func write(_ bytes: UnsafeRawBufferPointer, mark: UInt64)
    /// Writes the stream error, if any, and the closing tag; waits a bounded time for the peer's, then closes the socket.
    func close(_ error: StreamError?)
    /// Closes the socket without the end of the stream, behind what was written: a client that can resume its session then knows that
    /// it goes on (XEP-0198 §7). The session hears no more of it.
    func cut()
    /// Back-pressure: stops or resumes reading from the socket.
    func setReading(_ on: Bool)
}

/// How a client's stream ended, as its socket saw it.
public enum StreamEnd: Sendable, Equatable {
    /// The peer closed its stream with `</stream:stream>`.
    case closedByPeer
    /// The socket was lost without a closing tag.
    case lost
    /// This side sent a stream error and closed.
    case failed(StreamError)
}
