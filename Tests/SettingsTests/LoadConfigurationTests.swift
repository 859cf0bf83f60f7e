import Testing

@testable import Settings

/// The configuration for measurements, as `ops/run` fills it.
@Suite struct LoadConfigurationTests {
    @Test func itIsGoodOnceItsPlacesAreFilled() throws {
        let top = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        let file = top + "/ops/load/bench.toml"
        var text = try SettingsFile.text(of: file)
        for (place, value) in [("@DIRECTORY@", "/d"), ("@DOMAIN@", "bench.local"), ("@PORT@", "15622")] { text.replace(place, with: value) }
        for offset in [1, 11, 12, 13] { text.replace("@PORT+\(offset)@", with: "\(15622 + offset)") }
        #expect(!text.contains("@D") && !text.contains("@P"), "ops/run does not know this place")
        let (settings, warnings) = try Settings.parse(text, file: file)
        #expect(warnings.isEmpty)
        #expect(settings.hosts.map(\.domain) == ["bench.local", "kept.bench.local"])
        #expect(settings.hosts.map(\.durability) == [.relay, .kept])
        #expect(settings.hosts.allSatisfy { !$0.requireTLS && $0.certificate == "/d/bench.local.crt" && $0.key == "/d/bench.local.key" })
        #expect(settings.node.loops == 1)
        #expect(settings.listen.c2s == ["127.0.0.1:15622"])
        #expect(settings.listen.c2sOfNode == ["a": ["127.0.0.1:15633"], "b": ["127.0.0.1:15634"], "c": ["127.0.0.1:15635"]])
    }
}
