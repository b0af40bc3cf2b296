
# Names of channels or servers. `_arguments` cuts `words` to positional arguments, so the program and the line are those that
# were saved at entry; nothing else of the line is run.
_pushctl_names() {
    local -a names
    local program=$_pushctl_program
    [[ $program == '~/'* ]] && program=$HOME/${program#'~/'}
    names=(${(f)"$(command "$program" complete $1 "${(Q)PREFIX}" -- "${(@Q)_pushctl_line}" 2>/dev/null)"})
    compadd -a names
}
(( $+functions[_pushctl_channels] )) ||
_pushctl_channels() { _pushctl_names channels }
(( $+functions[_pushctl_servers] )) ||
_pushctl_servers() { _pushctl_names servers }
