
# The words of the line up to the cursor, in `words`: bash has cut them at = and : too, so what is not separated by a space is joined.
_pushctl_words() {
    local line="${COMP_LINE:0:${COMP_POINT:-0}}" index space word
    words=()
    for ((index = 0; index <= COMP_CWORD; index++)); do
        word="${COMP_WORDS[index]}"
        space="${line%%[![:space:]]*}"
        line="${line#"$space"}"
        if [[ -z "$COMP_LINE" ]]; then
            words+=("$word")
            continue
        fi
        ((index < COMP_CWORD)) || word="$line"
        line="${line#"$word"}"
        if ((index > 0)) && [[ -z "$space" ]]; then
            words[${#words[@]}-1]+="$word"
        else
            words+=("$word")
        fi
    done
}

# Sets REPLY to a word without its quotes. Nothing in it is expanded.
_pushctl_unquote() {
    REPLY="$1"
    case "$REPLY" in
        \"*) REPLY="${REPLY#\"}"; REPLY="${REPLY%\"}" ;;
        \'*) REPLY="${REPLY#\'}"; REPLY="${REPLY%\'}" ;;
        *\\*) IFS= read REPLY <<<"$REPLY" ;;
    esac
}

# Names of channels and servers where the line wants them, and what the generated function offers elsewhere.
_pushctl_with_names() {
    local -a words=() plain=()
    local word program="$1" names name option="" keep="" quote="" breaks="${COMP_WORDBREAKS//[!=:]/}"
    _pushctl_words
    for word in "${words[@]}"; do
        _pushctl_unquote "$word"
        plain+=("$REPLY")
    done
    local last=$((${#words[@]} - 1))
    local cur="${words[last]}" value="${plain[last]}" prev="${plain[last-1]}"
    case "$cur" in [\"\']*) quote="${cur:0:1}" ;; esac
    # What is before the last = or : stays in the line.
    [[ -z "$quote" && -n "$breaks" ]] && keep="${value%"${value##*["$breaks"]}"}"
    local -a before=("${words[@]:0:last}")
    if [[ -z "$quote" && "$value" == --*=* ]]; then
        option="${value%%=*}=" prev="${value%%=*}" value="${value#*=}"
        before+=("$prev")
    fi
    [[ "$program" == "~/"* ]] && program="$HOME/${program:2}"
    COMPREPLY=()
    if names="$("$program" complete line -- "${plain[@]:1}" 2>/dev/null)"; then
        while IFS= read -r name; do
            [[ -n "$name" ]] || continue
            name="$option$name"
            name="${name#"$keep"}"
            if [[ -n "$quote" ]]; then
                [[ "$name" == *[!A-Za-z0-9_@%+=:,./\ -]* ]] && continue
            elif [[ -n "$name" ]]; then
                printf -v name %q "$name"
            fi
            COMPREPLY+=("$name")
        done <<<"$names"
        # No files in place of names.
        compopt +o default +o bashdefault 2>/dev/null
        return 0
    fi
    local COMP_CWORD=${#before[@]}
    local -a COMP_WORDS=("${before[@]}" "$value")
    _pushctl "$1" "$value" "$prev"
    local -a found=("${COMPREPLY[@]}")
    COMPREPLY=()
    for name in "${found[@]}"; do
        # The generated function offers placeholders such as <CHANNEL> as words.
        [[ "$name" == [\<\[]* ]] && continue
        name="$option$name"
        COMPREPLY+=("${name#"$keep"}")
    done
    return 0
}

complete -F _pushctl_with_names -o nosort -o bashdefault -o default pushctl 2>/dev/null || complete -F _pushctl_with_names pushctl
