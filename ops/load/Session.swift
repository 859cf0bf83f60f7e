import DequeModule
import Stanzas
import XMLStream

/// One of the crew: an account on a resource, over one connection after the other. Confined to the crew's loop.
final class Session: @unchecked Sendable {
    // @unchecked: see `Crew`.
    let index: Int
    let account: Account
    let resource: String
    let target: Target
    private unowned let crew: Crew

    /// The socket, from its opening to its end.
    var connection: Connection?
    private(set) var fullJID: JID?
    /// Bound or resumed, and not lost since.
    private(set) var isReady = false
    /// It is to be logged in: when that began.
    private(set) var began: UInt64?
    /// Changes whenever it is to have another socket, so that one which comes too late is known.
    private(set) var attempt = 0
    /// Its stream was closed, or its socket cut, on purpose.
    private var isExpectedToEnd = false

    // Stream management (XEP-0198), counted as the client does.
    private var managementID: String?
    private var isManaged = false
    /// Stanzas of the server.
    private(set) var received: UInt32 = 0
    /// Stanzas sent and not acknowledged, the oldest first, and how many were.
    private var unacknowledged: Deque<[UInt8]> = []
    private var acknowledged: UInt32 = 0
    private var sinceRequest = 0
    /// Stanzas after which an acknowledgement is asked for.
    private static let requestEvery = 5

    /// What the load keeps of it.
    var work = SessionWork()

    init(index: Int, account: Account, resource: String, target: Target, crew: Crew) {
        self.index = index
        self.account = account
        self.resource = resource
        self.target = target
        self.crew = crew
    }

    // MARK: Coming and going

    func begin() {
        began = crew.now
        attempt += 1
        isExpectedToEnd = false
        crew.open(self)
    }

    /// The session to resume, if it has one.
    var resumable: String? { managementID }

    func bound(_ jid: JID) { fullJID = jid }

    func enabled(_ id: String?) {
        managementID = id
        isManaged = true
        received = 0
        acknowledged = 0
        unacknowledged.removeAll()
    }

    func ready() {
        isReady = true
        crew.loggedIn(self, resumed: false)
        began = nil
    }

    func resumed(through h: UInt32) {
        guard acknowledge(h) else { return }
        isReady = true
        for stanza in unacknowledged { connection?.send(stanza) }
        crew.loggedIn(self, resumed: true)
        began = nil
    }

    /// Everything that was not acknowledged may be lost: the load hears it as an error.
    func resumptionRefused(_ element: Element) {
        managementID = nil
        isManaged = false
        crew.problem("\(account.jid): not resumed: \(element.children.first { _ in true }?.local ?? element.local)")
    }

    /// Its socket is gone. `reason` is nil when the server closed the stream or the socket without a word.
    func lost(_ lost: Connection, _ reason: String?) {
        guard connection === lost || connection == nil else { return }
        connection = nil
        isReady = false
        let wasExpected = isExpectedToEnd
        if !wasExpected {
            crew.problem("\(account.jid): \(reason ?? "the server closed the stream")")
            managementID = nil
        }
        crew.ended(self, expected: wasExpected)
    }

    /// Closes the stream; nothing is to be resumed.
    func close() {
        isExpectedToEnd = true
        isReady = false
        managementID = nil
        isManaged = false
        connection?.close()
    }

    /// Cuts the socket off as a lost network would. What can be resumed is resumed by the next `begin`.
    func cut() {
        isExpectedToEnd = true
        isReady = false
        attempt += 1
        connection?.cut()
        connection = nil
    }

    // MARK: Stanzas

    func send(_ stanza: [UInt8]) {
        if isManaged {
            unacknowledged.append(stanza)
            sinceRequest += 1
        }
        // What is sent while it is away goes out when it is back.
        guard isReady, let connection else { return }
        connection.send(stanza)
        if sinceRequest >= Self.requestEvery {
            sinceRequest = 0
            connection.send("<r xmlns='\(NS.streamManagement)'/>")
        }
        crew.touched(connection)
    }

    func send(_ xml: String) { send(Array(xml.utf8)) }

    /// Asks what the server has handled.
    func requestAcknowledgement() {
        guard isManaged, isReady, let connection else { return }
        connection.send("<r xmlns='\(NS.streamManagement)'/>")
        crew.touched(connection)
    }

    /// Everything it sent is acknowledged, or need not be.
    var isAcknowledged: Bool { !isManaged || unacknowledged.isEmpty }

    func receive(_ element: Element) {
        guard element.namespace == NS.streamManagement else {
            received &+= 1
            crew.load?.received(element, by: self)
            return
        }
        switch element.local {
        case "r": connection?.send("<a xmlns='\(NS.streamManagement)' h='\(received)'/>")
        case "a":
            if let h = element["h"].flatMap({ UInt32($0) }) { _ = acknowledge(h) }
        default: break
        }
    }

    private func acknowledge(_ h: UInt32) -> Bool {
        let count = Int(h &- acknowledged)
        guard count <= unacknowledged.count else {
            crew.problem("\(account.jid): the server acknowledges \(count) stanzas of \(unacknowledged.count)")
            return false
        }
        unacknowledged.removeFirst(count)
        acknowledged = h
        return true
    }
}
