/// Everything an operator can set, as plain values with their defaults.
///
/// A room takes the part that concerns it (`Settings.Limits`, `Settings.TLS`, …) and nothing else. How the values are
/// read from TOML, their ranges and their help texts stand in `SettingsTable.swift`.
public struct Settings: Sendable, Equatable {
    public var node = Node()
    public var listen = Listen()
    public var hosts: [Host] = []
    public var components: [Component] = []
    public var tls = TLS()
    public var authentication = Authentication()
    public var limits = Limits()
    public var sessions = Sessions()
    public var offline = Offline()
    public var push = Push()
    public var registration = Registration()
    public var invitations = Invitations()
    public var profile = Profile()
    public var search = Search()
    public var archive = Archive()
    public var store = Store()
    public var backup = Backup()
    public var cluster = Cluster()
    public var log = Log()
    public var debug = Debug()
    public init() {}

    /// `[node]`: the process itself.
    public struct Node: Sendable, Equatable {
        /// The node's name, unique on its volume: 1 to 32 of a–z, 0–9, '-'. Usually given by `--node`.
        public var name = "a"
        /// The directory of the cluster on this host: store, run sockets, certificates. Relative to the configuration file.
        public var directory = "data"
        /// Event loops of the process; 0 means one a core.
        public var loops = 0
        public init() {}
    }

    /// `[listen]`: where clients connect. Every node of the cluster shares these ports by SO_REUSEPORT.
    public struct Listen: Sendable, Equatable {
        /// STARTTLS listeners, "address:port". Anything but loopback is refused until TLS is configured.
        public var c2s: [String] = ["127.0.0.1:5222"]
        /// Direct TLS listeners (XEP-0368).
        public var c2sDirectTLS: [String] = []
        /// Where components connect (XEP-0114), "address:port" on loopback; nothing listens while there is no `[[component]]`.
        public var component: [String] = ["127.0.0.1:5347"]
        /// Further listeners of one node alone: node name → addresses of STARTTLS listeners.
        public var c2sOfNode: [String: [String]] = [:]
        /// Where programs that watch the server read metrics, health and readiness: "address:port" or "unix:PATH". Without TLS.
        public var http: [String] = []
        /// The same of single nodes, in the place of `http`: node name → addresses.
        public var httpOfNode: [String: [String]] = [:]
        /// Whether clients may have their streams compressed (XEP-0138).
        public var compression = false
        /// Listen backlog of each socket.
        public var backlog = 4096
        public init() {}
    }

    /// `[[host]]`: one virtual host.
    public struct Host: Sendable, Equatable {
        public enum Durability: String, Sendable, Equatable, CaseIterable { case kept, relay }
        /// The domain, as clients write it after the '@'.
        public var domain: String
        /// PEM file with the certificate chain; empty: no TLS on this host.
        public var certificate = ""
        /// PEM file with the private key.
        public var key = ""
        /// What an acknowledgement means.
        public var durability = Durability.kept
        /// Whether messages are archived.
        public var archive = true
        /// Days that archived messages stay; 0: as `[archive]` says.
        public var archiveDays = 0
        /// Whether clients must use TLS before they authenticate. Only loopback listeners may say false.
        public var requireTLS = true
        /// Bare JIDs whose owners may administer this host.
        public var admins: [String] = []
        /// Who is reached where.
        public var contacts = Contacts()
        public init(domain: String) { self.domain = domain }
    }

    /// `[[component]]`: a program that speaks for a domain of its own (XEP-0114).
    public struct Component: Sendable, Equatable {
        public enum Conflict: String, Sendable, Equatable, CaseIterable { case replace, refuse }
        /// The domain it speaks for.
        public var domain: String
        /// The file with the secret it proves; empty: `components/DOMAIN.secret` in the directory of the cluster.
        public var secretFile = ""
        /// What happens when it connects while it is connected.
        public var conflict = Conflict.replace
        /// What it is called among the items of the server (XEP-0030); empty: it is not listed.
        public var name = ""
        public init(domain: String) { self.domain = domain }
    }

    /// `[tls]`.
    public struct TLS: Sendable, Equatable {
        public enum Version: String, Sendable, Equatable, CaseIterable { case tls12 = "1.2", tls13 = "1.3" }
        public var minimum = Version.tls12
        /// OpenSSL cipher list for TLS 1.2.
        public var ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20"
        /// OpenSSL group list.
        public var groups = "X25519:P-256:P-384"
        /// TLS 1.3 tickets sent after a handshake.
        public var tickets = 0
        public init() {}
    }

    /// `[authentication]`.
    public struct Authentication: Sendable, Equatable {
        /// Mechanisms offered, strongest first; -PLUS forms are derived.
        public var mechanisms = ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]
        /// PBKDF2 iterations of newly set passwords (RFC 7677 §4: at least 4096).
        public var iterations = 4_096
        /// Failures after which a stream is closed (RFC 6120 §6.4.5).
        public var failuresPerStream = 5
        /// Failures of one account or one address prefix within `backoffWindow` seconds after which attempts are answered `temporary-auth-failure`.
        public var failuresBeforeBackoff = 20
        /// Seconds.
        public var backoffWindow = 60
        /// Whether SCRAM without TLS is allowed on loopback listeners of hosts that do not require TLS.
        public var scramWithoutTLS = true
        /// Whether clients may log in without SASL, under TLS (XEP-0078).
        public var nonSASL = false
        /// Whether the -PLUS forms of SCRAM are offered (RFC 5802 §6).
        public var channelBinding = true
        /// Whether the challenge of SCRAM says what was offered (XEP-0474).
        public var downgradeProtection = true
        /// Days for which a token is good (XEP-0484); 0: no tokens.
        public var tokenDays = 21
        /// Days after which a token in use is replaced.
        public var tokenRotationDays = 3
        /// Whether tokens are given that are not bound to a TLS connection.
        public var unboundTokens = true
        /// Devices that are remembered of one account.
        public var devicesPerAccount = 32
        public init() {}
    }

    /// `[limits]`: what one client, one address and one node may take.
    public struct Limits: Sendable, Equatable {
        /// Bytes of a stanza before authentication (RFC 6120 §13.12: at least 10,000).
        public var stanzaBytesBeforeAuth = 10_240
        /// Bytes of a stanza after authentication.
        public var stanzaBytes = 262_144
        public var depthBeforeAuth = 32
        public var depth = 64
        public var attributesBeforeAuth = 64
        public var attributes = 256
        public var namespaceDeclarations = 64
        /// Seconds from connect to a bound resource, whatever is sent.
        public var unauthenticatedSeconds = 30
        /// Connections of one address prefix (/32, /64) per node; 0: no bound.
        public var connectionsPerAddress = 0
        /// Connections of one node; 0: no bound.
        public var connections = 0
        /// Stanzas a second of one session before reading pauses; 0: no bound.
        public var stanzasPerSecond = 0
        /// Unhandled stanzas of one session at which its socket is paused.
        public var unhandledStanzas = 64
        /// Unhandled bytes of one session at which its socket is paused.
        public var unhandledBytes = 262_144
        /// Bytes waiting in one session's out queue at which it is ended.
        public var sessionQueueBytes = 4_194_304
        /// Stanzas waiting for one session at which it is ended.
        public var sessionQueueStanzas = 10_000
        /// Unhandled bytes of the whole node at which all client sockets are paused.
        public var nodeUnhandledBytes = 268_435_456
        /// Connections of components to one node, those that have not proved who they are among them; 0: no bound.
        public var componentConnections = 100
        /// Seconds that an execution of an ad-hoc command may take (XEP-0050).
        public var commandSeconds = 600
        /// Addresses of one stanza to several (XEP-0033); 0: there is no such service.
        public var addresses = 50
        /// Kinds of clients whose capabilities one loop remembers.
        public var knownCapabilities = 1_000
        /// Items of one roster.
        public var rosterItems = 5_000
        /// Addresses that one account may block (XEP-0191).
        public var blockedAddresses = 1_000
        /// Reports of abuse kept for one host (XEP-0377); 0: none is taken.
        public var reports = 1_000
        /// Of these from one account.
        public var reportsPerAccount = 20
        public init() {}
    }

    /// `[sessions]`.
    public struct Sessions: Sendable, Equatable {
        public enum Conflict: String, Sendable, Equatable, CaseIterable { case replace, refuse, rename }
        /// What happens when a resource is asked for that a living session holds (RFC 6120 §7.7.2.2).
        public var conflict = Conflict.replace
        /// Resources of one account.
        public var resourcesPerAccount = 20
        /// Seconds without a byte from a client before the server looks whether it still lives (whitespace keepalive); 0: never.
        public var keepaliveSeconds = 120
        /// Seconds for which a session waits for its client to resume it (XEP-0198); 0: it ends with its socket.
        public var resumeSeconds = 600
        /// Stanzas to a client after which it is asked for an acknowledgement, and from a client after which one is sent unasked.
        public var ackAfterStanzas = 10
        /// Seconds after which a client is asked for an acknowledgement of less.
        public var ackAfterSeconds = 10
        /// Seconds in which it must answer.
        public var ackTimeoutSeconds = 60
        /// Stanzas that a client has not acknowledged at which its session ends.
        public var unackedStanzas = 5_000
        /// The same in bytes.
        public var unackedBytes = 4_194_304
        /// Sessions of one account that wait for their clients.
        public var detachedPerAccount = 10
        /// Sessions of one node that wait for their clients.
        public var detachedPerNode = 50_000
        /// Where clients should reconnect to resume, "host" or "host:port" (RFC 6120 §4.9.3.19); empty: anywhere.
        public var location = ""
        /// The same of single nodes, by name.
        public var locationOfNode: [String: String] = [:]
        /// What the clients of a node are told.
        public func location(ofNode name: String) -> String? {
            let location = locationOfNode[name] ?? location
            return location.isEmpty ? nil : location
        }
        /// Stanzas that wait for an inactive client (XEP-0352) before all are written; 0: none waits, and it is not offered.
        public var inactiveHoldStanzas = 1_000
        /// The same in bytes.
        public var inactiveHoldBytes = 262_144
        /// Seconds after which the first of them, and all others with it, are written; 0: no bound.
        public var inactiveHoldSeconds = 1_800
        public init() {}
    }

    /// `[offline]`.
    public struct Offline: Sendable, Equatable {
        /// Messages owed to one account; 0: no bound.
        public var messages = 10_000
        /// Bytes of them in the store; 0: no bound.
        public var bytes = 67_108_864
        /// Whether senders who may not see an account's presence hear that their message reached nobody.
        public var answersStrangers = true
        public init() {}
    }

    /// `[archive]` (XEP-0313).
    public struct Archive: Sendable, Equatable {
        /// Messages of one page at most.
        public var page = 250
        /// Days that archived messages stay; 0: for ever.
        public var days = 0
        /// Messages of one archive; 0: no bound.
        public var messages = 0
        /// MiB of one archive in the store; 0: no bound.
        public var mib = 0
        public init() {}
    }

    /// `[push]`: notifications to push services (XEP-0357).
    public struct Push: Sendable, Equatable {
        /// Whether clients may enable push services.
        public var enabled = true
        /// Services of one account.
        public var servicesPerAccount = 20
        /// Seconds between two notifications of one account to one service; what comes meanwhile is told at their end.
        public var coalesceSeconds = 5
        /// Whether a notification names the sender of the last message.
        public var includeSender = false
        /// Whether a notification carries the text of the last message.
        public var includeBody = false
        /// Temporary errors in a row after which a service is disabled.
        public var failures = 10
        /// Seconds a service has for its answer.
        public var answerSeconds = 60
        public init() {}
    }

    /// `[store]`.
    public struct Store: Sendable, Equatable {
        /// Reserved address space in GiB (costs no disk).
        public var mapGiB = 64
        /// Bytes of the data file in MiB at which writes are refused; 0: no bound.
        public var quotaMiB = 0
        /// Effects in one commit at most.
        public var commitEffects = 2_000
        /// Reader threads.
        public var readers = 2
        /// Accounts kept in memory without a session.
        public var idleAccounts = 10_000
        public init() {}
    }

    /// `[backup]`.
    public struct Backup: Sendable, Equatable {
        /// Where backups go; empty: `backups` in the directory of the cluster. Relative to the configuration file.
        public var directory = ""
        /// Hours between scheduled backups; 0: none.
        public var everyHours = 0
        /// The time of day, UTC, "HH:MM", from which the hours are counted.
        public var at = "03:00"
        /// Scheduled backups kept; 0: any number.
        public var keep = 7
        /// Days for which they are kept; 0: for ever.
        public var keepDays = 0
        /// MiB by which the store may grow while it is copied.
        public var growthMiB = 8_192
        /// MiB a second written at most; 0: no bound.
        public var mibPerSecond = 80
        public init() {}
    }

    /// `[cluster]`.
    public struct Cluster: Sendable, Equatable {
        /// Milliseconds between the beats of a node.
        public var beatMilliseconds = 500
        /// Missed checks after which a silent node is killed.
        public var missedBeats = 6
        /// Seconds after which a leaving node ends the sessions it could not give away.
        public var drainSeconds = 30
        /// Sessions that a leaving node lets go in a second.
        public var drainSessionsPerSecond = 2_000
        /// Bytes in flight on one lane of a link before the sender waits.
        public var laneCreditBytes = 8_388_608
        public init() {}
    }

    /// `[log]`.
    public struct Log: Sendable, Equatable {
        public enum Format: String, Sendable, Equatable, CaseIterable { case text, json }
        /// trace, debug, info, notice, warning, error, critical.
        public var level = "info"
        /// The level of single areas (`LogArea`), in the place of `level`.
        public var areaLevels: [String: String] = [:]
        public var format = Format.text
        /// A file; empty: standard error.
        public var file = ""
        public init() {}
    }

    /// `[debug]`: for tests; never in production.
    public struct Debug: Sendable, Equatable {
        /// Lets the admin command `clock` move the protocol clock.
        public var manualClock = false
        public init() {}
    }
}
