public import Stanzas
public import XMLStream

/// The bytes of SASL2 (XEP-0388) and of what comes inline with it.
extension StreamWriting {
    /// What may be asked for with `<authenticate/>`, besides authentication.
    public struct Inline: Equatable, Sendable {
        /// XEP-0198 §9.2.
        public var resumption: Bool
        /// The features that Bind 2 can switch on (XEP-0386 §3.1).
        public var bindFeatures: [String]
        /// Mechanisms for tokens (XEP-0484 §3.1); none: no tokens.
        public var tokenMechanisms: [String]
        /// Tasks that give an account further hashes (XEP-0480 §2.1).
        public var upgrades: [String]

        public init(resumption: Bool = false, bindFeatures: [String] = [], tokenMechanisms: [String] = [], upgrades: [String] = []) {
            self.resumption = resumption
            self.bindFeatures = bindFeatures
            self.tokenMechanisms = tokenMechanisms
            self.upgrades = upgrades
        }
    }

    /// The stream feature of SASL2 (XEP-0388 §2.1). Without a mechanism there is none.
    public static func authentication(_ mechanisms: [String], _ inline: Inline, into writer: inout XMLWriter) {
        guard !mechanisms.isEmpty else { return }
        writer.element("authentication", xmlns: NS.sasl2) { writer in
            for mechanism in mechanisms { writer.element("mechanism", text: mechanism) }
            writer.element("inline") { writer in
                if inline.resumption { writer.empty("sm", xmlns: NS.streamManagement) }
                writer.element("bind", xmlns: NS.bind2) { writer in
                    guard !inline.bindFeatures.isEmpty else { return }
                    writer.element("inline") { writer in
                        for feature in inline.bindFeatures { writer.empty("feature", ("var", feature)) }
                    }
                }
                if !inline.tokenMechanisms.isEmpty {
                    writer.element("fast", xmlns: NS.fast) { writer in
                        for mechanism in inline.tokenMechanisms { writer.element("mechanism", text: mechanism) }
                    }
                }
            }
            for task in inline.upgrades { writer.element("upgrade", xmlns: NS.saslUpgrade, text: task) }
        }
    }

    /// What this side takes at most (XEP-0478 §3.1).
    ///
    /// - Parameter idleSeconds: of silence after which this side looks whether the stream stands, or ends it; nil: it does not look.
    public static func limits(bytes: Int, idleSeconds: Int?, into writer: inout XMLWriter) {
        writer.element("limits", xmlns: NS.streamLimits) { writer in
            writer.element("max-bytes", text: String(bytes))
            if let idleSeconds { writer.element("idle-seconds", text: String(idleSeconds)) }
        }
    }

    /// `<challenge/>` of either profile.
    public static func challenge(_ data: [UInt8], _ profile: SASLProfile, into writer: inout XMLWriter) {
        switch profile {
        case .rfc6120: challenge(data, into: &writer)
        case .extensible: writer.element("challenge", xmlns: NS.sasl2, text: Base64.encode(data))
        }
    }

    /// `<failure/>` of either profile.
    public static func failure(_ condition: SASLCondition, _ profile: SASLProfile, into writer: inout XMLWriter) {
        switch profile {
        case .rfc6120: failure(condition, into: &writer)
        case .extensible: writer.element("failure", xmlns: NS.sasl2) { $0.empty(condition.rawValue, xmlns: NS.sasl) }
        }
    }

    /// `<success/>` of SASL2 (XEP-0388 §2.6.1).
    ///
    /// - Parameters:
    ///   - identity: the bare JID, or the full one where a resource is bound.
    ///   - data: what the mechanism says last; nil: nothing, or it was said with `<continue/>`.
    ///   - inline: answers to what was asked for inline, well-formed, each declaring its namespace.
    public static func success(_ identity: JID, data: [UInt8]?, inline: [UInt8], into writer: inout XMLWriter) {
        writer.element("success", xmlns: NS.sasl2) { writer in
            if let data { writer.element("additional-data", text: Base64.encode(data)) }
            writer.element("authorization-identifier", text: identity.description)
            writer.raw(inline)
        }
    }

    /// `<continue/>` with one task (XEP-0388 §2.6.3).
    public static func proceed(with task: String, data: [UInt8]?, into writer: inout XMLWriter) {
        writer.element("continue", xmlns: NS.sasl2) { writer in
            if let data { writer.element("additional-data", text: Base64.encode(data)) }
            writer.element("tasks") { $0.element("task", text: task) }
        }
    }

    /// What a client needs to make a hash of its password (XEP-0480 §3).
    public static func upgradeTask(salt: [UInt8], iterations: Int, into writer: inout XMLWriter) {
        writer.element("task-data", xmlns: NS.sasl2) { writer in
            writer.element("salt", xmlns: NS.scramUpgrade, ("iterations", "\(iterations)"), text: Base64.encode(salt))
        }
    }

    /// The new token of a device (XEP-0484 §3.3).
    ///
    /// - Parameter expiry: µs since 1970, UTC.
    public static func token(_ token: String, expiry: Int64, into writer: inout XMLWriter) {
        writer.empty("token", xmlns: NS.fast, ("expiry", DateTime(microseconds: expiry).description), ("token", token))
    }
}
