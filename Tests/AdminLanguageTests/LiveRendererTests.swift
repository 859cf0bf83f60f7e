import AdminLanguage
import Testing

/// Replies without end, as people and programs see them.
@Suite struct LiveRendererTests {
    private let columns = ["time", "stanza", "node", "loop", "station", "kind", "type", "from", "to", "id", "detail", "content"]

    private func row(
        _ station: String, story: String = "0a", type: String = "chat", id: String? = "m1", detail: String? = nil, content: String? = nil
    )
        -> ReplyLine
    {
        .row(
            [
                "18:00:00.000001", .text(story), "a", 0, .text(station), "message", .text(type), "romeo@x/r", nil, ReplyValue(id),
                ReplyValue(detail), ReplyValue(content),
            ])
    }

    @Test func aTraceReadsAsStories() {
        var live = LiveRenderer(isJSON: false)
        #expect(live.take(.fact(key: "loops", value: 2)) == Rendered())
        #expect(live.take(.table(name: "trace", columns: columns)).err == "loops 2; ctrl-c ends it\n")
        #expect(
            live.take(row("received", detail: "12 bytes", content: "<message/>")).out
                == "18:00:00.000001 0a a/0   received     [message chat, romeo@x/r to -, id m1] 12 bytes\n    <message/>\n")
        #expect(live.take(row("kept")).out == "18:00:00.000001 0a a/0   kept        \n")
        // It became another: an error.
        #expect(live.take(row("sent", type: "error")).out.contains("[message error, romeo@x/r to -, id m1]"))
        #expect(live.take(row("kept", story: "0b", id: nil)).out.contains("0b a/0   kept         [message chat, romeo@x/r to -]"))
        #expect(live.take(.warning("too much")).err == "warning: too much\n")
        #expect(live.take(.progress(done: 1, total: nil)) == Rendered())
        #expect(live.take(.ok("2 stanzas")) == Rendered(err: "2 stanzas\n"))
    }

    @Test func programsGetAnObjectALine() {
        var live = LiveRenderer(isJSON: true)
        _ = live.take(.fact(key: "loops", value: 2))
        #expect(live.take(.table(name: "trace", columns: ["a", "b"])) == Rendered())
        #expect(live.take(.row([1, nil])).out == "{\"a\":1,\"b\":null}\n")
        #expect(live.take(.row(["\u{1B}x", true])).out == "{\"a\":\"\\u001bx\",\"b\":true}\n")
        #expect(live.take(.error(.partial, "not all")) == Rendered(err: "martletctl: not all\n"))
    }

    @Test func otherTablesAreRowsToo() {
        var live = LiveRenderer(isJSON: false)
        _ = live.take(.table(name: "things", columns: ["name", "x"]))
        #expect(live.take(.row(["long name", 2])).out == "long name  2\n")
        #expect(live.take(.row(["s", 30])).out == "s          30\n")
    }
}
