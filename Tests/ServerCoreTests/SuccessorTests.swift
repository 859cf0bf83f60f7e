import ServerCore
import Testing

@testable import TestKit

/// A client comes back under the name of a session that still holds messages.
@Suite struct SuccessorTests {
    /// The node of the old session no longer answers, and nobody knows yet that it is dead.
    @Test func nothingNewerComesBeforeWhatTheForerunnerHolds() throws {
        let stage = try Stage(nodes: 3)
        let romeo = try stage.online("romeo", "orchard")
        let forerunner = try stage.online("juliet", "desk", node: 2)
        forerunner.isStalled = true
        try romeo.post(Stage.say("one", to: "juliet@capulet.lit"))
        stage.cluster.run()
        for loop in stage.cluster.nodes[2].loops { loop.stop() }
        let successor = try stage.online("juliet", "desk", node: 1)
        try romeo.post(Stage.say("two", to: "juliet@capulet.lit"))
        stage.cluster.run()
        #expect(try successor.bodies() == [])
        stage.cluster.kill(2)
        stage.cluster.run()
        #expect(try successor.bodies() == ["one", "two"])
    }

    /// The old session answers: what its client had is not sent again, the rest comes first.
    @Test func whatTheForerunnerHandedOverIsNotSentAgain() throws {
        let stage = try Stage(nodes: 2)
        let romeo = try stage.online("romeo", "orchard")
        let forerunner = try stage.online("juliet", "desk", node: 1)
        try romeo.post(Stage.say("one", to: "juliet@capulet.lit"))
        stage.cluster.run()
        forerunner.isStalled = true
        try romeo.post(Stage.say("two", to: "juliet@capulet.lit"))
        stage.cluster.run()
        let successor = try stage.cluster.connect("juliet", resource: "desk", node: 0)
        #expect(forerunner.closedWith == "conflict")
        try romeo.post(Stage.say("three", to: "juliet@capulet.lit"))
        try successor.post("<presence/>")
        stage.cluster.run()
        #expect(try successor.bodies() == ["two", "three"])
    }
}
