internal import CCares
internal import Glibc

/// Asks the DNS and waits for the answer: for programs that do nothing else meanwhile. Not for loops.
final class Resolver {
    enum Failure: Error, Equatable {
        /// The name does not exist, or has no such records.
        case none
        /// Nobody answered, or with a failure; why.
        case failed(String)
    }

    /// One record of a service (RFC 2782).
    struct Service: Equatable {
        var priority: Int
        var weight: Int
        var port: Int
        /// Without a dot at its end; empty for ".", which says that there is no such service.
        var target: String
    }

    /// The addresses of a name.
    struct Addresses: Equatable {
        var addresses: [String] = []
        /// Whether the name is an alias of another.
        var isAlias = false
    }

    private var channel: ares_channel?

    /// - Parameters:
    ///   - server: whom to ask, "address" or "address:port"; nil: as the machine is configured.
    ///   - milliseconds: how long one server may take to answer; each is asked twice.
    init(server: String?, milliseconds: Int32) throws(Failure) {
        guard ares_library_init(ARES_LIB_INIT_ALL) == 0 else { throw .failed("c-ares cannot be initialised") }
        var options = ares_options()
        options.timeout = milliseconds
        options.tries = 2
        options.flags = Int32(ARES_FLAG_NOSEARCH)
        guard ares_init_options(&channel, &options, Int32(ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_FLAGS)) == 0 else {
            throw .failed("c-ares cannot be initialised")
        }
        if let server, ares_set_servers_ports_csv(channel, server) != 0 {
            throw .failed("\"\(server)\" is no address of a DNS server: write it as 192.0.2.53 or 127.0.0.1:5353")
        }
    }

    deinit {
        if let channel { ares_destroy(channel) }
        ares_library_cleanup()
    }

    // MARK: Questions

    /// The records of a service, in the order in which clients take them.
    func services(_ name: String) throws(Failure) -> [Service] {
        let answer = try ask(name, type: 33)
        var first: UnsafeMutablePointer<ares_srv_reply>?
        let status = ares_parse_srv_reply(answer, Int32(clamping: answer.count), &first)
        guard status == 0 else { throw Self.failure(status) }
        defer { ares_free_data(first) }
        var found: [Service] = []
        var next = first
        while let record = next?.pointee {
            var target = record.host.map { String(cString: $0) } ?? ""
            while target.hasSuffix(".") { target.removeLast() }
            found.append(Service(priority: Int(record.priority), weight: Int(record.weight), port: Int(record.port), target: target))
            next = record.next
        }
        return found.sorted { ($0.priority, -$0.weight, $0.target) < ($1.priority, -$1.weight, $1.target) }
    }

    /// The IPv4 and IPv6 addresses of a name; empty when it has none.
    func addresses(_ name: String) throws(Failure) -> Addresses {
        var found = Addresses()
        for type in [1, 28] as [Int32] {
            do throws(Failure) {
                let answer = try ask(name, type: type)
                var host: UnsafeMutablePointer<hostent>?
                let status =
                    type == 1
                    ? ares_parse_a_reply(answer, Int32(clamping: answer.count), &host, nil, nil)
                    : ares_parse_aaaa_reply(answer, Int32(clamping: answer.count), &host, nil, nil)
                guard status == 0 else { throw Self.failure(status) }
                defer { if let host { ares_free_hostent(host) } }
                if let host { Self.add(host.pointee, to: &found) }
            } catch {
                guard error == .none else { throw error }
            }
        }
        return found
    }

    private static func add(_ host: hostent, to found: inout Addresses) {
        if host.h_aliases?.pointee != nil { found.isAlias = true }
        var next = host.h_addr_list
        while let entry = next?.pointee {
            var text = [CChar](repeating: 0, count: 64)
            if inet_ntop(host.h_addrtype, entry, &text, 64) != nil {
                found.addresses.append(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
            }
            next = next?.advanced(by: 1)
        }
    }

    // MARK: Asking

    /// Where the answer of a question goes.
    private final class Answer {
        var status: Int32?
        var bytes: [UInt8] = []
    }

    private func ask(_ name: String, type: Int32) throws(Failure) -> [UInt8] {
        guard let channel else { throw .failed("c-ares is not initialised") }
        let answer = Answer()
        let pointer = Unmanaged.passRetained(answer)
        ares_query(
            channel, name, 1, type,
            { argument, status, _, bytes, count in
                guard let argument else { return }
                // Called once for each question, at the latest when the channel is destroyed.
                let answer = Unmanaged<Answer>.fromOpaque(argument).takeRetainedValue()
                answer.status = status
                if let bytes, count > 0 { answer.bytes = Array(UnsafeBufferPointer(start: bytes, count: Int(count))) }
            }, pointer.toOpaque())
        while answer.status == nil { wait(channel) }
        guard answer.status == 0 else { throw Self.failure(answer.status ?? 0) }
        return answer.bytes
    }

    /// Waits until something can be read or written, or a time is over, and goes on.
    private func wait(_ channel: ares_channel) {
        var sockets = [ares_socket_t](repeating: 0, count: 16)
        let bits = ares_getsock(channel, &sockets, 16)
        var waiting: [pollfd] = []
        for (index, socket) in sockets.enumerated() {
            let reads = bits & (1 << Int32(index)) != 0
            let writes = bits & (1 << Int32(index + 16)) != 0
            if reads || writes {
                waiting.append(pollfd(fd: socket, events: Int16(reads ? POLLIN : 0) | Int16(writes ? POLLOUT : 0), revents: 0))
            }
        }
        let ready = poll(&waiting, nfds_t(waiting.count), martlet_ares_wait(channel, 1_000))
        let none: ares_socket_t = -1
        guard ready > 0 else { return ares_process_fd(channel, none, none) }
        for entry in waiting where entry.revents != 0 {
            let reads = entry.revents & Int16(POLLIN | POLLERR | POLLHUP) != 0
            ares_process_fd(channel, reads ? entry.fd : none, entry.revents & Int16(POLLOUT) != 0 ? entry.fd : none)
        }
    }

    private static func failure(_ status: Int32) -> Failure {
        switch status {
        case ARES_ENODATA, ARES_ENOTFOUND: .none
        default: .failed(ares_strerror(status).map { String(cString: $0) } ?? "status \(status)")
        }
    }
}
