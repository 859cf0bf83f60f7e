/// Shell scripts that complete the words of `martletctl`, made from the command table.
public enum Completion {
    /// The shells there are scripts for.
    public enum Shell: String, CaseIterable, Sendable { case bash, zsh }

    /// The script, to be sourced: `source <(martletctl completion bash)`.
    /// - Parameters:
    ///   - flags: the options of `martletctl` itself that stand alone, with dashes.
    ///   - valued: those that take the next word.
    ///   - clientCommands: the words `martletctl` knows beside the table.
    public static func script(_ shell: Shell, flags: [String], valued: [String], clientCommands: [String]) -> String {
        var lines = [
            "# Completion of martletctl, made from its command table.",
            "_martletctl() {",
            "    local cur choices",
            "    local -a spoken",
        ]
        // bash counts words from 0 and the cursor in COMP_CWORD; with bashcompinit zsh gives the same variables.
        lines += [
            "    cur=\"${COMP_WORDS[COMP_CWORD]}\"",
            "    spoken=()",
            "    local i",
            "    for ((i = 1; i < COMP_CWORD; i++)); do",
            "        case \"${COMP_WORDS[i]}\" in",
            "            \(valued.joined(separator: "|"))) ((i++)) ;;",
            "            --*) ;;",
            "            *) spoken+=(\"${COMP_WORDS[i]}\") ;;",
            "        esac",
            "    done",
            "    case \"${spoken[*]}\" in",
        ]
        let commands = CommandTable.all.filter { !$0.isDebug }
        for command in commands where command.path.count > 1 || !command.options.isEmpty {
            let words = command.options.map { "--" + $0.name }
            lines.append("        \"\(command.name)\"*) choices=\"\(words.joined(separator: " "))\" ;;")
        }
        var groups: [(name: String, words: [String])] = []
        for command in commands where command.path.count > 1 {
            if let index = groups.firstIndex(where: { $0.name == command.path[0] }) {
                groups[index].words.append(command.path[1])
            } else {
                groups.append((command.path[0], [command.path[1]]))
            }
        }
        for group in groups { lines.append("        \"\(group.name)\") choices=\"\(group.words.joined(separator: " "))\" ;;") }
        let singles = commands.filter { $0.path.count == 1 }.map { $0.path[0] }
        let top = groups.map(\.name) + singles + clientCommands
        let helpWords = groups.map(\.name) + singles
        lines.append("        \"help\") choices=\"\(helpWords.joined(separator: " "))\" ;;")
        for group in groups { lines.append("        \"help \(group.name)\") choices=\"\(group.words.joined(separator: " "))\" ;;") }
        lines.append("        \"completion\") choices=\"\(Shell.allCases.map(\.rawValue).joined(separator: " "))\" ;;")
        lines.append("        \"\") choices=\"\((top + flags + valued).joined(separator: " "))\" ;;")
        lines += [
            "        *) choices=\"\" ;;",
            "    esac",
            "    COMPREPLY=($(compgen -W \"$choices\" -- \"$cur\"))",
            "}",
        ]
        switch shell {
        case .bash: lines.append("complete -F _martletctl martletctl")
        case .zsh:
            lines.insert("autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit", at: 1)
            lines.append("complete -F _martletctl martletctl")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
