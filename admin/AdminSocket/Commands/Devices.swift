import AdminLanguage
import ServerCore
import Stanzas

/// `user devices`: who may come back without a password.
extension Commands {
    func devices(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        let id = invocation.option("revoke")?.lowercased()
        let isAll = invocation.flag("revoke-all")
        switch (id, isAll) {
        case (nil, false): listDevices(of: jid, sink)
        case (nil, true): revoke([], of: jid, sink) { "\($0) devices of \(jid) logged out" }
        case (let id?, false):
            guard !id.isEmpty else { return sink.fail(.invalid, "the id of the device is empty; see user devices \(jid)") }
            revoke(Array(id.utf8), of: jid, sink) { $0 > 0 ? "the device \(id) of \(jid) is logged out" : nil }
        case (_?, true): sink.fail(.usage, "--revoke and --revoke-all exclude each other")
        }
    }

    private func listDevices(of jid: JID, _ sink: ReplySink) {
        send(.call(DeviceInfo.listCall, []), to: jid) { result in
            switch result {
            case .value(let bytes):
                guard let devices = DeviceInfo.decode(bytes) else { return sink.fail(.failed, "the answer cannot be read") }
                sink.end { reply in
                    reply.table(
                        "devices", ["id", "software", "device", "first_seen", "last_seen", "login", "token", "token_until", "sessions"])
                    for device in devices {
                        reply.row(
                            .text(device.id), device.software.map { .text($0) } ?? .none, device.device.map { .text($0) } ?? .none,
                            .text(Moment.text(device.firstSeen)), .text(Moment.text(device.lastSeen)), .text(device.mechanism),
                            device.tokenMechanism.map { .text($0) } ?? .none,
                            device.tokenMechanism == nil ? .none : .text(Moment.text(device.tokenExpires)), ReplyValue(device.sessions))
                    }
                    reply.ok("\(devices.count) devices")
                }
            case .notFound: sink.fail(.notFound, "there is no account \(jid)")
            case .failed(let why): sink.fail(.failed, why)
            case .done, .exists: sink.fail(.failed, "the answer cannot be read")
            }
        }
    }

    /// - Parameter done: says what became of it; nil: there was no such device.
    private func revoke(_ id: [UInt8], of jid: JID, _ sink: ReplySink, done: @escaping @Sendable (Int) -> String?) {
        send(.call(DeviceInfo.revokeCall, id), to: jid) { result in
            switch result {
            case .done(let count):
                guard let text = done(count) else { return sink.fail(.notFound, "\(jid) has no such device; see user devices \(jid)") }
                sink.end { $0.ok(text) }
            case .notFound: sink.fail(.notFound, "there is no account \(jid)")
            case .failed(let why): sink.fail(.failed, why)
            case .value, .exists: sink.fail(.failed, "the answer cannot be read")
            }
        }
    }
}
