public import ServerCore

/// Every module of the server, in the order in which they stand within a stage. Reading it is knowing what the server speaks.
public enum ModuleList {
    public static let all: [any Module.Type] = [
        Discovery.self,
        Ping.self,
        SoftwareVersion.self,
        EntityTime.self,
        LastActivity.self,
        EntityCapabilities.self,
        ExtendedAddressing.self,
        InBandRegistration.self,
        AdHocCommands.self,
        ServiceAdministration.self,
        Invitations.self,
        Carbons.self,
        Push.self,
        ClientState.self,
        Blocking.self,
        Reports.self,
        VCards.self,
        DirectorySearch.self,
        PrivateStorage.self,
        ContactAddresses.self,
        OutageStatus.self,
        MessageArchive.self,
    ]
}
