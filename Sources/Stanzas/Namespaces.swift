/// Every namespace the server speaks or knows, once.
public enum NS {
    // MARK: Streams (RFC 6120, RFC 6121, RFC 7395)
    public static let client = "jabber:client"
    public static let server = "jabber:server"
    public static let stream = "http://etherx.jabber.org/streams"
    /// Stream error conditions.
    public static let streams = "urn:ietf:params:xml:ns:xmpp-streams"
    /// Stanza error conditions.
    public static let stanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"
    public static let tls = "urn:ietf:params:xml:ns:xmpp-tls"
    public static let sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
    public static let bind = "urn:ietf:params:xml:ns:xmpp-bind"
    /// RFC 3921 session establishment, advertised as optional.
    public static let session = "urn:ietf:params:xml:ns:xmpp-session"
    public static let roster = "jabber:iq:roster"
    public static let rosterVersioning = "urn:xmpp:features:rosterver"
    public static let preApproval = "urn:xmpp:features:pre-approval"
    public static let framing = "urn:ietf:params:xml:ns:xmpp-framing"
    public static let xml = "http://www.w3.org/XML/1998/namespace"

    // MARK: Sessions
    /// XEP-0198.
    public static let streamManagement = "urn:xmpp:sm:3"
    /// XEP-0388.
    public static let sasl2 = "urn:xmpp:sasl:2"
    /// XEP-0386.
    public static let bind2 = "urn:xmpp:bind:0"
    /// XEP-0484.
    public static let fast = "urn:xmpp:fast:0"
    /// XEP-0440.
    public static let channelBindings = "urn:xmpp:sasl-cb:0"
    /// XEP-0480 §2.
    public static let saslUpgrade = "urn:xmpp:sasl:upgrade:0"
    /// XEP-0480 §3.
    public static let scramUpgrade = "urn:xmpp:scram-upgrade:0"
    /// XEP-0352.
    public static let clientState = "urn:xmpp:csi:0"
    /// XEP-0478.
    public static let streamLimits = "urn:xmpp:stream-limits:0"
    /// XEP-0138, the stream feature.
    public static let compressFeature = "http://jabber.org/features/compress"
    /// XEP-0138.
    public static let compress = "http://jabber.org/protocol/compress"
    /// XEP-0077, the stream feature.
    public static let registerFeature = "http://jabber.org/features/iq-register"
    /// XEP-0077.
    public static let register = "jabber:iq:register"
    /// XEP-0379 and XEP-0445.
    public static let preAuthentication = "urn:xmpp:pars:0"
    /// XEP-0445, the stream feature.
    public static let inBandRegistrationToken = "urn:xmpp:ibr-token:0"
    /// XEP-0401.
    public static let invite = "urn:xmpp:invite"
    /// XEP-0124.
    public static let httpBind = "http://jabber.org/protocol/httpbind"
    /// XEP-0206.
    public static let bosh = "urn:xmpp:xbosh"

    // MARK: Between servers and components
    /// XEP-0220.
    public static let dialback = "jabber:server:dialback"
    /// XEP-0220, the stream feature.
    public static let dialbackFeature = "urn:xmpp:features:dialback"
    /// XEP-0288.
    public static let bidi = "urn:xmpp:bidi"
    /// XEP-0288, the stream feature.
    public static let bidiFeature = "urn:xmpp:features:bidi"
    /// XEP-0114.
    public static let componentAccept = "jabber:component:accept"
    /// XEP-0355.
    public static let delegation = "urn:xmpp:delegation:2"
    /// XEP-0356.
    public static let privilege = "urn:xmpp:privilege:2"
    /// XEP-0033.
    public static let address = "http://jabber.org/protocol/address"

    // MARK: Messages
    /// XEP-0203.
    public static let delay = "urn:xmpp:delay"
    /// XEP-0091, obsolete, cut like a delay.
    public static let legacyDelay = "jabber:x:delay"
    /// XEP-0280.
    public static let carbons = "urn:xmpp:carbons:2"
    /// XEP-0280 §6.2, the feature that promises all its rules.
    public static let carbonRules = "urn:xmpp:carbons:rules:0"
    /// XEP-0297.
    public static let forward = "urn:xmpp:forward:0"
    /// XEP-0313.
    public static let archive = "urn:xmpp:mam:2"
    /// XEP-0313, the extended feature.
    public static let archiveExtended = "urn:xmpp:mam:2#extended"
    /// XEP-0313: the field include-groupchat is understood.
    public static let archiveGroupchatField = "urn:xmpp:mam:2#groupchat-field"
    /// XEP-0359.
    public static let stanzaID = "urn:xmpp:sid:0"
    /// XEP-0334.
    public static let hints = "urn:xmpp:hints"
    /// XEP-0184.
    public static let receipts = "urn:xmpp:receipts"
    /// XEP-0333.
    public static let markers = "urn:xmpp:chat-markers:0"
    /// XEP-0085.
    public static let chatStates = "http://jabber.org/protocol/chatstates"
    /// XEP-0308.
    public static let correction = "urn:xmpp:message-correct:0"
    /// XEP-0424.
    public static let retraction = "urn:xmpp:message-retract:1"
    /// XEP-0424, the feature of archives that keep tombstones.
    public static let retractionTombstone = "urn:xmpp:message-retract:1#tombstone"
    /// XEP-0425.
    public static let moderation = "urn:xmpp:message-moderate:1"
    /// XEP-0444.
    public static let reactions = "urn:xmpp:reactions:0"
    /// XEP-0461.
    public static let replies = "urn:xmpp:reply:0"
    /// XEP-0428.
    public static let fallback = "urn:xmpp:fallback:0"
    /// XEP-0380.
    public static let encryption = "urn:xmpp:eme:0"
    /// XEP-0384, the deployed version.
    public static let legacyOMEMO = "eu.siacs.conversations.axolotl"
    /// XEP-0384.
    public static let omemo = "urn:xmpp:omemo:2"
    /// XEP-0373.
    public static let openPGP = "urn:xmpp:openpgp:0"
    /// XEP-0027, obsolete.
    public static let legacyEncrypted = "jabber:x:encrypted"
    /// XEP-0353.
    public static let jingleMessage = "urn:xmpp:jingle-message:0"
    /// XEP-0224.
    public static let attention = "urn:xmpp:attention:0"
    /// XEP-0172.
    public static let nick = "http://jabber.org/protocol/nick"
    /// XEP-0160 as a disco feature.
    public static let offlineFeature = "msgoffline"
    /// XEP-0357.
    public static let push = "urn:xmpp:push:0"
    /// XEP-0357 §11.3.1: the type of a form.
    public static let pushSummary = "urn:xmpp:push:summary"
    /// XEP-0430.
    public static let inbox = "urn:xmpp:inbox:1"
    /// XEP-0490.
    public static let displayed = "urn:xmpp:mds:displayed:0"

    // MARK: Queries
    /// XEP-0030.
    public static let discoInfo = "http://jabber.org/protocol/disco#info"
    /// XEP-0030.
    public static let discoItems = "http://jabber.org/protocol/disco#items"
    /// XEP-0115.
    public static let capabilities = "http://jabber.org/protocol/caps"
    /// XEP-0390.
    public static let capabilities2 = "urn:xmpp:caps"
    /// XEP-0199.
    public static let ping = "urn:xmpp:ping"
    /// XEP-0202.
    public static let time = "urn:xmpp:time"
    /// XEP-0092.
    public static let version = "jabber:iq:version"
    /// XEP-0012.
    public static let lastActivity = "jabber:iq:last"
    /// XEP-0049.
    public static let privateStorage = "jabber:iq:private"
    /// XEP-0054.
    public static let vCard = "vcard-temp"
    /// XEP-0153.
    public static let vCardUpdate = "vcard-temp:x:update"
    /// XEP-0292.
    public static let vCard4 = "urn:ietf:params:xml:ns:vcard-4.0"
    /// XEP-0191.
    public static let blocking = "urn:xmpp:blocking"
    /// XEP-0191, the application-specific condition.
    public static let blockingErrors = "urn:xmpp:blocking:errors"
    /// XEP-0377.
    public static let reporting = "urn:xmpp:reporting:1"
    /// How the reasons of XEP-0377 §4 begin.
    public static let reportReasons = "urn:xmpp:reporting:"
    /// XEP-0050.
    public static let commands = "http://jabber.org/protocol/commands"
    /// XEP-0133.
    public static let serviceAdministration = "http://jabber.org/protocol/admin"
    /// XEP-0157.
    public static let serverInfo = "http://jabber.org/network/serverinfo"
    /// XEP-0455.
    public static let outageStatus = "urn:xmpp:sos:0"
    /// XEP-0215.
    public static let externalServices = "urn:xmpp:extdisco:2"
    /// XEP-0363.
    public static let httpUpload = "urn:xmpp:http:upload:0"
    /// XEP-0065.
    public static let bytestreams = "http://jabber.org/protocol/bytestreams"
    /// XEP-0055.
    public static let search = "jabber:iq:search"
    /// XEP-0227.
    public static let portable = "urn:xmpp:pie:0"

    // MARK: Forms and sets
    /// XEP-0004.
    public static let dataForm = "jabber:x:data"
    /// XEP-0141.
    public static let dataLayout = "http://jabber.org/protocol/xdata-layout"
    /// XEP-0122.
    public static let dataValidation = "http://jabber.org/protocol/xdata-validate"
    /// XEP-0059.
    public static let resultSet = "http://jabber.org/protocol/rsm"
    /// XEP-0300.
    public static let hashes = "urn:xmpp:hashes:2"
    /// XEP-0131.
    public static let headers = "http://jabber.org/protocol/shim"
    /// XEP-0231.
    public static let bitsOfBinary = "urn:xmpp:bob"
    /// XEP-0066.
    public static let outOfBand = "jabber:x:oob"

    // MARK: PubSub (XEP-0060, XEP-0163)
    public static let pubsub = "http://jabber.org/protocol/pubsub"
    public static let pubsubEvent = "http://jabber.org/protocol/pubsub#event"
    public static let pubsubOwner = "http://jabber.org/protocol/pubsub#owner"
    public static let pubsubErrors = "http://jabber.org/protocol/pubsub#errors"
    public static let pubsubNodeConfig = "http://jabber.org/protocol/pubsub#node_config"
    public static let pubsubPublishOptions = "http://jabber.org/protocol/pubsub#publish-options"
    public static let pubsubSubscribeOptions = "http://jabber.org/protocol/pubsub#subscribe_options"
    public static let pubsubMetaData = "http://jabber.org/protocol/pubsub#meta-data"
    /// XEP-0402.
    public static let bookmarks = "urn:xmpp:bookmarks:1"
    /// XEP-0048.
    public static let legacyBookmarks = "storage:bookmarks"
    /// XEP-0084.
    public static let avatarData = "urn:xmpp:avatar:data"
    /// XEP-0084.
    public static let avatarMetadata = "urn:xmpp:avatar:metadata"
    /// XEP-0398.
    public static let avatarConversion = "urn:xmpp:pep-vcard-conversion:0"

    // MARK: Rooms (XEP-0045)
    public static let muc = "http://jabber.org/protocol/muc"
    public static let mucUser = "http://jabber.org/protocol/muc#user"
    public static let mucAdmin = "http://jabber.org/protocol/muc#admin"
    public static let mucOwner = "http://jabber.org/protocol/muc#owner"
    public static let mucRoomConfig = "http://jabber.org/protocol/muc#roomconfig"
    public static let mucRoomInfo = "http://jabber.org/protocol/muc#roominfo"
    public static let mucRequest = "http://jabber.org/protocol/muc#request"
    public static let mucRegister = "http://jabber.org/protocol/muc#register"
    /// XEP-0249.
    public static let conference = "jabber:x:conference"
    /// XEP-0410.
    public static let selfPingOptimization = "http://jabber.org/protocol/muc#self-ping-optimization"
    /// XEP-0421.
    public static let occupantID = "urn:xmpp:occupant-id:0"
}
