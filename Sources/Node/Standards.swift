import Modules

extension Node {
    /// The README's table of standards in Markdown, as the modules of this build have it.
    public static var xepTable: String { XEPTable.markdown }
}
