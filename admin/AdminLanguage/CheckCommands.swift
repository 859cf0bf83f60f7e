/// `check …`: what stands between a configuration and clients that get in. No node has to run for it.
extension CommandTable {
    private static let config = AdminCommand.Option.value(
        "config", "FILE", .path, "The configuration; /etc/martlet/martlet.toml when not given.")
    private static let resolver = AdminCommand.Option.value(
        "resolver", "ADDRESS", .text, "The DNS server to ask, as 192.0.2.53 or 127.0.0.1:5353; the machine's own when not given.")
    private static let authorities = AdminCommand.Option.value(
        "ca", "FILE", .path, "PEM certificates that clients trust; those of this machine when not given.")
    private static let findings =
        "Each line says what is so, and what to do where something is to be done. The exit status is 1 when something must be mended; a note need not be."
    private static let program =
        "It is done by martletd as a program on this machine, as the user who asks; run it as the user of the server, who may read the keys."

    static let checks: [AdminCommand] = [
        AdminCommand(
            path: ["check", "dns"],
            arguments: [
                .init(name: "DOMAIN", kind: .host, summary: "The domain; all hosts of the configuration when not given.", isOptional: true)
            ],
            options: [config, resolver], effect: .reads, isOfMachine: true,
            summary: "Look whether clients find the hosts by the DNS.",
            details: [
                "The SRV records for clients, with STARTTLS and with direct TLS, their targets with addresses and ports, and the records for other servers.",
                findings,
            ],
            examples: ["check dns", "check dns example.org --resolver 9.9.9.9"]),
        AdminCommand(
            path: ["check", "certificates"],
            arguments: [.init(name: "DOMAIN", kind: .host, summary: "The host; all of them when not given.", isOptional: true)],
            options: [config, authorities], effect: .reads, isOfMachine: true,
            summary: "Look at the certificates: files, keys, names, dates, chains, and what running nodes show to clients.",
            details: [findings, program], examples: ["check certificates", "check certificates example.org --ca company-root.pem"]),
        AdminCommand(
            path: ["check", "ports"], options: [config], effect: .reads, isOfMachine: true,
            summary: "Connect to every configured listener as a client would.",
            details: [
                "A listener on all addresses is reached over loopback: a firewall before this machine is not seen from here.", findings,
            ],
            examples: ["check ports", "check ports --config ./martlet.toml"]),
        AdminCommand(
            path: ["check", "clocks"], options: [config], effect: .reads, isOfMachine: true,
            summary: "Look whether somebody keeps the clock of this machine, and whether the nodes have the same time.",
            details: [findings], examples: ["check clocks"]),
        AdminCommand(
            path: ["check", "all"], options: [config, resolver, authorities], effect: .reads, isOfMachine: true,
            summary: "All of these checks, one after the other.",
            details: [findings, program], examples: ["check all", "--json check all"]),
    ]
}
