/// Whether somebody attends to the client: its home calls those who sleep (XEP-0357).
extension Session {
    /// Notes that the client sleeps for a reason, or does no longer. The home is told when it changes; one that takes over is told with
    /// everything else.
    func sleeps(_ why: Resource.Flags, _ asleep: Bool) {
        let before = sleep
        if asleep { sleep.insert(why) } else { sleep.remove(why) }
        guard sleep != before, bind != nil, ended == nil, let home = shard.placement.home(of: account) else { return }
        shard.post(.sleeps(account: account, session: ref, flags: sleep.rawValue), to: home)
    }
}
