//! The shells in which completions are tested: bash and zsh on a pseudo terminal of zsh's `zpty`,
//! and fish.

/// A shell to complete in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Result of a completion.
#[derive(Debug)]
pub(super) struct Completed {
    /// The offered candidates, sorted.
    pub(super) offered: Vec<String>,
    /// The line after the Tab key; fish does not show it.
    pub(super) line: String,
}

/// Types a line and the keys behind it into the shell of the arguments, once that shows its prompt,
/// and waits for its end.
pub(super) const OUTER: &str = r#"
zmodload zsh/zpty
line=$1
shift
zpty shell "$@"
zpty -r shell seen '*READY>*'
zpty -w -n shell "$line"$'\t\C-x\C-x'
while zpty -r shell seen; do print -rn -- "$seen"; done
"#;

/// Writes the candidates and the resulting line into the file HITS.
pub(super) const BASH: &str = r#"
PS1='READY>'
bind 'set completion-query-items 0'
bind 'set page-completions off'
bind 'set bell-style none'
eval "generated$(declare -f _pushctl_with_names)"
_pushctl_with_names() {
    generated_pushctl_with_names "$@"
    ((${#COMPREPLY[@]})) && printf 'HIT:%s\n' "${COMPREPLY[@]}" >> "$HITS"
    return 0
}
finish() { printf 'LINE:%s\n' "$READLINE_LINE" >> "$HITS"; exit; }
bind -x '"\C-x\C-x": finish'
"#;

pub(super) const ZSH: &str = r#"
fpath=($ZDOTDIR/functions $fpath)
autoload -U compinit
compinit -u -D
PROMPT='READY>'
LISTMAX=100000
setopt no_beep no_auto_menu
compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
        builtin compadd "$@"
        return $?
    fi
    local -a hits
    builtin compadd -A hits "$@"
    (( $#hits )) && print -rl -- HIT:$^hits >> $HITS
    builtin compadd "$@"
}
finish() { print -r -- "LINE:$BUFFER" >> $HITS; kill -KILL $$ }
zle -N finish
bindkey '^X^X' finish
# The shell's own expansion of the word runs commands in it.
bindkey '^I' complete-word
"#;
