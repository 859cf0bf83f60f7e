import ArgumentParser
import Glibc
import Stanzas

/// Whom a session logs in as.
final class Account {
    let jid: JID
    let name: String
    let password: String
    /// Keys of logins that were: the password costs milliseconds once.
    var keys: SCRAMKeys?

    init(jid: JID, name: String, password: String) {
        self.jid = jid
        self.name = name
        self.password = password
    }
}

enum Accounts {
    /// Reads a line each, JID and password with a space between: what `martletctl user import` reads. Empty lines and those that begin
    /// with # are passed over.
    static func read() throws -> [Account] {
        guard isatty(STDIN_FILENO) == 0 else {
            throw ValidationError("Accounts come from standard input, a line each: JID, space, password. See 'martletload accounts'.")
        }
        var accounts: [Account] = []
        var number = 0
        while let line = readLine() {
            number += 1
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            let parts = line.split(separator: " ", maxSplits: 1)
            // The line is not repeated: there is a password in it.
            guard parts.count == 2, let jid = try? JID(String(parts[0])), jid.isBare, let name = jid.local else {
                throw ValidationError("Line \(number) of the accounts is no JID with a password behind a space.")
            }
            accounts.append(Account(jid: jid, name: name, password: String(parts[1])))
        }
        guard !accounts.isEmpty else { throw ValidationError("No account came from standard input.") }
        return accounts
    }

    /// Letters and digits of chance: 119 bits.
    static func makePassword() -> String {
        var generator = SystemRandomNumberGenerator()
        let letters = Array("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789")
        return String((0..<20).compactMap { _ in letters.randomElement(using: &generator) })
    }
}

/// `martletload accounts`
struct AccountsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "accounts",
        abstract: "Writes accounts with new passwords, for martletctl and for the other commands.",
        discussion: "martletload accounts 1000 --domain example.org >accounts && martletctl user import <accounts")

    @Argument(help: "How many.")
    var count: Int
    @Option(help: "The domain of the accounts.")
    var domain: String
    @Option(help: "What their names begin with; a number follows.")
    var prefix = "load"

    func validate() throws {
        guard (1...10_000_000).contains(count) else { throw ValidationError("From 1 to 10,000,000 accounts.") }
        guard (try? JID(local: prefix + "0", domain: domain, resource: nil)) != nil else {
            throw ValidationError("\(prefix)0@\(domain) is no address.")
        }
    }

    func run() {
        for number in 0..<count { print("\(prefix)\(number)@\(domain) \(Accounts.makePassword())") }
    }
}
