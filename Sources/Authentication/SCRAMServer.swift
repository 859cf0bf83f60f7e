internal import Stanzas

/// The server's side of one SCRAM login (RFC 5802 §3, §5), made when the keys are there: one challenge, one verdict.
///
/// Pure: everything by chance is passed in. It takes what `SCRAMClientFirst` and `SCRAMClientFinal` let through.
struct SCRAMServer {
    /// The server-first-message.
    let challenge: [UInt8]
    private let key: SCRAMKey
    private let first: SCRAMClientFirst
    private let nonce: [UInt8]
    /// What `c=` must have: the gs2-header of the first message, and the channel binding data.
    private let binding: [UInt8]

    /// Random bytes in a nonce; RFC 5802 §5.1 leaves the number open.
    static let nonceBytes = 18

    /// - Parameters:
    ///   - key: of the account, or one that no password matches.
    ///   - binding: channel binding data, for a -PLUS mechanism.
    ///   - nonce: the server's part of the nonce: printable ASCII without ",", never the same twice.
    ///   - offer: what was advertised, to be told in the challenge (XEP-0474 §6.1); nil: it is not.
    init(key: SCRAMKey, first: SCRAMClientFirst, binding: [UInt8]?, nonce: [UInt8], offer: AdvertisedMechanisms?) {
        self.key = key
        self.first = first
        self.binding = first.header + (binding ?? [])
        self.nonce = first.nonce + nonce
        var challenge = Array("r=".utf8) + self.nonce
        challenge += Array(",s=\(Base64.encode(key.salt)),i=\(key.iterations)".utf8)
        if let offer { challenge += Array(",h=\(Base64.encode(offer.hash(key.hash)))".utf8) }
        self.challenge = challenge
    }

    /// The server's part of a nonce.
    static func randomNonce() throws(CredentialsError) -> [UInt8] { Array(Base64.encode(try randomBytes(nonceBytes)).utf8) }

    /// Checks the client's last message.
    /// - Returns: the server-final-message, `v=…`; nil when nonce, channel binding or proof is wrong. Which of them is not told, and all
    ///   is computed whatever is.
    func verdict(_ last: SCRAMClientFinal) -> [UInt8]? {
        let comma: [UInt8] = [UInt8(ascii: ",")]
        let message = first.bare + comma + challenge + comma + last.withoutProof
        let signature = key.hash.hmac(key: key.storedKey, message)
        let clientKey = zip(last.proof, signature).map { $0 ^ $1 }
        let isProved = equalInConstantTime(key.hash.digest(clientKey), key.storedKey)
        let answer = Array("v=\(Base64.encode(key.hash.hmac(key: key.serverKey, message)))".utf8)
        let isBound = equalInConstantTime(last.binding, binding)
        let isFresh = equalInConstantTime(last.nonce, nonce)
        return isProved && isBound && isFresh ? answer : nil
    }
}

/// What a stream's features listed: a client that is told its hash, signed with the password, notices when somebody took
/// something out of the list (XEP-0474).
public struct AdvertisedMechanisms: Sendable, Equatable {
    /// Of the SASL profile that the client uses; the mechanisms for tokens are in a list of their own (XEP-0484 §3.1).
    public var mechanisms: [String]
    /// The names of XEP-0440; none: the element was not there.
    public var channelBindings: [String]

    public init(mechanisms: [String], channelBindings: [String]) {
        self.mechanisms = mechanisms
        self.channelBindings = channelBindings
    }

    /// The string S of XEP-0474 §6.1: both lists in the order of their octets.
    var text: [UInt8] {
        func joined(_ names: [String]) -> [UInt8] {
            Array(names.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) }.joined(separator: [0x1E]))
        }
        return joined(mechanisms) + (channelBindings.isEmpty ? [] : [0x1F] + joined(channelBindings))
    }

    /// The value of the attribute `h`, before base 64.
    func hash(_ hash: SCRAMHash) -> [UInt8] { hash.digest(text) }
}
