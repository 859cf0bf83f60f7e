/// Completion of the words of `martletctl`: what they may become, and the scripts with which shells ask.
public enum Completion {
    /// The shells there are scripts for.
    public enum Shell: String, CaseIterable, Sendable { case bash, zsh, fish }

    /// What the last word of a line may become.
    public struct Answer: Sendable {
        /// What is known without the server, and what to ask it.
        public let completer: Completer
        /// Whole words, in the order in which they are shown.
        public var words: [String]

        /// - Parameters:
        ///   - before: the words before, without quotes.
        ///   - word: what there is of the word.
        ///   - commands: those there are.
        public init(_ before: [String], _ word: String, _ commands: [AdminCommand]) {
            var before = before[...]
            var commands = commands
            // Behind `watch` and its option a line of its own begins.
            if before.first == "watch" {
                before = before.dropFirst()
                if let option = before.first, option.utf8.starts(with: "-".utf8) {
                    before = before.dropFirst(option == "-n" || option == "--every" ? 2 : 1)
                }
                commands = commands.filter { $0.effect == .reads && !$0.isEndless && $0.path != ["watch"] }
            }
            completer = Completer(after: Array(before), word: word, in: commands)
            words = completer.fixed.map { [lead = completer.lead] in lead + $0 }
        }

        /// Adds what somebody else knows.
        public mutating func add(_ more: [String]) {
            for word in more where word.utf8.starts(with: completer.prefix.utf8) && !words.contains(completer.lead + word) {
                words.append(completer.lead + word)
            }
        }
    }

    /// The script: `source <(martletctl completion bash)`, or a file where the shell looks for it.
    public static func script(_ shell: Shell) -> String {
        switch shell {
        case .bash: bash
        case .zsh: zsh
        case .fish: fish
        }
    }

    // bash cuts words at : = @, readline completes from the last cut, so the answers lose what stands before it.
    private static let bash = #"""
        # Completion of martletctl for bash: the program says what the last word may become.
        _martletctl() {
            local line=${COMP_LINE:0:COMP_POINT} cur=${COMP_WORDS[COMP_CWORD]} last word
            case $cur in
                *[\"\'@\>\<=\;\|\&\(:]) cur= ;;
            esac
            last=${line##*[[:space:]]}
            last=${last#[\"\']}
            local lead=${last%"${cur#[\"\']}"}
            COMPREPLY=()
            while IFS= read -r word; do
                word=${word#"$lead"}
                case $cur in
                    [\"\']*) COMPREPLY+=("$word") ;;
                    *) COMPREPLY+=("$(printf %q "$word")") ;;
                esac
            done < <("${COMP_WORDS[0]}" --complete --line "$line" 2>/dev/null)
            if [ ${#COMPREPLY[@]} -eq 1 ]; then
                case ${COMPREPLY[0]} in
                    */ | *=) compopt -o nospace ;;
                esac
            fi
        }
        complete -o default -F _martletctl martletctl

        """#

    private static let zsh = #"""
        #compdef martletctl
        # Completion of martletctl for zsh: the program says what the last word may become.
        _martletctl() {
            local -a found open whole
            found=("${(@f)$("${words[1]}" --complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
            found=("${(@)found:#}")
            open=("${(@M)found:#*[/=]}")
            whole=("${(@)found:#*[/=]}")
            (( ${#open} )) && compadd -S '' -- "${(@)open}"
            (( ${#whole} )) && compadd -- "${(@)whole}"
            (( ${#found} ))
        }
        if [ "$funcstack[1]" = "_martletctl" ]; then
            _martletctl "$@"
        else
            compdef _martletctl martletctl
        fi

        """#

    private static let fish = #"""
        # Completion of martletctl for fish: the program says what the last word may become.
        function __martletctl_complete
            set -l before (commandline -opc)
            set -e before[1]
            martletctl --complete -- $before (commandline -ct) 2>/dev/null
        end
        complete -c martletctl -f -a '(__martletctl_complete)'

        """#
}
