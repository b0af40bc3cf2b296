
# Names of channels and servers, where the line wants them. The words of the line are arguments; nothing in them is run.
function __fish_pushctl_names
    set -l words (commandline -opc)
    set -e words[1]
    set -l token (commandline -ct)
    set -l plain (string unescape -- $token)
    and set token $plain
    command pushctl complete line -- $words "$token" 2>/dev/null
end
complete -c pushctl -n "__fish_pushctl_using_subcommand pub sub stats rm" -f -a "(__fish_pushctl_names)"
# The generated condition does not hold while the value of an option before the command is missing.
complete -c pushctl -n "not __fish_pushctl_using_subcommand serve check completions with-server" -l server -x -a "(__fish_pushctl_names)"
