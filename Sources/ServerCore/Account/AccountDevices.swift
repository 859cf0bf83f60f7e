import Settings
import Stanzas
import Store

/// The devices of an account and their tokens (XEP-0484), at the home: it gives them, counts their uses, and takes them back.
extension Account {
    static func registerDevices(in registration: inout Registration) {
        registration.call(DeviceLogin.call) { argument, turn, result in
            guard let login = DeviceLogin(argument) else { return result.reply(.failed("the login of a device cannot be read")) }
            result.reply(.value(turn.account.loggedIn(login).encode()))
        }
        registration.call(DeviceInfo.listCall) { _, turn, result in result.reply(.value(DeviceInfo.encode(turn.account.devices))) }
        registration.call(DeviceInfo.revokeCall) { argument, turn, result in
            let id = String(decoding: argument, as: UTF8.self)
            result.reply(turn.account.revokeDevices(id.isEmpty ? nil : id))
        }
    }

    /// How much later a device must be seen for that alone to be written.
    private static let seenPrecision: Int64 = 15 * 60 * 1_000_000

    // MARK: Logins

    private func loggedIn(_ login: DeviceLogin) -> DeviceLogin.Answer {
        let now = core.clock.now
        let before = items(.device)[login.id].flatMap { DeviceRecord($0) }
        var device =
            before
            ?? DeviceRecord(software: login.software, device: login.device, firstSeen: now, lastSeen: now, mechanism: login.mechanism)
        // Asked again after a takeover: what it came to stands in the record.
        if before != nil, device.lastLogin == login.number { return answer(device, login) }
        if login.token != nil, !use(login, &device, now) { return .refused }
        issue(login, &device, now)
        device.software = login.software ?? device.software
        device.device = login.device ?? device.device
        device.mechanism = login.mechanism
        let isWorthARow = device != before || now &- device.lastSeen >= Self.seenPrecision
        guard isWorthARow else { return answer(device, login) }
        device.lastSeen = now
        device.lastLogin = login.number
        if before == nil { makePlaceForADevice() }
        keep(.device, login.id, device.encode())
        return answer(device, login)
    }

    /// A token that this very login was given.
    private func answer(_ device: DeviceRecord, _ login: DeviceLogin) -> DeviceLogin.Answer {
        guard device.lastLogin == login.number, let fresh = device.fresh, fresh.issued == device.lastSeen else {
            return .accepted(token: nil, expires: 0)
        }
        return .accepted(token: fresh.secret, expires: fresh.expires)
    }

    /// Counts the use of a token. The asking node found it good; the home knows whether it still is.
    private func use(_ login: DeviceLogin, _ device: inout DeviceRecord, _ now: Int64) -> Bool {
        func isGood(_ token: DeviceRecord.Token?) -> Bool {
            guard let token, token.secret == login.token, token.mechanism == login.mechanism, token.expires > now else { return false }
            // Replayed, or from a copy of the client (§3.4).
            if let count = login.count, let last = token.count { return count > last }
            return true
        }
        if isGood(device.fresh) {
            // The one before has served (§3.5).
            device.current = device.fresh
            device.fresh = nil
        } else if !isGood(device.current) {
            return false
        }
        if let count = login.count { device.current?.count = count }
        if login.invalidate {
            device.current = nil
            device.fresh = nil
        }
        return true
    }

    /// Gives a new token where one is wanted, or the one that was used is due (§3.3, §3.5).
    private func issue(_ login: DeviceLogin, _ device: inout DeviceRecord, _ now: Int64) {
        let settings = core.settings.authentication
        guard settings.tokenDays > 0 else { return }
        let mechanism: String
        if let wanted = login.wantsTokenFor {
            mechanism = wanted
        } else {
            guard login.token != nil, let used = device.current, now &- used.issued >= Self.microseconds(days: settings.tokenRotationDays)
            else { return }
            mechanism = used.mechanism
        }
        device.fresh = DeviceRecord.Token(
            secret: randomSecret(), mechanism: mechanism, issued: now, expires: now &+ Self.microseconds(days: settings.tokenDays))
    }

    private static func microseconds(days: Int) -> Int64 { Int64(clamping: days) &* 86_400_000_000 }

    /// 256 bits of chance.
    private func randomSecret() -> String {
        var bytes = ByteWriter()
        for _ in 0..<4 { bytes.uint64(core.random.next()) }
        return Base64.encode(bytes.bytes)
    }

    /// Devices are bounded: the one that was not seen for the longest time goes.
    private func makePlaceForADevice() {
        let all = items(.device)
        guard all.count >= core.settings.authentication.devicesPerAccount else { return }
        let seen = all.mapValues { DeviceRecord($0)?.lastSeen ?? 0 }.sorted { ($0.value, $0.key) < ($1.value, $1.key) }
        for (id, _) in seen.prefix(all.count - core.settings.authentication.devicesPerAccount + 1) { forget(.device, id) }
    }

    // MARK: Views and revocation

    /// By the time they were seen last, the latest first.
    var devices: [DeviceInfo] {
        let now = core.clock.now
        let all = items(.device).compactMap { id, value -> DeviceInfo? in
            guard let record = DeviceRecord(value) else { return nil }
            let token = record.tokens.filter { $0.expires > now }.max { $0.expires < $1.expires }
            return DeviceInfo(
                id: id, software: record.software, device: record.device, firstSeen: record.firstSeen, lastSeen: record.lastSeen,
                mechanism: record.mechanism, tokenMechanism: token?.mechanism, tokenExpires: token?.expires ?? 0,
                sessions: resources.count { $0.device == id })
        }
        return all.sorted { ($0.lastSeen, $0.id) > ($1.lastSeen, $1.id) }
    }

    /// Logs a device out, or all of them: its token is void and its sessions end.
    private func revokeDevices(_ id: String?) -> CommandResult {
        let ids = id.map { items(.device)[$0] == nil ? [] : [$0] } ?? Array(items(.device).keys)
        for id in ids { forget(.device, id) }
        let victims = resources.filter { $0.device != nil && (id == nil || $0.device == id) }
        for resource in victims { endSession(resource, .kicked(text: "This device was logged out")) }
        return .done(ids.count)
    }

    /// The password changed: whoever came in by the old one is out, tokens too.
    func revokeTokens() {
        for (id, value) in items(.device) {
            guard var device = DeviceRecord(value), !device.tokens.isEmpty else { continue }
            device.current = nil
            device.fresh = nil
            keep(.device, id, device.encode())
        }
    }
}
