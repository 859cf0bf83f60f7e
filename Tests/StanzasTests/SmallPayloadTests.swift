import Stanzas
import Testing
import XMLStream

@Suite struct DateTimeTests {
    @Test(
        arguments: [
            ("1969-07-21T02:56:15Z", -14_159_025_000_000), ("1969-07-20T21:56:15-05:00", -14_159_025_000_000),  // XEP-0082 §3.2
            ("1970-01-01T00:00:00Z", 0), ("1970-01-01T00:00:00.000001Z", 1), ("1969-12-31T23:59:59.999999Z", -1),
            ("2000-02-29T12:00:00+05:30", 951_805_800_000_000), ("2016-12-31T23:59:60Z", 1_483_228_799_000_000),
            ("2002-09-10T23:08:25.5Z", 1_031_699_305_500_000), ("2002-09-10T23:08:25.1234567899Z", 1_031_699_305_123_456),
            ("2024-01-01T24:00:00Z", 1_704_153_600_000_000), ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000_000), ("1970-01-01T14:00:00+14:00", 0),
        ] as [(String, Int64)])
    func reads(text: String, microseconds: Int64) {
        #expect(DateTime(text)?.microseconds == microseconds)
    }

    @Test(arguments: [
        "", "2002-09-10", "2002-09-10T23:08:25", "2002-09-10 23:08:25Z", "20020910T23:08:25", "2002-9-10T23:08:25Z", "2002-13-10T23:08:25Z",
        "2002-00-10T23:08:25Z", "2002-02-29T23:08:25Z", "1900-02-29T00:00:00Z", "2002-04-31T00:00:00Z", "2002-09-10T24:00:01Z",
        "2002-09-10T25:08:25Z", "2002-09-10T23:60:25Z", "2002-09-10T23:08:61Z", "2002-09-10T23:08:25.Z", "2002-09-10T23:08:25+0500",
        "2002-09-10T23:08:25+15:00", "2002-09-10T23:08:25+14:01", "2002-09-10T23:08:25+05:60", "2002-09-10T23:08:25ZZ",
        "2002-09-10T23:08:25z", "-002-09-10T23:08:25Z", "12002-09-10T23:08:25Z", "0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
        "2002-09-10T23:08:2\u{665}Z",
    ])
    func refuses(text: String) {
        #expect(DateTime(text) == nil)
    }

    @Test func writes() {
        #expect(DateTime(microseconds: 0).description == "1970-01-01T00:00:00Z")
        #expect(DateTime(microseconds: -1).description == "1969-12-31T23:59:59.999999Z")
        #expect(DateTime(microseconds: 1_031_699_305_500_000).description == "2002-09-10T23:08:25.500Z")
        #expect(DateTime(microseconds: .min).description == "0000-01-01T00:00:00Z")
        #expect(DateTime(microseconds: .max).description == "9999-12-31T23:59:59.999999Z")
        #expect(DateTime(microseconds: 1_031_699_305_500_000).legacy == "20020910T23:08:25")
        #expect(DateTime(microseconds: 1_031_699_305_500_000).date == "2002-09-10")
    }

    @Test func roundTrip() {
        var random = SplitMix(seed: 82)
        let range = DateTime.range.lowerBound.microseconds...DateTime.range.upperBound.microseconds
        for index in 0..<20_000 {
            var value = Int64.random(in: range, using: &random)
            if index % 3 == 1 { value -= value % 1000 }
            if index % 3 == 2 { value -= value % 1_000_000 }
            let moment = DateTime(microseconds: value)
            #expect(DateTime(moment.description) == moment)
        }
        #expect(DateTime.now.microseconds > 1_700_000_000_000_000)
    }
}

@Suite struct SmallPayloadTests {
    private func written(_ body: (inout XMLWriter) -> Void) -> [UInt8] {
        var writer = XMLWriter()
        body(&writer)
        return writer.bytes
    }

    private func parse(_ xml: String) throws -> Element { try Element.parse(Array(xml.utf8)) }

    @Test func delay() throws {
        let example = try parse("<delay xmlns='urn:xmpp:delay' from='capulet.com' stamp='2002-09-10T23:08:25Z'>Offline Storage</delay>")
        let delay = Delay(stamp: DateTime(microseconds: 1_031_699_305_000_000), from: try JID("capulet.com"), reason: "Offline Storage")
        #expect(Delay(example) == delay)
        #expect(Delay(try Element.parse(written(delay.write))) == delay)
        #expect(Delay(try Element.parse(written(Delay(stamp: delay.stamp).write))) == Delay(stamp: delay.stamp))
        #expect(Delay(try parse("<delay xmlns='urn:xmpp:delay' from='@' stamp='2002-09-10T23:08:25Z'/>"))?.from == nil)
        for bad in [
            "<delay xmlns='urn:xmpp:delay'/>", "<delay xmlns='urn:xmpp:delay' stamp='now'/>", "<delay stamp='2002-09-10T23:08:25Z'/>",
        ] {
            #expect(Delay(try parse(bad)) == nil)
        }
    }

    @Test func ids() throws {
        let id = StanzaID(id: "a'b", by: try JID("room@muc.example.com"))
        #expect(StanzaID(try Element.parse(written(id.write))) == id)
        let origin = OriginID(id: "de305d54")
        #expect(OriginID(try Element.parse(written(origin.write))) == origin)
        #expect(StanzaID(try Element.parse(written(origin.write))) == nil)
        #expect(OriginID(try Element.parse(written(id.write))) == nil)
        for bad in [
            "<stanza-id xmlns='urn:xmpp:sid:0' by='a.example'/>", "<stanza-id xmlns='urn:xmpp:sid:0' id='x'/>",
            "<stanza-id xmlns='urn:xmpp:sid:0' id='' by='a.example'/>", "<stanza-id xmlns='urn:xmpp:sid:0' id='x' by='a@'/>",
            "<origin-id xmlns='urn:xmpp:sid:0'/>", "<origin-id xmlns='urn:xmpp:sid:0' id=''/>",
        ] {
            let element = try parse(bad)
            #expect(StanzaID(element) == nil && OriginID(element) == nil)
        }
    }

    @Test func hints() throws {
        for raw in UInt8(0)..<16 {
            let hints = Hints(rawValue: raw)
            let message = [UInt8]("<message><no-store/><store xmlns='urn:other'/>".utf8) + written(hints.write) + [UInt8]("</message>".utf8)
            #expect(Hints(in: try Element.parse(message)) == hints)
        }
    }

    @Test func resultSets() throws {
        let requests: [ResultSet.Request] = [
            .init(), .init(max: 10), .init(max: 0), .init(max: 10, after: "a<b"), .init(max: 5, before: ""), .init(before: "x"),
            .init(max: 10, index: 371), .init(after: "a", before: "b"),
        ]
        for request in requests {
            #expect(try ResultSet.Request(Element.parse(written(request.write))) == request)
            #expect(request.wantsLastPage == (request.before == ""))
        }
        let inner = "<query xmlns='jabber:iq:search'><set xmlns='http://jabber.org/protocol/rsm'><max>10</max><after/></set></query>"
        #expect(try ResultSet.Request(in: parse(inner)) == ResultSet.Request(max: 10))
        #expect(try ResultSet.Request(in: parse("<query xmlns='jabber:iq:search'/>")) == nil)
        for bad in ["<max>-1</max>", "<max>ten</max>", "<max/>", "<index>1.5</index>", "<max>99999999999999999999</max>"] {
            #expect(throws: StanzaError.self) { try ResultSet.Request(parse("<set xmlns='http://jabber.org/protocol/rsm'>\(bad)</set>")) }
        }
        let pages: [ResultSet.Page] = [
            .init(), .init(count: 0), .init(first: "a", firstIndex: 10, last: "z", count: 800), .init(first: "a", last: "a"),
        ]
        for page in pages { #expect(ResultSet.Page(try Element.parse(written(page.write))) == page) }
        // §2.2: one item is first and last; none has neither.
        #expect(ResultSet.Page(try Element.parse(written(ResultSet.Page(first: "a").write))).last == "a")
        #expect(!String(decoding: written(ResultSet.Page(last: "a", count: 3).write), as: UTF8.self).contains("last"))
    }

    @Test func forms() throws {
        let form = DataForm(
            .form, formType: "urn:example:config", title: "Room <1>", instructions: ["one", "two"],
            fields: [
                .init(nil, .fixed, values: ["Section"]),
                .init("open", .boolean, label: "Open?", explanation: "Who may enter", isRequired: true, values: ["1"]),
                .init("who", .listMulti, values: ["a"], options: [.init("a", label: "A"), .init("b")]),
                .init("admins", .jidMulti), .init("note", .textMulti, values: ["x", "y"]), .init("name", .textSingle),
            ])
        #expect(DataForm(try Element.parse(written(form.write))) == form)
        #expect(form.formType == "urn:example:config" && form["open"]?.bool == true && form["note"]?.lines == "x\ny")
        let table = DataForm(
            .result, reported: [.init("a", .textSingle, label: "A")], items: [[.init("a", values: ["1"])], [.init("a", values: ["2"])]])
        #expect(DataForm(try Element.parse(written(table.write))) == table)

        func fault(_ fields: [DataForm.Field]) -> String? { form.fault(in: DataForm(.submit, fields: fields)) }
        let open = DataForm.Field("open", values: ["false"])
        #expect(fault([open]) == nil)
        #expect(
            fault([open, .init("unknown", values: ["x"]), .init("who", values: ["a", "b"]), .init("admins", values: ["a@b", "c"])]) == nil)
        #expect(fault([]) == "open is required")
        #expect(fault([.init("open")]) == "open is required")
        #expect(fault([.init("open", values: ["maybe"])]) == "open must be true or false")
        #expect(fault([.init("open", values: ["0", "1"])]) == "open takes one value")
        #expect(fault([open, .init("who", values: ["c"])]) == "who must be one of the options")
        #expect(fault([open, .init("admins", values: ["@"])]) == "admins must be an address")
        #expect(fault([open, .init("name", values: ["a", "b"])]) == "name takes one value")
    }

    @Test func oddForms() throws {
        let head = "<x xmlns='jabber:x:data'"
        #expect(DataForm(try parse(head + "/>")) == nil)
        #expect(DataForm(try parse(head + " type='odd'/>")) == nil)
        #expect(DataForm(try parse("<x xmlns='other' type='form'/>")) == nil)
        let form = try #require(
            DataForm(
                try parse(
                    head
                        + " type='form'><field var='FORM_TYPE'><value>a</value></field><field type='text-single'/><field var='b' type='odd'/>"
                        + "<field var='c' type='list-single'><option/><option label='l'><value>v</value></option></field></x>")))
        // Not hidden: no FORM_TYPE (XEP-0068 §3.1).
        #expect(form.formType == nil)
        #expect(form.fields.map(\.name) == ["FORM_TYPE", "b", "c"])
        #expect(form["b"]?.kind == .textSingle && form["c"]?.options == [.init("v", label: "l")])
        #expect(DataForm(in: try parse("<q xmlns='z'>\(head) type='cancel'/></q>"))?.kind == .cancel)
    }
}
