import ArgumentParser

/// `martletload`: load on a server of your own, and proof that it kept its promises meanwhile.
@main struct MartletLoad: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martletload",
        abstract: "Puts load on an XMPP server, measures it, and checks that nothing was lost, doubled or reordered.",
        discussion:
            "One line of JSON is the result. Exit status: 0, 1 when a promise was broken or anything went wrong, 64 when it is not understood.",
        subcommands: [AccountsCommand.self, MixCommand.self, OfflineCommand.self, LoginCommand.self, IdleCommand.self])
}

struct MixCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mix", abstract: "Operations of several kinds in sessions that stay.",
        discussion:
            "Accounts come from standard input. With --window each session has so many operations under way; with --rate they come when they are due, whether the server is behind or not."
    )

    @Argument(help: "chat, iq, presence, archive; as chat:8 where one kind is more frequent than others.")
    var kinds = ["chat"]
    @OptionGroup var connect: ConnectOptions
    @Option(help: "How many; 0: one for each account.")
    var sessions = 0
    @Option(help: "Operations under way in each session.")
    var window = 1
    @Option(help: "Operations a second, all sessions together.")
    var rate: Double?
    @Option(help: "Seconds that are measured.")
    var duration = 10.0
    @Option(help: "Seconds before them.")
    var warmUp = 1.0
    @Option(help: "Bytes of a message's text.")
    var size = 100
    @Option(help: "Who sees the presence of each session.")
    var followers = 5
    @Option(help: "Messages of a page of an archive.")
    var page = 50
    @Option(help: "Sockets that are cut a second, to be resumed; with --sm.")
    var drops = 0.0
    @Flag(help: "The two of a pair are at neighbouring targets, not at the same.")
    var cross = false

    func validate() throws {
        _ = try plan
        guard window > 0, duration >= 0, warmUp >= 0, (0...200_000).contains(size), (1...1_000).contains(followers), page > 0 else {
            throw ValidationError(
                "--window and --page are at least 1, --followers from 1 to 1000, --size up to 200000, seconds not negative.")
        }
        guard rate.map({ $0 > 0 }) ?? true else { throw ValidationError("--rate is above 0.") }
        guard drops == 0 || connect.management else {
            throw ValidationError("--drops needs --sm: without it a lost socket is a lost session.")
        }
        let usesPresence = try kindList.contains(.presence)
        guard drops >= 0, drops == 0 || !usesPresence else {
            throw ValidationError("--drops goes without presence: of what came while a session was away only the last may be shown.")
        }
    }

    private var kindList: [MixLoad.Kind] {
        get throws {
            let weights = try kinds.map { text in
                let parts = text.split(separator: ":", maxSplits: 1)
                guard let kind = parts.first.flatMap({ MixLoad.Kind(rawValue: String($0)) }),
                    let weight = parts.count > 1 ? Int(parts[1]) : 1, (1...1_000).contains(weight)
                else { throw ValidationError("“\(text)” is no kind of operation, as chat or chat:8.") }
                return (kind, weight)
            }
            // Evenly mixed: each turn goes to the kind that is most behind its share.
            let all = weights.reduce(0) { $0 + $1.1 }
            var credit = weights.map { _ in 0 }
            return (0..<all).map { _ in
                for index in weights.indices { credit[index] += weights[index].1 }
                let best = credit.indices.max { credit[$0] < credit[$1] } ?? 0
                credit[best] -= all
                return weights[best].0
            }
        }
    }

    private var plan: MixLoad.Plan {
        get throws {
            MixLoad.Plan(
                kinds: try kindList, window: window, rate: rate, warmUp: warmUp, duration: duration, size: size, followers: followers,
                page: page,
                drops: drops)
        }
    }

    func run() throws {
        let accounts = try Accounts.read()
        let count = sessions > 0 ? sessions : accounts.count
        let plan = try plan
        guard count <= accounts.count else { throw ValidationError("\(count) sessions want as many accounts; \(accounts.count) came.") }
        guard count % 2 == 0 || !plan.kinds.contains(.chat) else { throw ValidationError("Chat is for pairs: an even number of sessions.") }
        guard !plan.kinds.contains(.presence) || count > followers else {
            throw ValidationError("\(followers) followers want more sessions.")
        }
        let crew = try Crew(connect, accounts, sessions: count) { cross ? $0 : $0 / 2 }
        let load = MixLoad(crew, plan)
        try crew.run(load) { load.begin() }
        load.outcome.end(crew)
    }
}

struct OfflineCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "offline", abstract: "Messages to accounts that are away, and their coming back.",
        discussion: "Accounts come from standard input: the first are senders, the others receivers.")

    @OptionGroup var connect: ConnectOptions
    @Option(help: "Senders.")
    var senders = 1
    @Option(help: "Messages of each sender for each receiver.")
    var messages = 100
    @Option(help: "Messages before a sender waits until they are kept.")
    var window = 50

    func validate() throws {
        guard senders > 0, messages > 0, window > 0 else { throw ValidationError("--senders, --messages and --window are at least 1.") }
        guard !connect.management else { throw ValidationError("offline goes without --sm: that a ping is answered says what is kept.") }
    }

    func run() throws {
        let accounts = try Accounts.read()
        guard accounts.count > senders else { throw ValidationError("\(accounts.count) accounts leave no receivers.") }
        let crew = try Crew(connect, accounts, sessions: accounts.count)
        let load = OfflineLoad(crew, senders: senders, messages: messages, window: window)
        try crew.run(load) { load.begin() }
        load.outcome.end(crew)
    }
}

struct LoginCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "login", abstract: "Logins, one after the other.",
        discussion: "Accounts come from standard input. --concurrency says how many log in at once.")

    @OptionGroup var connect: ConnectOptions
    @Option(help: "Seconds.")
    var duration = 10.0

    func run() throws {
        let accounts = try Accounts.read()
        let crew = try Crew(connect, accounts, sessions: min(accounts.count, connect.concurrency))
        let load = LoginLoad(crew, duration: duration)
        try crew.run(load) { load.begin() }
        load.outcome.end(crew)
    }
}

struct IdleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "idle", abstract: "Many sessions that only ping; with --storm many of them come back at once.",
        discussion: "Accounts come from standard input. More sessions than accounts are further resources of the same accounts.")

    @OptionGroup var connect: ConnectOptions
    @Option(help: "How many; 0: one for each account.")
    var sessions = 0
    @Option(help: "Seconds after the last login.")
    var duration = 60.0
    @Option(help: "Seconds between two pings of a session.")
    var pingEvery = 60.0
    @Option(help: "Sessions whose sockets are cut at half time, and which come back at once.")
    var storm = 0

    func validate() throws {
        guard duration > 0, pingEvery > 0, storm >= 0, sessions >= 0 else { throw ValidationError("Numbers are above 0.") }
    }

    func run() throws {
        let accounts = try Accounts.read()
        let crew = try Crew(connect, accounts, sessions: sessions > 0 ? sessions : accounts.count)
        let load = IdleLoad(crew, IdleLoad.Plan(pingEvery: pingEvery, duration: duration, storm: storm))
        try crew.run(load) { load.begin() }
        load.outcome.end(crew)
    }
}
