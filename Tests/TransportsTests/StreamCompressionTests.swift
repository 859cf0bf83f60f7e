import CZlib
import NIOCore
import Testing

@testable import Transports

@Suite("zlib, both ways (XEP-0138)")
struct StreamCompressionTests {
    /// What the server makes of these bytes, read in pieces of `split`; nil where it refused.
    private func inflated(_ bytes: [UInt8], split: Int = .max) throws -> (text: [UInt8], failure: StreamCompression.Failure?) {
        let compression = try #require(StreamCompression())
        var text = ByteBuffer()
        var rest = bytes[...]
        while !rest.isEmpty {
            var piece = ByteBuffer(bytes: rest.prefix(split))
            rest = rest.dropFirst(piece.readableBytes)
            compression.take(&piece)
            do throws(StreamCompression.Failure) {
                while compression.hasMore {
                    let count = try compression.inflate(into: &text)
                    #expect(count <= StreamCompression.pieceBytes)
                }
            } catch {
                return (Array(text.readableBytesView), error)
            }
            #expect(compression.backlog == 0)
        }
        return (Array(text.readableBytesView), nil)
    }

    private let conversation: [UInt8] = (0..<3_000).flatMap { Array("<message id='\($0)'><body>\($0 &* 7_919)</body></message>".utf8) }

    @Test(arguments: [1, 7, 1_000, Int.max])
    func anySplitGivesTheSameText(split: Int) throws {
        let (text, failure) = try inflated(try TestZlib().deflate(conversation), split: split)
        #expect(text == conversation && failure == nil)
    }

    @Test func everythingFlushedIsRead() throws {
        let compression = try #require(StreamCompression())
        let client = try TestZlib()
        for size in [0, 1, 17, 1_000, 100_000, 3] {
            let text = Array(conversation.prefix(size))
            var wire = ByteBuffer()
            text.prefix(size / 2).withUnsafeBytes { compression.deflate($0, flush: false, into: &wire) }
            text.dropFirst(size / 2).withUnsafeBytes { compression.deflate($0, flush: true, into: &wire) }
            #expect(try client.inflate(Array(wire.readableBytesView)) == text)
            if size == 100_000 { #expect(wire.readableBytes < size / 4) }
        }
    }

    @Test func bytesThatAreNotCompressedAreRefused() throws {
        #expect(try inflated(Array("<?xml version='1.0'?>".utf8)).failure == .damaged)
        var damaged = try TestZlib().deflate(conversation)
        for index in 100..<200 { damaged[index] ^= 0x55 }
        #expect(try inflated(damaged).failure == .damaged)
    }

    @Test func nothingFollowsTheEnd() throws {
        let ended = try TestZlib().deflate(conversation, mode: Z_FINISH)
        let whole = try inflated(ended)
        #expect(whole.text == conversation && whole.failure == nil)
        for split in [1, Int.max] { #expect(try inflated(ended + [0x20], split: split).failure == .damaged) }
    }

    /// Ten megabytes of white space in ten kilobytes: it is not made into ten megabytes to find out.
    @Test func whatExpandsTooFarIsRefused() throws {
        let spaces = [UInt8](repeating: 0x20, count: 10_000_000)
        let (text, failure) = try inflated(try TestZlib().deflate(spaces))
        #expect(failure == .bomb)
        #expect(text.count < 4_000_000)
    }

    @Test func textThatRepeatsItselfIsNoBomb() throws {
        let presences = Array(
            repeating: Array("<presence to='room@chat.example/nick'><priority>1</priority></presence>".utf8), count: 10_000)
        let sent = Array(presences.joined())
        let (text, failure) = try inflated(try TestZlib().deflate(sent))
        #expect(text == sent && failure == nil)
    }
}
