import Stanzas
import StreamLogic
import Testing
import XMLStream

/// Feeds XML as text to a machine, as the parser reads it.
enum Wire {
    static func header(
        to: String? = "example.com", from: String? = nil, version: String? = "1.0", lang: String? = nil, content: String = "jabber:client",
        prefix: String = "stream", stream: String = NS.stream, local: String = "stream", more: String = ""
    ) throws -> StreamHeader {
        var xml = "<?xml version='1.0'?><\(prefix):\(local) xmlns='\(content)' xmlns:\(prefix)='\(stream)'"
        if let to { xml += " to='\(to)'" }
        if let from { xml += " from='\(from)'" }
        if let version { xml += " version='\(version)'" }
        if let lang { xml += " xml:lang='\(lang)'" }
        return try parse(xml + more + ">")
    }

    static func parse(_ xml: String) throws -> StreamHeader {
        try Array(xml.utf8).withUnsafeBytes { try XMLStreamParser(namespace: .client).parse(header: $0) }
    }

    static func element(_ xml: String) throws -> Element { try Element.parse(Array(xml.utf8)) }

    /// What `body` writes, as text.
    static func text(_ body: (inout XMLWriter) -> Void) -> String {
        var writer = XMLWriter()
        body(&writer)
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}

enum Given {
    static let juliet = "juliet@example.com"

    static let policy = StreamPolicy(
        hosts: [
            "example.com": .init(offersTLS: true, requiresTLS: true),
            "open.example": .init(offersTLS: true, requiresTLS: false),
            "plain.example": .init(offersTLS: false, requiresTLS: false),
            "broken.example": .init(offersTLS: false, requiresTLS: true),
        ],
        goneHosts: ["old.example"], domain: "server.example", mechanisms: ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "PLAIN"],
        authenticationFailures: 3, bindFailures: 6)

    /// A stream whose client was offered mechanisms under TLS.
    static func authenticating(from: String? = nil) throws -> ClientStream {
        var stream = ClientStream(policy: policy, secure: true)
        #expect(
            stream.header(try Wire.header(from: from))
                == .open(
                    ResponseHeader(from: "example.com", to: try from.map { try JID($0).bare }), Offer(authentication: true)))
        stream.mechanisms = ["SCRAM-SHA-256", "PLAIN"]
        return stream
    }

    /// A stream that authenticated as juliet and got its features.
    static func authenticated(lang: String? = nil) throws -> ClientStream {
        var stream = try authenticating()
        #expect(
            stream.receive(try Wire.element("<auth xmlns='\(NS.sasl)' mechanism='PLAIN'>AGp1bGlldABy</auth>"))
                == .authenticate(mechanism: "PLAIN", initial: Array("\0juliet\0r".utf8)))
        #expect(stream.stepped(.success(user: "juliet")) == .authenticated(try JID(juliet)))
        #expect(
            stream.header(try Wire.header(lang: lang)) == .open(ResponseHeader(from: "example.com", to: nil), Offer(binding: true)))
        return stream
    }

    /// A stream bound as juliet/balcony.
    static func ready(lang: String? = nil) throws -> ClientStream {
        var stream = try authenticated(lang: lang)
        #expect(
            stream.receive(
                try Wire.element("<iq type='set' id='b1'><bind xmlns='\(NS.bind)'><resource>balcony</resource></bind></iq>"))
                == .bind(resource: "balcony"))
        #expect(stream.bound(try JID("juliet@example.com/balcony")) == "b1")
        #expect(stream.isReady == true)
        return stream
    }
}
