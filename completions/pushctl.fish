# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_pushctl_global_optspecs
    string join \n u/url= server= config-file= h/help V/version
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

complete -c pushctl -n "__fish_pushctl_needs_command" -s u -l url -d 'Server URL [default: http://127.0.0.1:9080]' -r -f
complete -c pushctl -n "__fish_pushctl_needs_command" -l server -d 'Name of a server in the configuration file' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_needs_command" -l config-file -d 'Configuration file with named servers [default: ~/.config/pushctl/config.toml]' -r -F
complete -c pushctl -n "__fish_pushctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_needs_command" -s V -l version -d 'Print version'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "serve" -d 'Run a push broker'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "pub" -d 'Publish messages'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "sub" -d 'Follow channels and print their messages'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "stats" -d 'Show the counters of a server or of channels'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "wait" -d 'Wait until a server is up or a condition on its counters holds'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "rm" -d 'Delete channels'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "bench" -d 'Measure a server under load, and verify that it loses no message'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "check" -d 'Report which directives of a configuration are supported, ignored, unsupported or invalid'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "with-server" -d 'Run a command with a temporary broker'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "servers" -d 'List the named servers of the configuration file'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "completions" -d 'Print the completion script of a shell'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -s l -l listen -d 'Address to listen on [default: 127.0.0.1:9080]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -s c -l config -d 'Configuration file, in TOML or as an nginx.conf' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l nginx-conf -d 'Serve the push locations of this nginx.conf' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l log-level -d 'Log level [default: info]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l ready-file -d 'Write the addresses to this file once the server listens on them, one per line' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l shards -d 'Number of threads that serve connections [default: one per core]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l parent -d 'Stop when the parent process, which has this id, ends' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l test-engine -d 'Acknowledge publishes late, with errors or never' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l allow-from -d 'Accept only clients at this address or network' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l basic-auth -d 'Require a user and password of this htpasswd file' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l allow-origin -d 'Accept web pages of this origin (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l server-name -d 'Host name of the server in requests (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l real-ip-from -d 'Trust the proxy at this address or network (or unix:) to set X-Real-IP (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l front-enforces -d 'Serve push locations whose unsupported directives the proxy enforces (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l memory -d 'Maximum memory of the server [default: 512m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l connection-memory -d 'Separate memory limit for connections [default: part of --memory]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-connections -d 'Maximum number of connections [default: 100000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-connections-per-address -d 'Maximum number of connections per client address; 0: unlimited [default: 0]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-body-size -d 'Maximum size of a published message [default: 1m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-batch-size -d 'Maximum size of a batch of messages in one request; a larger one gets 413 [default: 64m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-websocket-message-size -d 'Maximum size of a WebSocket message or frame from a client [default: 4m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-header-size -d 'Maximum size of a request line with its headers; more gets 400 or 414 [default: 32k]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l message-ttl -d 'Lifetime of a stored message [default: 30m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-stored-messages -d 'Stored messages per channel [default: 10000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l channel-inactivity -d 'Delete an unused channel after this time [default: 30s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-channels -d 'Maximum number of channels; a further one gets 403 [default: 100000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-channel-id-length -d 'Maximum length of a channel id in bytes; a longer one gets 400 [default: 1024]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-channels-per-request -d 'Maximum number of channels in a request; more get 400 [default: 1000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-subscribers-per-channel -d 'Maximum number of subscribers of a channel; a further one gets 403 [default: 100000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-waiting-lists -d 'Maximum number of queued channel lists; a further one gets 503 [default: 32]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-pending-publishes -d 'Maximum number of unacknowledged publishes; a further one gets 503 [default: 65536]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l publish-timeout -d 'Maximum time for the acknowledgement of a publish; then 503 [default: 10s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-lag -d 'Maximum lag of a subscriber [default: 4m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l slow-consumer -d 'Policy at that lag: disconnect, skip or latest [default: disconnect]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l send-timeout -d 'Disconnect a client that accepts no data for this long [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l header-timeout -d 'Close a connection whose request headers take longer [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l body-timeout -d 'Close a connection that stalls for this long within a request body [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l min-body-rate -d 'Minimum rate of a request body in bytes per second; 0: none [default: 512]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l keepalive-timeout -d 'Close a connection that is idle between requests for this long [default: 75s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l linger-time -d 'Wait this long for the client to close first; 0: do not wait [default: 2s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l ping-timeout -d 'Disconnect a WebSocket that is silent for this long after a ping; 0: never [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l grace -d 'Grace period for open connections when the server stops [default: 5s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l hook-timeout -d 'Time limit for a back-end\'s response [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-hook-answer -d 'Maximum size of a back-end\'s response [default: 1m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-hooks -d 'Maximum number of concurrent requests to back-ends, per shard [default: 512]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-hook-notices -d 'Maximum number of queued notifications to back-ends, per shard [default: 4096]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l tcp-keepalive -d 'Idle time before the first TCP keep-alive probe; 0: no probes [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l tcp-keepalive-interval -d 'Interval between TCP keep-alive probes, at least 1s [default: 10s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l tcp-keepalive-probes -d 'Unanswered probes before the connection is closed [default: 6]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l tcp-user-timeout -d 'Close a connection with data unacknowledged for this long; 0: system default [default: 2m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s f -l file -d 'Publish the content of this file' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s c -l channel -d 'Further channel to publish to (repeatable)' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l event-id -d 'Event id, at which clients can resume' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l event-type -d 'Event type of the message' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l content-type -d 'Content type of the message' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l require-subscribers -d 'Exit with 12 below N subscribers' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l timeout -d 'Time limit for a response' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l repeat -d 'Publish everything N times' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l rate -d 'Maximum rate: 100/s, 5/m or 3/h [default: unlimited]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l in-flight -d 'Maximum number of pipelined requests' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s u -l url -d 'Server URL [default: http://127.0.0.1:9080]' -r -f
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l server -d 'Name of a server in the configuration file' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l config-file -d 'Configuration file with named servers [default: ~/.config/pushctl/config.toml]' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s H -l header -d 'Send this header, or those in @FILE (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l pub-path -d 'Path of the publisher location [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l sub-path -d 'Path of the subscriber location [default: by mode, /ev/{channel} and the like]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l stats-path -d 'Path of the statistics location [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l dialect -d 'Protocol family of the server [default: detected]' -r -f -a "push-stream\t'nginx-push-stream-module, and the built-in locations of pushctl'
nhpm\t'nginx_http_push_module (NHPM): long-polling and polling'
nchan\t'nchan'"
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l json -d 'Print the result as lines of JSON'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s q -l quiet -d 'Print nothing'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s l -l lines -d 'Publish each line as a message'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l ndjson -d 'Publish each line as a JSON object'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l template -d 'Replace {number}, {time}, {random} and the like'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l keep-going -d 'Continue after a rejection'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l retry-unanswered -d 'Resend unanswered messages after a connection broke'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s m -l mode -d 'Delivery mode [default: ev]' -r -f -a "auto\t'The first of ws, ev and lp that works'
lp\t'Long-polling: one request per batch of messages'
ws\t'WebSocket'
ev\t'EventSource (server-sent events)'
stream\t'One continuous HTTP response'
poll\t'Polling: a request per --interval'"
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s s -l since -d 'Start at: now, all, -N, 5m (ago), a time, ... [default: now]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s b -l backlog -d 'Start with the last N stored messages of each channel' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l cursor-file -d 'Save the position in FILE, and resume from it' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l template -d 'Print each message in this format' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s o -l output -d 'Format of the output [default: text]' -r -f -a "text\t'The text of the message and a line break'
json\t'All fields, as one line of JSON'
template\t'The format of --template'"
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l exec -d 'Run a shell command for each message' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l jobs -d 'Number of commands that run concurrently' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s n -l count -d 'Stop after N messages' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l until -d 'Stop after a message that matches' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l fail-on -d 'Stop after a message that matches, with exit code 9' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s t -l timeout -d 'Stop after this time' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l idle-timeout -d 'Stop after this time without a message, with the exit code of --timeout' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l fallback -d 'Modes to try in turn if --mode does not work' -r -f -a "auto\t'The first of ws, ev and lp that works'
lp\t'Long-polling: one request per batch of messages'
ws\t'WebSocket'
ev\t'EventSource (server-sent events)'
stream\t'One continuous HTTP response'
poll\t'Polling: a request per --interval'"
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l retry -d 'Give up after N failed attempts in a row' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l silence-timeout -d 'Reconnect after this time without data, not even a ping; 0: never' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l interval -d 'Interval between two requests of mode poll, at least 100ms' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l max-message-size -d 'Maximum size of a message, and of a response in the modes lp and poll' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s u -l url -d 'Server URL [default: http://127.0.0.1:9080]' -r -f
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l server -d 'Name of a server in the configuration file' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l config-file -d 'Configuration file with named servers [default: ~/.config/pushctl/config.toml]' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s H -l header -d 'Send this header, or those in @FILE (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l pub-path -d 'Path of the publisher location [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l sub-path -d 'Path of the subscriber location [default: by mode, /ev/{channel} and the like]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l stats-path -d 'Path of the statistics location [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l dialect -d 'Protocol family of the server [default: detected]' -r -f -a "push-stream\t'nginx-push-stream-module, and the built-in locations of pushctl'
nhpm\t'nginx_http_push_module (NHPM): long-polling and polling'
nchan\t'nchan'"
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l no-fsync -d 'Do not sync the cursor file to disk: a power failure may damage it'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l json -d 'Print each message as a line of JSON'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l raw -d 'Print the bytes of the messages only, without line breaks and escapes'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l ack-on-success -d 'Stop at the first command that fails, with the cursor before its message'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l fail-on-gap -d 'Stop when messages were missed, with exit code 10'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l deleted-ok -d 'Exit with 0 instead of 11 when the last channel is deleted'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -s w -l watch -d 'Repeat at this interval until interrupted or until --timeout (as --watch=1s, with \'=\')' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l timeout -d 'Time limit for the response [default: 30s]; with --watch, time after which to stop [default: none]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l diff -d 'Compare two saved results of --json (the last lines of the files)' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l assert -d 'Exit with 8 unless these conditions hold (a comma means \'and\')' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l sort -d 'Sort the channels (of ALL, if none is named); the server\'s order if absent' -r -f -a "subscribers\t'Most subscribers first'
stored\t'Most stored messages first'
published\t'Most published messages first'
name\t'By name'"
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l filter -d 'Show the channels whose whole name matches: * ? [a-z] {a,b}, or a regular expression between slashes: /^a.*z$/' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l min-subscribers -d 'Show the channels with at least N subscribers' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l top -d 'Show the first N channels only' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -s u -l url -d 'Server URL [default: http://127.0.0.1:9080]' -r -f
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l server -d 'Name of a server in the configuration file' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l config-file -d 'Configuration file with named servers [default: ~/.config/pushctl/config.toml]' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -s H -l header -d 'Send this header, or those in @FILE (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l pub-path -d 'Path of the publisher location [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l sub-path -d 'Path of the subscriber location [default: by mode, /ev/{channel} and the like]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l stats-path -d 'Path of the statistics location [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l dialect -d 'Protocol family of the server [default: detected]' -r -f -a "push-stream\t'nginx-push-stream-module, and the built-in locations of pushctl'
nhpm\t'nginx_http_push_module (NHPM): long-polling and polling'
nchan\t'nchan'"
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l json -d 'Print the server\'s own JSON on one line'
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l reverse -d 'Reverse the order'
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -s c -l channel -d 'Channel to check [default: the whole server]' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l subscribers -d 'Condition on the number of subscribers: \'>=1\', \'==0\', \'<5\', \'!=2\'' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l stored -d 'Condition on the number of stored messages' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l published -d 'Condition on the number of published messages' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -s t -l timeout -d 'Give up after this time, with exit code 6 [default: never]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l interval -d 'Interval between two requests; the first ones are faster' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -s u -l url -d 'Server URL [default: http://127.0.0.1:9080]' -r -f
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l server -d 'Name of a server in the configuration file' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l config-file -d 'Configuration file with named servers [default: ~/.config/pushctl/config.toml]' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -s H -l header -d 'Send this header, or those in @FILE (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l pub-path -d 'Path of the publisher location [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l sub-path -d 'Path of the subscriber location [default: by mode, /ev/{channel} and the like]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l stats-path -d 'Path of the statistics location [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l dialect -d 'Protocol family of the server [default: detected]' -r -f -a "push-stream\t'nginx-push-stream-module, and the built-in locations of pushctl'
nhpm\t'nginx_http_push_module (NHPM): long-polling and polling'
nchan\t'nchan'"
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l ready -d 'Wait until the server is up; the default without conditions'
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l json -d 'Print the last counters as lines of JSON'
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l farewell -d 'Last message to subscribers [default: that of the server]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l timeout -d 'Time limit for a response' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -s u -l url -d 'Server URL [default: http://127.0.0.1:9080]' -r -f
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l server -d 'Name of a server in the configuration file' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l config-file -d 'Configuration file with named servers [default: ~/.config/pushctl/config.toml]' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -s H -l header -d 'Send this header, or those in @FILE (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l pub-path -d 'Path of the publisher location [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l sub-path -d 'Path of the subscriber location [default: by mode, /ev/{channel} and the like]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l stats-path -d 'Path of the statistics location [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l dialect -d 'Protocol family of the server [default: detected]' -r -f -a "push-stream\t'nginx-push-stream-module, and the built-in locations of pushctl'
nhpm\t'nginx_http_push_module (NHPM): long-polling and polling'
nchan\t'nchan'"
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l missing-ok -d 'Ignore channels that do not exist'
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l json -d 'Print the result as lines of JSON'
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -s q -l quiet -d 'Print nothing'
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -s n -l subscribers -d 'Number of subscribers' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -s c -l channels -d 'Number of channels' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -s m -l mode -d 'Delivery mode' -r -f -a "lp\t''
ws\t''
ev\t''
stream\t''"
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l messages -d 'Number of messages per channel' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l size -d 'Size of a message in bytes' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l rate -d 'Messages per second in total [default: unlimited]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l publishers -d 'Number of publishers' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l warm-up -d 'Publish for this long before the measurement' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l timeout -d 'Time limit of each phase' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l connect-rate -d 'Connections per second [default: as fast as the server accepts them]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l processes -d 'Number of processes for the subscribers' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l bind -d 'Local address to connect from (repeatable; used in turn)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l report -d 'Write a self-contained HTML page with charts' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l compare -d 'Compare with an earlier result of --json' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l assert -d 'Exit with 8 unless \'p99<50ms,lost=0\' holds' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -s u -l url -d 'Server URL [default: http://127.0.0.1:9080]' -r -f
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l server -d 'Name of a server in the configuration file' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l config-file -d 'Configuration file with named servers [default: ~/.config/pushctl/config.toml]' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -s H -l header -d 'Send this header, or those in @FILE (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l pub-path -d 'Path of the publisher location [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l sub-path -d 'Path of the subscriber location [default: by mode, /ev/{channel} and the like]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l stats-path -d 'Path of the statistics location [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l dialect -d 'Protocol family of the server [default: detected]' -r -f -a "push-stream\t'nginx-push-stream-module, and the built-in locations of pushctl'
nhpm\t'nginx_http_push_module (NHPM): long-polling and polling'
nchan\t'nchan'"
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l storm -d 'Connect all subscribers at once, without waiting for responses'
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l json -d 'Print the result as one line of JSON'
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand check" -l front -d 'Print the configuration of an nginx in front of pushctl' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand check" -l front-enforces -d 'Directives that the proxy in front enforces, as with `serve`; `all`: all' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand check" -l json -d 'Print lines of JSON: directives, locations, errors'
complete -c pushctl -n "__fish_pushctl_using_subcommand check" -l strict -d 'Exit with 2 also for unsupported directives'
complete -c pushctl -n "__fish_pushctl_using_subcommand check" -l to-toml -d 'Print the configuration in TOML, for `serve --config`'
complete -c pushctl -n "__fish_pushctl_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand with-server" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand servers" -l config-file -d 'Configuration file to read' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand servers" -l json -d 'Print lines of JSON'
complete -c pushctl -n "__fish_pushctl_using_subcommand servers" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand completions" -s h -l help -d 'Print help'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats wait rm bench check with-server servers completions help" -f -a "serve" -d 'Run a push broker'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats wait rm bench check with-server servers completions help" -f -a "pub" -d 'Publish messages'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats wait rm bench check with-server servers completions help" -f -a "sub" -d 'Follow channels and print their messages'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats wait rm bench check with-server servers completions help" -f -a "stats" -d 'Show the counters of a server or of channels'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats wait rm bench check with-server servers completions help" -f -a "wait" -d 'Wait until a server is up or a condition on its counters holds'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats wait rm bench check with-server servers completions help" -f -a "rm" -d 'Delete channels'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats wait rm bench check with-server servers completions help" -f -a "bench" -d 'Measure a server under load, and verify that it loses no message'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats wait rm bench check with-server servers completions help" -f -a "check" -d 'Report which directives of a configuration are supported, ignored, unsupported or invalid'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats wait rm bench check with-server servers completions help" -f -a "with-server" -d 'Run a command with a temporary broker'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats wait rm bench check with-server servers completions help" -f -a "servers" -d 'List the named servers of the configuration file'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats wait rm bench check with-server servers completions help" -f -a "completions" -d 'Print the completion script of a shell'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve pub sub stats wait rm bench check with-server servers completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'

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
