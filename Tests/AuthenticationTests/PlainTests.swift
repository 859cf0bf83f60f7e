import Testing

@testable import Authentication

@Suite struct PlainTests {
    let server: TestServer

    init() throws { server = try TestServer(("juliet", "r0m30myr0m30"), ("st\u{DF}e", "p\u{E9} ")) }

    @Test func logsIn() throws {
        for message in [
            "\0juliet\0r0m30myr0m30", "juliet@example.com\0juliet\0r0m30myr0m30", "\0JULIET@EXAMPLE.COM\0r0m30myr0m30",
            "Juliet@example.com\0juliet@example.com\0r0m30myr0m30",
        ] {
            guard case .success("juliet", nil) = server.plain(message) else {
                Issue.record("\(server.plain(message).name)")
                continue
            }
        }
        // Name and password are prepared: here both were decomposed or wide.
        #expect(server.plain("\0st\u{DF}e\0pe\u{301}\u{3000}").user == "st\u{DF}e")
    }

    @Test func isAskedForItsMessage() throws {
        let exchange = server.exchange("PLAIN")
        guard case .challenge(let prompt) = exchange.begin(initial: nil) else {
            Issue.record("no prompt")
            return
        }
        #expect(prompt.isEmpty)
        #expect(server.settle(exchange.respond(Array("\0juliet\0r0m30myr0m30".utf8)), exchange).user == "juliet")
    }

    @Test(arguments: [
        ("", SASLFailure.malformedRequest), ("juliet", .malformedRequest), ("\0juliet", .malformedRequest),
        ("\0juliet\0", .malformedRequest),
        ("\0\0r0m30myr0m30", .malformedRequest), ("\0juliet\0r0m30myr0m30\0", .malformedRequest), ("\0\0\0", .malformedRequest),
        ("\0juliet\0wrong", .notAuthorized), ("\0nobody\0wrong", .notAuthorized), ("\0juliet@example.org\0r0m30myr0m30", .notAuthorized),
        ("\0ju liet\0r0m30myr0m30", .notAuthorized), ("\0juliet\0r0m30\u{7}", .notAuthorized),
        ("romeo@example.com\0juliet\0r0m30myr0m30", .invalidAuthzid), ("juliet\0juliet\0r0m30myr0m30", .invalidAuthzid),
        ("juliet@example.com/x\0juliet\0r0m30myr0m30", .invalidAuthzid),
    ]) func refuses(_ message: String, _ failure: SASLFailure) { #expect(server.plain(message).failure == failure) }

    @Test func refusesWhatIsNotUTF8OrTooLong() {
        for message in [
            [0, 0xFF, 0, 0x61], [0, 0x61, 0, 0xC0, 0x80], [0xED, 0xA0, 0x80, 0, 0x61, 0, 0x61],
            Array("\0juliet\0".utf8) + [UInt8](repeating: 0x61, count: 70_000),
        ] as [[UInt8]] { #expect(server.exchange("PLAIN").begin(initial: message).failure == .malformedRequest) }
        let long = String(repeating: "x", count: 5000)
        #expect(server.plain("\0juliet\0\(long)").failure == .notAuthorized)
        #expect(server.plain("\0\(long)\0r0m30myr0m30").failure == .notAuthorized)
    }

    @Test func unknownAccountsAreCheckedToo() {
        for user in ["juliet", "nobody"] {
            let exchange = server.exchange("PLAIN")
            guard case .needCredentials(user) = exchange.begin(initial: Array("\0\(user)\0wrong".utf8)),
                case .verifyPassword(let check) = exchange.credentials(server.accounts[user], disabled: false)
            else {
                Issue.record("\(user) is not checked")
                continue
            }
            #expect(exchange.user == user)
            #expect(!check.run())
            #expect(exchange.passwordVerified(false).failure == .notAuthorized)
        }
    }

    @Test func needsTLS() throws {
        var server = server
        server.encrypted = false
        #expect(server.exchange("PLAIN").begin(initial: Array("\0juliet\0r0m30myr0m30".utf8)).failure == .encryptionRequired)
        server.encrypted = true
        server.policy.mechanisms = ["SCRAM-SHA-1"]
        #expect(server.exchange("PLAIN").begin(initial: Array("\0juliet\0r0m30myr0m30".utf8)).failure == .invalidMechanism)
    }

    @Test func tellsOfDisabledAccountsWhoKnowsThePassword() {
        var server = server
        server.disabled = ["juliet"]
        #expect(server.plain("\0juliet\0r0m30myr0m30").failure == .accountDisabled)
        #expect(server.plain("\0juliet\0wrong").failure == .notAuthorized)
    }

    @Test func abortWhileThePasswordIsChecked() {
        let exchange = server.exchange("PLAIN")
        _ = exchange.begin(initial: Array("\0juliet\0r0m30myr0m30".utf8))
        guard case .verifyPassword(let check) = exchange.credentials(server.accounts["juliet"], disabled: false) else {
            Issue.record("no check")
            return
        }
        exchange.abort()
        #expect(check.run())
        #expect(exchange.passwordVerified(true).failure == .malformedRequest)
    }
}
