import Stanzas
import TestKit

extension SCRAMClient {
    /// What a challenge shows before the client has proved anything: salt and iterations, the nonce left out.
    func salt(of challenge: String) -> String {
        guard let bytes = Self.bytes(challenge) else { return "not base 64" }
        return String(decoding: bytes, as: UTF8.self).split(separator: ",").dropFirst().joined(separator: ",")
    }

    private static func bytes(_ text: String) -> [UInt8]? { Base64.decode(text.utf8) }
}
