internal import NIOCore
internal import ServerCore
internal import Stanzas
internal import StreamLogic
internal import XMLStream

/// Stream management (XEP-0198), carried out between the stream machine and the session.
extension ClientHandler {
    func manage(_ asked: ClientStream.Management) {
        switch asked {
        case .enable(let resume, let max):
            guard let session else { return }
            let grant = session.enableManagement(resumable: resume, maxSeconds: max)
            put { StreamWriting.enabled(id: grant.id, max: grant.max, location: grant.location, into: &$0) }
        case .resume(let previd, let h): resume(previd, h)
        case .answer: session?.acknowledgementAsked()
        case .acknowledged(let h): session?.acknowledged(through: h)
        case .fail(let condition, let closing):
            put { StreamWriting.managementFailed(condition, into: &$0) }
            if let closing { finish(closing) }
        }
    }

    private func resume(_ previd: String, _ h: UInt32) {
        guard let account = stream.account else { return }
        resumption = clients.shard.resume(account: account, previd: previd, h: h, connection: self) { [self] result in
            resumption = nil
            switch result {
            case .success(let resumed):
                stream.resumed(resumed.fullJID)
                session = resumed.session
                clients.settle(self)
                put { StreamWriting.resumed(previd: resumed.previd, h: resumed.h, into: &$0) }
                // It stands before anything the session writes.
                flush()
                resumed.session.resend()
            case .failure(let refusal):
                stream.resumeRefused()
                if let error = refusal.streamError {
                    close(error)
                } else {
                    put { StreamWriting.managementFailed(refusal.condition, h: refusal.h, into: &$0) }
                }
            }
            clients.later(self)
        }
    }
}
