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

complete -c pushctl -n "__fish_pushctl_needs_command" -s u -l url -d 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]' -r -f
complete -c pushctl -n "__fish_pushctl_needs_command" -l server -d 'Server of this name in the configuration file [env: PUSHCTL_SERVER]' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_needs_command" -l config-file -d 'Configuration file with named servers [env: PUSHCTL_CONFIG] [default: ~/.config/pushctl/config.toml]' -r -F
complete -c pushctl -n "__fish_pushctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_needs_command" -s V -l version -d 'Print version'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "serve" -d 'Run a push broker'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "check" -d 'Say what of a configuration is served, ignored, not served or wrong'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "pub" -d 'Publish a message'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "sub" -d 'Follow channels and print their messages'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "stats" -d 'Show the counters of a server or of channels'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "bench" -d 'Measure a server with many subscribers, and prove that it loses nothing'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "wait" -d 'Wait until a server answers, or until its counters are as wanted'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "rm" -d 'Delete channels'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "with-server" -d 'Run a command with a broker of its own'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "servers" -d 'List the named servers of the configuration file'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "completions" -d 'Print the completion script of a shell'
complete -c pushctl -n "__fish_pushctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -s l -l listen -d 'Address to listen on: ADDRESS:PORT (port 0: any free one), PORT, or unix:PATH; may be given several times' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l nginx-conf -d 'Serve the push locations of this nginx configuration instead of the built-in ones' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -s c -l config -d 'Serve this configuration instead of the built-in one: an nginx.conf, or the same in TOML (*.toml)' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l real-ip-from -d 'Believe the proxy at this address or network (or unix:) when X-Real-IP says for whom it asks; may be given several times' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l front-enforces -d 'Serve push locations without these directives of the configuration, which pushctl does not enforce: the proxy that --real-ip-from names enforces them; `all`: every one' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l allow-from -d 'Accept only clients at this address or network (or unix:); may be given several times' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l basic-auth -d 'Require a user name and a password that are in this file (of htpasswd)' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l allow-origin -d 'Let web pages of this origin (https://app.example, or * for all) publish, delete and read; may be given several times' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l server-name -d 'A name by which the server is addressed; may be given several times' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l shards -d 'Threads that hold connections [default: one per core]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l memory -d 'Memory for messages, channels, subscribers and connections together [default: 512m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l connection-memory -d 'Memory for connections and what waits for their sockets, apart from --memory [default: part of --memory; 256m where a configuration sets a size of shared memory]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l message-ttl -d 'Time that a stored message is kept [default: 30m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-stored-messages -d 'Messages stored per channel; the oldest go when there are more [default: 10000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l channel-inactivity -d 'Time without messages, publishing and subscribers after which a channel is forgotten [default: 30s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-channels -d 'Channels at once; another one is answered with 403 [default: 100000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-channel-id-length -d 'Bytes of a channel id; a longer one is answered with 400 [default: 1024]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-channels-per-request -d 'Channels in one request; more are answered with 400 [default: 1000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-waiting-lists -d 'Lists of channels (`?id=ALL`, `?id=PREFIX*` at /channels-stats) that may wait until others are made; a further one is answered with 503 [default: 32]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-subscribers-per-channel -d 'Subscriptions per channel; a further one is answered with 403 [default: 100000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-body-size -d 'Bytes of a published message; a larger one is answered with 413 [default: 1m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-batch-size -d 'Bytes of a batch of messages in one request, each of at most --max-body-size; a larger one is answered with 413 [default: 64m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-websocket-message-size -d 'Bytes of a websocket message, or frame, from a client; a larger one closes with 1009 [default: 4m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-header-size -d 'Bytes of a request line with headers; more are answered with 400 or 414 [default: 32k]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-lag -d 'Bytes kept per channel for followers that are behind, beyond the stored messages [default: 4m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l slow-consumer -d 'What becomes of a follower that is further behind than that: it is dropped (disconnect), or it goes on with the oldest message that is kept (skip) or with the newest (latest) and is told how many it missed [default: disconnect]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-connections -d 'Connections at once; a further one is answered with 503 and closed [default: 100000]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-connections-per-address -d 'Connections of one address at once; a further one is answered with 503 and closed; 0: no limit [default: 0]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l header-timeout -d 'Time for all headers of a request; then the connection is closed [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l body-timeout -d 'Time between two reads of a request\'s body, or of a websocket message; then the connection is closed [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l min-body-rate -d 'Bytes per second of a request\'s body or a websocket message, on average after the first --body-timeout; a slower one is cut off; 0: no limit [default: 512, or 0 with a configuration file]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l keepalive-timeout -d 'Time between two requests of a connection; then it is closed [default: 75s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l linger-time -d 'Time after the last answer of a connection, or the close of a websocket, within which the client is to close it, too; 0: no wait [default: 2s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l send-timeout -d 'Time that a client may take nothing of what is sent to it; then it is dropped [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l ping-timeout -d 'Time after a ping within which something has to come from a websocket; then it is dropped; 0: never [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l hook-timeout -d 'Time for the answer of a back-end of hooks (nchan_authorize_request and the like); then the request is answered as if it were down [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-hook-answer -d 'Bytes of an answer of a back-end of hooks; with a larger one it counts as down [default: 1m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-hooks -d 'Requests to back-ends of hooks at once, of each shard; further ones wait within --hook-timeout [default: 512]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l max-hook-notices -d 'Notices to back-ends (nchan_subscribe_request and nchan_unsubscribe_request) that may wait, of each shard; further ones are dropped, counted and logged. Half of --max-hooks is theirs [default: 4096]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l tcp-keepalive -d 'Time without traffic after which the kernel asks whether a client is there; 0: never [default: 60s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l tcp-keepalive-interval -d 'Time between two such questions [default: 10s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l tcp-keepalive-probes -d 'Questions without an answer after which a connection is broken [default: 6]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l tcp-user-timeout -d 'Time within which a client has to acknowledge what was sent; then the connection is broken; 0: as the system does [default: 2m]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l grace -d 'Time that open connections get when the server ends; then they are cut [default: 5s]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l ready-file -d 'Write the addresses to this file once they are listened on, each on a line; it is removed at the end' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l parent -d 'End when this process, which must be our parent, does' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -l log-level -d 'What is logged: off, error, warn, info or debug [default: what error_log says, else info on stderr]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand check" -l front -d 'Print the nginx configuration that keeps nginx in front and forwards the push locations to pushctl at ADDR' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand check" -l front-enforces -d 'Take these directives as enforced by the proxy in front, as `serve` does; `all`: every one' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand check" -l json -d 'One JSON object per line: directives, locations, mistakes'
complete -c pushctl -n "__fish_pushctl_using_subcommand check" -l strict -d 'Exit with 2 also if there are directives that are not served'
complete -c pushctl -n "__fish_pushctl_using_subcommand check" -l to-toml -d 'Print the configuration in TOML, for `serve --config`'
complete -c pushctl -n "__fish_pushctl_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s c -l channel -d 'Another channel to publish to (repeatable); all get the message with one request' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s f -l file -d 'Send the content of this file' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l event-id -d 'Event id, with which an EventSource resumes' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l event-type -d 'Event type, by which an EventSource sorts events' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l content-type -d 'Content type of the message' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l require-subscribers -d 'Fail with exit code 12 if a channel has fewer subscribers; the message is published nevertheless' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l repeat -d 'Send everything N times' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l rate -d 'Most messages in a time: 100/s, 5/m or 3/h; as fast as the server answers if absent' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l in-flight -d 'Most messages that are sent ahead of their answers' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l timeout -d 'Time to wait for an answer' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s u -l url -d 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]' -r -f
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l server -d 'Server of this name in the configuration file [env: PUSHCTL_SERVER]' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l config-file -d 'Configuration file with named servers [env: PUSHCTL_CONFIG] [default: ~/.config/pushctl/config.toml]' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s H -l header -d 'Header to send with every request, or @FILE with one header per line (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l pub-path -d 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l sub-path -d 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l stats-path -d 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l dialect -d 'What the server speaks [default: what the configuration file says of it, or found out from its answers]' -r -f -a "push-stream\t'nginx-push-stream-module, and the built-in locations of pushctl'
nhpm\t'nginx_http_push_module (NHPM): long-polling and polling'
nchan\t'nchan'"
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s l -l lines -d 'Each line is a message; empty lines are left out, and a CR before the line break is no part of it'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l ndjson -d 'Each line is an object with "channel", "text" or "base64", "event_id", "event_type"'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l template -d 'Replace {number}, {number:6}, {number%10}, {time}, {ms}, {random} and {random:100} in texts, channels and the event id'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l keep-going -d 'Go on after a refusal; all are counted, and the exit code is that of the first'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l retry-unanswered -d 'Send again what was not answered when a connection broke; it may be published twice'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -l json -d 'Print the result as JSON, one object per line'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s q -l quiet -d 'Print nothing'
complete -c pushctl -n "__fish_pushctl_using_subcommand pub" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s m -l mode -d 'How messages are delivered [default: what the configuration file says of the server, or ev]' -r -f -a "auto\t'The first of ws, ev and lp that works'
lp\t'Long-polling: one request per message'
ws\t'WebSocket'
ev\t'EventSource (server-sent events)'
stream\t'One endless response'
poll\t'Ask again and again'"
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l fallback -d 'Modes to go on with, one after the other, if --mode does not work' -r -f -a "auto\t'The first of ws, ev and lp that works'
lp\t'Long-polling: one request per message'
ws\t'WebSocket'
ev\t'EventSource (server-sent events)'
stream\t'One endless response'
poll\t'Ask again and again'"
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s o -l output -d 'What is printed of a message' -r -f -a "text\t'The text, and a line break'
json\t'All known fields, as one line of JSON'
template\t'What --template says'"
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l template -d 'Print each message as FORMAT says, such as \'{time} {channel}: {text}\'' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l exec -d 'Run a command for each message instead of printing it' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l jobs -d 'Commands that run at the same time' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s b -l backlog -d 'Start with the last N stored messages of each channel' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s s -l since -d 'Where to start: now, all, -N (the last N of each channel), 5m (ago), a time, TIME:TAG, or id:EVENT-ID' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l cursor-file -d 'Keep in FILE where this run stands, and go on there in the next one' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s n -l count -d 'Stop after N messages' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l until -d 'Stop after a message that matches REGEX; with --count it must be among those, or the exit code is 6' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l fail-on -d 'Stop after a message that matches REGEX, with exit code 9' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s t -l timeout -d 'Stop after this time' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l idle-timeout -d 'Stop when no message came for this time; the exit code is that of --timeout' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l silence-timeout -d 'Reconnect when a connection brings nothing for this time, not even a ping; 0: never' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l retry -d 'Failed attempts in a row after which to give up [default: 0 before the first connection, then forever]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l max-message-size -d 'Bytes of a message, and of an answer in the modes lp and poll; more ends the run with exit code 7' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l interval -d 'Time between two requests of mode poll, at least 100ms' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s u -l url -d 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]' -r -f
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l server -d 'Server of this name in the configuration file [env: PUSHCTL_SERVER]' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l config-file -d 'Configuration file with named servers [env: PUSHCTL_CONFIG] [default: ~/.config/pushctl/config.toml]' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s H -l header -d 'Header to send with every request, or @FILE with one header per line (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l pub-path -d 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l sub-path -d 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l stats-path -d 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l dialect -d 'What the server speaks [default: what the configuration file says of it, or found out from its answers]' -r -f -a "push-stream\t'nginx-push-stream-module, and the built-in locations of pushctl'
nhpm\t'nginx_http_push_module (NHPM): long-polling and polling'
nchan\t'nchan'"
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l json -d 'Print all known fields of each message as one line of JSON'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l raw -d 'Print the bytes of the messages and nothing else, no line breaks either; nothing is escaped on a terminal'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l ack-on-success -d 'Stop at the first command that fails; the cursor stays before its message'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l no-fsync -d 'Do not wait for the disk when the cursor is written: a power failure may then damage FILE'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l fail-on-gap -d 'Stop with exit code 10 when messages were missed'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -l deleted-ok -d 'It is no failure (exit code 11) when the last channel is deleted'
complete -c pushctl -n "__fish_pushctl_using_subcommand sub" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -s w -l watch -d 'Show it again and again, until interrupted or for the time of --timeout (write --watch=1s, with \'=\')' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l timeout -d 'Time to wait for the answer [default: 30s]; with --watch, the time after which to stop [default: none]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l diff -d 'Compare two saved --json answers (of the last lines of the files)' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l assert -d 'Conditions that must hold, or the exit code is 8 and the values are told (a comma means \'and\')' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l sort -d 'Sort the channels (of ALL, if none is named); the server\'s order if absent' -r -f -a "subscribers\t'Most subscribers first'
stored\t'Most stored messages first'
published\t'Most published messages first'
name\t'By name'"
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l filter -d 'Show the channels whose whole name matches: * ? [a-z] {a,b}, or a regular expression between slashes: /^a.*z$/' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l min-subscribers -d 'Show the channels with at least so many subscribers' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l top -d 'Show the first N channels only' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -s u -l url -d 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]' -r -f
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l server -d 'Server of this name in the configuration file [env: PUSHCTL_SERVER]' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l config-file -d 'Configuration file with named servers [env: PUSHCTL_CONFIG] [default: ~/.config/pushctl/config.toml]' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -s H -l header -d 'Header to send with every request, or @FILE with one header per line (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l pub-path -d 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l sub-path -d 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l stats-path -d 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l dialect -d 'What the server speaks [default: what the configuration file says of it, or found out from its answers]' -r -f -a "push-stream\t'nginx-push-stream-module, and the built-in locations of pushctl'
nhpm\t'nginx_http_push_module (NHPM): long-polling and polling'
nchan\t'nchan'"
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l json -d 'Print the server\'s own JSON on one line'
complete -c pushctl -n "__fish_pushctl_using_subcommand stats" -l reverse -d 'Turn the order around'
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
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l warm-up -d 'Publish for this time before the measurement begins' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l connect-rate -d 'Connections per second; as fast as the server answers if absent' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l processes -d 'Processes for the subscribers: a number, or auto for as few as the limits of open files and ports allow' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l bind -d 'Address of this machine to connect from (repeatable; connections take them in turn)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l report -d 'Write a page with charts, which needs nothing else' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l compare -d 'Show the differences from an earlier result of --json' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l assert -d 'Conditions that must hold, or the exit code is 8 and the values are told (a comma means \'and\')' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -s u -l url -d 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]' -r -f
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l server -d 'Server of this name in the configuration file [env: PUSHCTL_SERVER]' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l config-file -d 'Configuration file with named servers [env: PUSHCTL_CONFIG] [default: ~/.config/pushctl/config.toml]' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -s H -l header -d 'Header to send with every request, or @FILE with one header per line (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l pub-path -d 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l sub-path -d 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l stats-path -d 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l dialect -d 'What the server speaks [default: what the configuration file says of it, or found out from its answers]' -r -f -a "push-stream\t'nginx-push-stream-module, and the built-in locations of pushctl'
nhpm\t'nginx_http_push_module (NHPM): long-polling and polling'
nchan\t'nchan'"
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l storm -d 'Let all subscribers connect at once, without waiting for the answers to others'
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -l json -d 'Print the result as one line of JSON'
complete -c pushctl -n "__fish_pushctl_using_subcommand bench" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -s c -l channel -d 'Channel whose counters are meant (repeatable: the conditions must hold for each); the whole server if absent' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l subscribers -d 'Wait until the subscribers are so many: \'>=1\', \'==0\', \'<5\', \'!=2\'' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l stored -d 'Wait until so many messages are stored' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l published -d 'Wait until so many messages were published' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -s t -l timeout -d 'Time after which to give up, with exit code 6 [default: none]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l interval -d 'Longest time between two looks; the first ones come faster' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -s u -l url -d 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]' -r -f
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l server -d 'Server of this name in the configuration file [env: PUSHCTL_SERVER]' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l config-file -d 'Configuration file with named servers [env: PUSHCTL_CONFIG] [default: ~/.config/pushctl/config.toml]' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -s H -l header -d 'Header to send with every request, or @FILE with one header per line (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l pub-path -d 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l sub-path -d 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l stats-path -d 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l dialect -d 'What the server speaks [default: what the configuration file says of it, or found out from its answers]' -r -f -a "push-stream\t'nginx-push-stream-module, and the built-in locations of pushctl'
nhpm\t'nginx_http_push_module (NHPM): long-polling and polling'
nchan\t'nchan'"
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l ready -d 'Wait until the server answers; this is what is waited for if there is no condition'
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -l json -d 'Print the counters seen last as JSON, one object per line'
complete -c pushctl -n "__fish_pushctl_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l farewell -d 'Last message to the subscribers, instead of that of the server' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l timeout -d 'Time to wait for an answer' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -s u -l url -d 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]' -r -f
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l server -d 'Server of this name in the configuration file [env: PUSHCTL_SERVER]' -r -f -a "(__fish_pushctl_names)"
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l config-file -d 'Configuration file with named servers [env: PUSHCTL_CONFIG] [default: ~/.config/pushctl/config.toml]' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -s H -l header -d 'Header to send with every request, or @FILE with one header per line (repeatable)' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l pub-path -d 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l sub-path -d 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l stats-path -d 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]' -r
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l dialect -d 'What the server speaks [default: what the configuration file says of it, or found out from its answers]' -r -f -a "push-stream\t'nginx-push-stream-module, and the built-in locations of pushctl'
nhpm\t'nginx_http_push_module (NHPM): long-polling and polling'
nchan\t'nchan'"
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l missing-ok -d 'A channel that does not exist is no failure'
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -l json -d 'Print the result as JSON, one object per line'
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -s q -l quiet -d 'Print nothing'
complete -c pushctl -n "__fish_pushctl_using_subcommand rm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand with-server" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand servers" -l config-file -d 'Configuration file to look into' -r -F
complete -c pushctl -n "__fish_pushctl_using_subcommand servers" -l json -d 'Print JSON, one object per line'
complete -c pushctl -n "__fish_pushctl_using_subcommand servers" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pushctl -n "__fish_pushctl_using_subcommand completions" -s h -l help -d 'Print help'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve check pub sub stats bench wait rm with-server servers completions help" -f -a "serve" -d 'Run a push broker'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve check pub sub stats bench wait rm with-server servers completions help" -f -a "check" -d 'Say what of a configuration is served, ignored, not served or wrong'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve check pub sub stats bench wait rm with-server servers completions help" -f -a "pub" -d 'Publish a message'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve check pub sub stats bench wait rm with-server servers completions help" -f -a "sub" -d 'Follow channels and print their messages'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve check pub sub stats bench wait rm with-server servers completions help" -f -a "stats" -d 'Show the counters of a server or of channels'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve check pub sub stats bench wait rm with-server servers completions help" -f -a "bench" -d 'Measure a server with many subscribers, and prove that it loses nothing'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve check pub sub stats bench wait rm with-server servers completions help" -f -a "wait" -d 'Wait until a server answers, or until its counters are as wanted'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve check pub sub stats bench wait rm with-server servers completions help" -f -a "rm" -d 'Delete channels'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve check pub sub stats bench wait rm with-server servers completions help" -f -a "with-server" -d 'Run a command with a broker of its own'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve check pub sub stats bench wait rm with-server servers completions help" -f -a "servers" -d 'List the named servers of the configuration file'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve check pub sub stats bench wait rm with-server servers completions help" -f -a "completions" -d 'Print the completion script of a shell'
complete -c pushctl -n "__fish_pushctl_using_subcommand help; and not __fish_seen_subcommand_from serve check pub sub stats bench wait rm with-server servers completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'

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
