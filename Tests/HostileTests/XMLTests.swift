import TestKit
import Testing
import XMLStream

extension HostileTests {
    /// What the framer and the parser are given.
    @Suite(.serialized) struct XMLTests {
        private static let refusals: Set<String> = [
            "restricted-xml", "not-well-formed", "invalid-xml", "bad-format", "bad-namespace-prefix", "unsupported-encoding",
        ]

        /// Sends each attack on a stream of its own, as romeo; juliet must never see anything of it.
        private func attack(_ payloads: [[UInt8]]) throws {
            let target = try Target()
            let juliet = try target.client("juliet", "balcony")
            try juliet.send("<presence/>")
            for (number, payload) in payloads.enumerated() {
                let attacker = try target.raw("romeo", "orchard")
                attacker.send(Array("<message to='\(juliet.jid)' type='chat'><body>evil".utf8) + payload + Array("</body></message>".utf8))
                let condition = try attacker.streamError()
                #expect(Self.refusals.contains(condition), "\(number): \(condition)")
                try target.watch()
            }
            var seen: [String] = []
            try juliet.ping("fence") { seen.append($0) }
            #expect(seen.allSatisfy { !$0.contains("evil") })
            try target.check()
        }

        /// RFC 6120 §11.1.
        @Test func restricted() throws {
            try attack(
                [
                    "<!DOCTYPE x>", "<!DOCTYPE x [<!ENTITY a 'b'>]>&a;", "<!-- comment -->", "<?php evil ?>", "&undefined;", "<!ELEMENT x>",
                    "<?xml version='1.0'?>",
                ].map { Array($0.utf8) })
        }

        /// RFC 6120 §11.3, §11.6; RFC 3629; Namespaces in XML.
        @Test func notWellFormed() throws {
            try attack(
                [
                    [0], [1], [0x1B], [0xED, 0xA0, 0x80], [0xC0, 0xAF], [0xE2, 0x82], [0xEF, 0xBF, 0xBE], [0xEF, 0xBF, 0xBF], [0xFF, 0xFE],
                    [0xF4, 0x90, 0x80, 0x80], [0x80],
                ]
                    + [
                        "<a b='1' b='2'/>", "<x:a/>", "<a x:b='1'/>", "&#0;", "&#x110000;", "&#99999999999999999999;", "&#xD800;",
                        "</wrong>",
                        "<a", "<a b=1/>", "<a b='<'/>", "]]>", "<1/>", "<a xmlns:p=''/>", "<a xmlns:xmlns='x'/>",
                        "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", "& ",
                    ].map { Array($0.utf8) })
        }

        @Test func beforeLogin() throws {
            let target = try Target()
            for text in [
                "<!DOCTYPE x><stream:stream", "<?xml version='1.0'?><!DOCTYPE x SYSTEM 'file:///etc/passwd'><x>",
                "<?xml version='1.0' encoding='UTF-16'?><stream:stream", "\u{FEFF}\u{FEFF}<stream:stream", "GET / HTTP/1.1\r\n\r\n",
                "\u{16}\u{3}\u{1}", "<!-- --><stream:stream", "<>", "</stream:stream>", "<a>",
            ] {
                let attacker = try target.raw()
                attacker.send(text + " to='\(attacker.domain)'>")
                let end = try attacker.rest()
                #expect(end.contains("<stream:error>") && !end.contains("root:"), "\(text): \(end)")
            }
            let utf16 = try target.raw()
            utf16.send([0xFF, 0xFE] + Array(RawClient.header(utf16.domain).utf8).flatMap { [$0, 0] })
            #expect(try utf16.rest().contains("<stream:error>"))
            try target.check()
        }

        /// RFC 6120 §13.12.
        @Test func sizes() throws {
            let target = try Target()
            let juliet = try target.client("juliet", "balcony")
            func many(_ count: Int, _ text: (Int) -> String) -> String { (0..<count).map(text).joined() }
            for (name, payload) in [
                ("depth", many(100_000) { _ in "<a>" }),
                ("attributes", "<a " + many(100_000) { "b\($0)='' " } + "/>"),
                ("declarations", "<a " + many(100_000) { "xmlns:b\($0)='u' " } + "/>"),
                ("text", String(repeating: "x", count: 8_000_000)),
                ("name", "<" + String(repeating: "n", count: 2_000_000)),
                ("value", "<a b='" + String(repeating: "v", count: 2_000_000)),
                ("children", many(300_000) { _ in "<a/>" }),
                ("references", many(500_000) { _ in "&amp;" }),
            ] {
                let attacker = try target.raw("romeo", "orchard")
                attacker.send("<message to='\(juliet.jid)' type='chat'><body>" + payload)
                #expect(try attacker.streamError() == "policy-violation", "\(name)")
            }
            for payload in ["<auth a='" + String(repeating: "x", count: 100_000), many(1_000) { _ in "<a>" }] {
                let attacker = try target.raw()
                try attacker.open()
                attacker.send(payload)
                #expect(try attacker.streamError() == "policy-violation")
            }
            let header = try target.raw()
            header.send("<stream:stream a='" + String(repeating: "x", count: 1_000_000))
            #expect(try header.streamError() == "policy-violation")
            // 10,000 bytes are everybody's right.
            let romeo = try target.client("romeo", "orchard")
            let body = String(repeating: "y", count: 10_000)
            try romeo.send("<message to='\(juliet.jid)' type='chat' id='long'><body>\(body)</body></message>")
            let message = try juliet.receive { $0["id"] == "long" }
            #expect(message.first(local: "body", namespace: "jabber:client")?.text == body)
            try target.check()
        }
    }
}
