// swift-tools-version: 6.1
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let nio: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let log: Target.Dependency = .product(name: "Logging", package: "swift-log")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

func room(_ name: String, _ dependencies: [Target.Dependency], path: String? = nil) -> Target {
    .target(name: name, dependencies: dependencies, path: path, swiftSettings: strict)
}

func suite(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, path: "Tests/\(name)", exclude: exclude, swiftSettings: strict)
}

let package = Package(
    name: "martlet",
    products: [
        .executable(name: "martletd", targets: ["martletd"]),
        .executable(name: "martletctl", targets: ["martletctl"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        // Floor 0: C libraries, and rooms that know nothing of a server.
        .systemLibrary(name: "CLibXML2", pkgConfig: "libxml-2.0", providers: [.apt(["libxml2-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
        .systemLibrary(name: "CSASL", pkgConfig: "libsasl2", providers: [.apt(["libsasl2-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CCares", pkgConfig: "libcares", providers: [.apt(["libc-ares-dev"])]),
        .systemLibrary(name: "CICU", pkgConfig: "icu-uc", providers: [.apt(["libicu-dev"])]),
        .target(name: "CShims", dependencies: ["CICU"]),
        room("XMLStream", ["CLibXML2"]),
        room("Stanzas", ["XMLStream", "CShims"]),
        room("Settings", []),
        room("Telemetry", ["CShims"]),
        room("AdminLanguage", [], path: "admin/AdminLanguage"),
        room("Console", ["AdminLanguage"], path: "admin/Console"),
        // Floor 1: pure machines, credentials, the shape of what is kept.
        room("StreamLogic", ["Stanzas", "XMLStream"]),
        room("PortableData", ["Stanzas", "XMLStream", "CLibXML2"]),
        room("Authentication", ["Stanzas", "CSASL", "COpenSSL"]),
        room("Store", ["Stanzas", "CShims"]),
        room("BusProtocol", ["Stanzas", deque], path: "cluster/BusProtocol"),
        // Floor 2: the store on LMDB, and the server without sockets.
        room("LMDBStore", ["Store", "Stanzas", "CLMDB", "COpenSSL", "CShims"]),
        room(
            "ServerCore",
            [
                "Store", "Stanzas", "XMLStream", "Settings", "Telemetry",
                deque,
            ]),
        // Below floor 3: what its neighbours share of NIO.
        room("Listening", [nio]),
        // Floor 3: neighbours that never import each other.
        room("Modules", ["ServerCore", "Settings", "Store", "Stanzas", "XMLStream"]),
        room(
            "Transports",
            [
                "ServerCore", "StreamLogic", "Authentication", "Stanzas", "XMLStream", "Settings", "Telemetry", "COpenSSL", "CShims",
                "CZlib", "Listening", nio, nioPosix, log,
            ]),
        room("Bus", ["BusProtocol", "Listening", "Settings", "Telemetry", "CShims", nio, nioPosix, log], path: "cluster/Bus"),
        room(
            "AdminSocket",
            [
                "AdminLanguage", "ServerCore", "Authentication", "LMDBStore", "PortableData", "Settings", "Store", "Stanzas", "Telemetry",
                "XMLStream", "Listening", nio, nioPosix, log,
            ],
            path: "admin/AdminSocket"),
        room("Monitoring", ["Listening", "LMDBStore", "ServerCore", "Settings", "Store", "Telemetry", nio, nioPosix, nioHTTP, deque, log]),
        room("Checks", ["AdminLanguage", "Settings", "Stanzas", "CCares", "COpenSSL", "CShims"]),
        // Floor 4: assembly.
        room(
            "Node",
            [
                "Modules", "Transports", "Bus", "AdminSocket", "Monitoring", "LMDBStore", "ServerCore", "Store", "Authentication",
                "BusProtocol",
                "AdminLanguage", "Checks", "Stanzas", "Settings", "Telemetry", nio, nioPosix, log,
            ]),
        .executableTarget(name: "martletd", dependencies: ["Node", "Settings", arguments], swiftSettings: strict),
        .executableTarget(
            name: "martletctl", dependencies: ["AdminLanguage", "Console", "PortableData"], path: "admin/martletctl", swiftSettings: strict),
        .executableTarget(
            name: "martletload", dependencies: ["Stanzas", "XMLStream", "COpenSSL", arguments, deque, nio, nioPosix], path: "ops/load",
            exclude: ["README.md", "bench.toml"], swiftSettings: strict),
        // Suites: one a room.
        suite("XMLStreamTests", ["XMLStream"]),
        suite("StanzasTests", ["Stanzas", "XMLStream"]),
        suite("SettingsTests", ["Settings"]),
        suite("TelemetryTests", ["Telemetry"]),
        suite("AdminLanguageTests", ["AdminLanguage"]),
        suite("ConsoleTests", ["Console", "TestKit"]),
        suite("MartletctlTests", ["martletctl"]),
        suite("PortableDataTests", ["PortableData", "Stanzas", "XMLStream"]),
        suite("StreamLogicTests", ["StreamLogic", "Stanzas", "XMLStream"]),
        suite(
            "TransportsTests",
            [
                "Transports", "ServerCore", "Authentication", "Store", "StreamLogic", "Stanzas", "XMLStream", "Settings", "Telemetry",
                "COpenSSL", "CZlib", nio,
                nioPosix, nioEmbedded, log,
            ]),
        suite("MonitoringTests", ["Monitoring", "ServerCore", "Settings", "Telemetry", nio, nioPosix, log]),
        suite("AuthenticationTests", ["Authentication", "Stanzas", "COpenSSL"]),
        suite("StoreTests", ["Store", "LMDBStore", "Stanzas", "VolumeHammer"]),
        .executableTarget(name: "VolumeHammer", dependencies: ["Store", "LMDBStore"], path: "Tests/VolumeHammer", swiftSettings: strict),
        suite("BusProtocolTests", ["BusProtocol", "Stanzas"]),
        room(
            "TestKit",
            ["ServerCore", "Store", "Stanzas", "XMLStream", "StreamLogic", "Settings", "Telemetry", "AdminLanguage", "COpenSSL"],
            path: "Tests/TestKit"),
        suite("ClusterTests", ["TestKit", "AdminLanguage", "BusProtocol", "XMLStream", "martletctl", "martletd", "martletload"]),
        suite("HostileTests", ["AdminLanguage", "TestKit", "Stanzas", "XMLStream", "martletd"]),
        suite("ServerCoreTests", ["ServerCore", "Modules", "Settings", "Stanzas", "Store", "Telemetry", "TestKit", "XMLStream"]),
        suite("ModulesTests", ["Modules", "ServerCore", "Settings", "Stanzas", "TestKit", "XMLStream"]),
        suite("BusTests", ["Bus", "BusProtocol", "Settings", log, "bus-peer"]),
        .executableTarget(
            name: "bus-peer", dependencies: ["Bus", "BusProtocol", "Settings", log], path: "Tests/bus-peer", swiftSettings: strict),
        room(
            "Fuzzing",
            [
                "AdminLanguage", "Authentication", "BusProtocol", "CLibXML2", "LMDBStore", "Modules", "PortableData", "ServerCore",
                "Settings",
                "Stanzas", "Store", "StreamLogic", "TestKit", "XMLStream",
            ],
            path: "Tests/Fuzzing"),
        .executableTarget(name: "martlet-fuzz", dependencies: ["Fuzzing"], path: "Tests/martlet-fuzz", swiftSettings: strict),
        suite("FuzzTests", ["Fuzzing"]),
        .executableTarget(
            name: "martlet-benchmark",
            dependencies: [
                "Modules", "ServerCore", "StreamLogic", "Authentication", "LMDBStore", "Store", "BusProtocol", "Stanzas", "XMLStream",
                "Settings", "Telemetry", "COpenSSL",
            ],
            path: "Tests/Benchmarks", exclude: ["thresholds.txt"], swiftSettings: strict),
        // The seam under the calls of the system, for the one program of all suites.
        .target(name: "CFaults", dependencies: ["CLMDB"], path: "Tests/CFaults", linkerSettings: [.linkedLibrary("dl")]),
        suite(
            "FaultTests",
            [
                "CFaults", "CLMDB", "LMDBStore", "Store", "Stanzas", "ServerCore", "Modules", "Settings", "Telemetry", "XMLStream",
                "TestKit",
                "Bus", "BusProtocol", "Transports", "Authentication", "martletctl", nio, nioPosix, log,
            ]),
        suite("SimulationTests", ["Modules", "ServerCore", "Settings", "Stanzas", "Store", "TestKit", "XMLStream"]),
    ]
)
