import PortableData
import Testing

@Suite struct ReaderTests {
}
