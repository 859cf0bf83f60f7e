@testable import ServerCore
import Settings
import Stanzas
import TestKit
import Testing
import XMLStream

@Suite struct ManagementTests {
    @Test func aSessionThatNobodyResumesEnds() throws {
        let stage = try Stage(nodes: 1)
        let juliet = try stage.online("juliet", "balcony")
        try juliet.post("<enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>")
        stage.cluster.run()
        juliet.end(.lost)
        stage.cluster.run()
        let session = try #require(juliet.session)
        #expect(session.isDetached)
        let romeo = try stage.online("romeo", "orchard")
        try romeo.post("<message to='\(juliet.jid)' type='chat' id='2'><body>two</body></message>")
        try romeo.post("<iq to='\(juliet.jid)' type='get' id='4'><query xmlns='jabber:iq:version'/></iq>")
        stage.cluster.advance(seconds: 59)
        #expect(session.isDetached)
        print(romeo.takeReceived(), session.unacked)
        stage.cluster.advance(seconds: 2)
        #expect(session.ended == .expired)
        print(romeo.takeReceived(), session.unacked)
    }
}
