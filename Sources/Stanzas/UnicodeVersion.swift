import CShims

extension JID {
    /// The Unicode version by which JIDs are prepared, as "15.0": two programs with different ones may disagree about an address.
    public static var unicodeVersion: String {
        let packed = martlet_icu_unicode_version()
        return "\(packed >> 8).\(packed & 0xFF)"
    }
}
