# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_pushctl_global_optspecs
    string join \n url= h/help V/version
end

function __fish_pushctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_pushctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_pushctl_using_subcommand
    set -l cmd (__fish_pushctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c pushctl -n "__fish_pushctl_needs_command" -l url -d 'Server to talk to; a path in it is a prefix of all paths' -r
complete -c pushctl -n "__fish_pushctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_needs_command" -s V -l version -d 'Print version'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "serve" -d 'Run a push broker'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "pub" -d 'Publish a message'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "sub" -d 'Follow channels and print their messages'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "stats" -d 'Show the counters of a server or of channels'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "bench" -d 'Measure a server with many subscribers, and prove that it loses nothing'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "completions" -d 'Print the completion script of a shell'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -s l -l listen -d 'Address to listen on: ADDRESS:PORT (port 0: any free one), PORT, or unix:PATH; may be given several times' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l nginx-conf -d 'Serve the push locations of this nginx configuration instead of the built-in ones' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l shards -d 'Threads that hold connections [default: one per core]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l memory -d 'Memory for messages and channels together; when it is used up, publishing is answered with 500 [default: 512m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l message-ttl -d 'Time that a stored message is kept [default: 30m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-stored-messages -d 'Messages stored per channel; the oldest go when there are more [default: 10000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l channel-inactivity -d 'Time without messages, publishing and subscribers after which a channel is forgotten [default: 30s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-channels -d 'Channels at once; another one is answered with 403 [default: 100000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-channel-id-length -d 'Bytes of a channel id; a longer one is answered with 400 [default: 1024]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-channels-per-request -d 'Channels in one request; more are answered with 400 [default: 1000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-subscribers-per-channel -d 'Subscriptions per channel; a further one is answered with 403 [default: 100000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-body-size -d 'Bytes of a published message; a larger one is answered with 413 [default: 1m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-websocket-message-size -d 'Bytes of a websocket message from a client; a larger one closes with 1009 [default: 4m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-header-size -d 'Bytes of a request line with headers; more are answered with 400 or 414 [default: 32k]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-lag -d 'Bytes kept per channel for followers that are behind; one that is further behind is dropped [default: 4m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-connections -d 'Connections at once; a further one is closed [default: 100000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l header-timeout -d 'Time for the headers of a request; then the connection is closed [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l body-timeout -d 'Time between two reads of a request\'s body, and for the whole of a websocket message; then the connection is closed [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l keepalive-timeout -d 'Time between two requests of a connection; then it is closed [default: 75s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l send-timeout -d 'Time that a client may take nothing of what is sent to it; then it is dropped [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l grace -d 'Time that open connections get when the server ends [default: 5s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l log-level -d 'What is logged on stderr: off, error, warn, info or debug' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l url -d 'Server to talk to; a path in it is a prefix of all paths' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s f -l file -d 'Send the content of this file' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l event-id -d 'Event id, with which an EventSource resumes' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l event-type -d 'Event type, by which an EventSource sorts events' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l content-type -d 'Content type of the message' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l timeout -d 'Time to wait for the answer' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s H -l header -d 'Header to send with every request, or @FILE with one header per line (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l pub-path -d 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l sub-path -d 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l stats-path -d 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l url -d 'Server to talk to; a path in it is a prefix of all paths' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l json -d 'Print the server\'s answer as one line of JSON'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s q -l quiet -d 'Print nothing'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s m -l mode -d 'How messages are delivered' -r -f -a "lp\t'Long-polling: one request per message'
ws\t'WebSocket'
ev\t'EventSource (server-sent events)'
stream\t'One endless response'
poll\t'Ask again and again'"
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s b -l backlog -d 'Start with the last N stored messages of each channel' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s s -l since -d 'Start with the messages since TIME: RFC 3339, HTTP date, unix seconds, or a duration ago such as 5m' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s n -l count -d 'Stop after N messages' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s t -l timeout -d 'Stop after this time' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l retries -d 'Failed attempts in a row after which to give up [default: 0 before the first connection, then unlimited]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l interval -d 'Time between two requests of mode poll, at least 100ms' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s H -l header -d 'Header to send with every request, or @FILE with one header per line (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l pub-path -d 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l sub-path -d 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l stats-path -d 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l url -d 'Server to talk to; a path in it is a prefix of all paths' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l json -d 'Print all known fields of each message as one line of JSON'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -s w -l watch -d 'Show it again and again, until interrupted or for the time of --timeout (write --watch=1s, with \'=\')' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l timeout -d 'Time to wait for the answer; with --watch, the time after which to stop' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -s H -l header -d 'Header to send with every request, or @FILE with one header per line (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l pub-path -d 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l sub-path -d 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l stats-path -d 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l url -d 'Server to talk to; a path in it is a prefix of all paths' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l json -d 'Print the server\'s own JSON on one line'
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -s n -l subscribers -d 'Subscribers' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -s m -l mode -d 'How messages are delivered' -r -f -a "lp\t''
ws\t''
ev\t''
stream\t''"
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -s c -l channels -d 'Channels over which the subscribers are spread' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l messages -d 'Messages per channel' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l rate -d 'Messages per second over all publishers; as fast as the server answers if absent' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l size -d 'Bytes of a message' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l publishers -d 'Publishers, each with one message in flight' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l timeout -d 'Time for all to connect, for the answer to each message, and again for all to be delivered' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -s H -l header -d 'Header to send with every request, or @FILE with one header per line (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l pub-path -d 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l sub-path -d 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l stats-path -d 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l url -d 'Server to talk to; a path in it is a prefix of all paths' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l json -d 'Print the result as one line of JSON'
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand completions" -l url -d 'Server to talk to; a path in it is a prefix of all paths' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats bench completions help" -f -a "serve" -d 'Run a push broker'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats bench completions help" -f -a "pub" -d 'Publish a message'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats bench completions help" -f -a "sub" -d 'Follow channels and print their messages'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats bench completions help" -f -a "stats" -d 'Show the counters of a server or of channels'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats bench completions help" -f -a "bench" -d 'Measure a server with many subscribers, and prove that it loses nothing'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats bench completions help" -f -a "completions" -d 'Print the completion script of a shell'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats bench completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
