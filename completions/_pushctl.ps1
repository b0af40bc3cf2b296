
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'pushctl' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'pushctl'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'pushctl' {
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Server of this name in the configuration file [env: PUSHCTL_SERVER]')
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file with named servers [env: PUSHCTL_CONFIG] [default: ~/.config/pushctl/config.toml]')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Run a push broker')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Say what of a configuration is served, ignored, not served or wrong')
            [CompletionResult]::new('pub', 'pub', [CompletionResultType]::ParameterValue, 'Publish a message')
            [CompletionResult]::new('sub', 'sub', [CompletionResultType]::ParameterValue, 'Follow channels and print their messages')
            [CompletionResult]::new('stats', 'stats', [CompletionResultType]::ParameterValue, 'Show the counters of a server or of channels')
            [CompletionResult]::new('bench', 'bench', [CompletionResultType]::ParameterValue, 'Measure a server with many subscribers, and prove that it loses nothing')
            [CompletionResult]::new('wait', 'wait', [CompletionResultType]::ParameterValue, 'Wait until a server answers, or until its counters are as wanted')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Delete channels')
            [CompletionResult]::new('with-server', 'with-server', [CompletionResultType]::ParameterValue, 'Run a command with a broker of its own')
            [CompletionResult]::new('servers', 'servers', [CompletionResultType]::ParameterValue, 'List the named servers of the configuration file')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print the completion script of a shell')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'pushctl;serve' {
            [CompletionResult]::new('-l', '-l', [CompletionResultType]::ParameterName, 'Address to listen on: ADDRESS:PORT (port 0: any free one), PORT, or unix:PATH; may be given several times')
            [CompletionResult]::new('--listen', '--listen', [CompletionResultType]::ParameterName, 'Address to listen on: ADDRESS:PORT (port 0: any free one), PORT, or unix:PATH; may be given several times')
            [CompletionResult]::new('--nginx-conf', '--nginx-conf', [CompletionResultType]::ParameterName, 'Serve the push locations of this nginx configuration instead of the built-in ones')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Serve this configuration instead of the built-in one: an nginx.conf, or the same in TOML (*.toml)')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Serve this configuration instead of the built-in one: an nginx.conf, or the same in TOML (*.toml)')
            [CompletionResult]::new('--real-ip-from', '--real-ip-from', [CompletionResultType]::ParameterName, 'Believe the proxy at this address or network (or unix:) when X-Real-IP says for whom it asks; may be given several times')
            [CompletionResult]::new('--front-enforces', '--front-enforces', [CompletionResultType]::ParameterName, 'Serve push locations without these directives of the configuration, which pushctl does not enforce: the proxy that --real-ip-from names enforces them; `all`: every one')
            [CompletionResult]::new('--allow-from', '--allow-from', [CompletionResultType]::ParameterName, 'Accept only clients at this address or network (or unix:); may be given several times')
            [CompletionResult]::new('--basic-auth', '--basic-auth', [CompletionResultType]::ParameterName, 'Require a user name and a password that are in this file (of htpasswd)')
            [CompletionResult]::new('--allow-origin', '--allow-origin', [CompletionResultType]::ParameterName, 'Let web pages of this origin (https://app.example, or * for all) publish, delete and read; may be given several times')
            [CompletionResult]::new('--server-name', '--server-name', [CompletionResultType]::ParameterName, 'A name by which the server is addressed; may be given several times')
            [CompletionResult]::new('--shards', '--shards', [CompletionResultType]::ParameterName, 'Threads that hold connections [default: one per core]')
            [CompletionResult]::new('--memory', '--memory', [CompletionResultType]::ParameterName, 'Memory for messages, channels, subscribers and connections together [default: 512m]')
            [CompletionResult]::new('--connection-memory', '--connection-memory', [CompletionResultType]::ParameterName, 'Memory for connections and what waits for their sockets, apart from --memory [default: part of --memory; 256m where a configuration sets a size of shared memory]')
            [CompletionResult]::new('--message-ttl', '--message-ttl', [CompletionResultType]::ParameterName, 'Time that a stored message is kept [default: 30m]')
            [CompletionResult]::new('--max-stored-messages', '--max-stored-messages', [CompletionResultType]::ParameterName, 'Messages stored per channel; the oldest go when there are more [default: 10000]')
            [CompletionResult]::new('--channel-inactivity', '--channel-inactivity', [CompletionResultType]::ParameterName, 'Time without messages, publishing and subscribers after which a channel is forgotten [default: 30s]')
            [CompletionResult]::new('--max-channels', '--max-channels', [CompletionResultType]::ParameterName, 'Channels at once; another one is answered with 403 [default: 100000]')
            [CompletionResult]::new('--max-channel-id-length', '--max-channel-id-length', [CompletionResultType]::ParameterName, 'Bytes of a channel id; a longer one is answered with 400 [default: 1024]')
            [CompletionResult]::new('--max-channels-per-request', '--max-channels-per-request', [CompletionResultType]::ParameterName, 'Channels in one request; more are answered with 400 [default: 1000]')
            [CompletionResult]::new('--max-waiting-lists', '--max-waiting-lists', [CompletionResultType]::ParameterName, 'Lists of channels (`?id=ALL`, `?id=PREFIX*` at /channels-stats) that may wait until others are made; a further one is answered with 503 [default: 32]')
            [CompletionResult]::new('--max-subscribers-per-channel', '--max-subscribers-per-channel', [CompletionResultType]::ParameterName, 'Subscriptions per channel; a further one is answered with 403 [default: 100000]')
            [CompletionResult]::new('--max-body-size', '--max-body-size', [CompletionResultType]::ParameterName, 'Bytes of a published message; a larger one is answered with 413 [default: 1m]')
            [CompletionResult]::new('--max-batch-size', '--max-batch-size', [CompletionResultType]::ParameterName, 'Bytes of a batch of messages in one request, each of at most --max-body-size; a larger one is answered with 413 [default: 64m]')
            [CompletionResult]::new('--max-websocket-message-size', '--max-websocket-message-size', [CompletionResultType]::ParameterName, 'Bytes of a websocket message, or frame, from a client; a larger one closes with 1009 [default: 4m]')
            [CompletionResult]::new('--max-header-size', '--max-header-size', [CompletionResultType]::ParameterName, 'Bytes of a request line with headers; more are answered with 400 or 414 [default: 32k]')
            [CompletionResult]::new('--max-lag', '--max-lag', [CompletionResultType]::ParameterName, 'Bytes kept per channel for followers that are behind, beyond the stored messages [default: 4m]')
            [CompletionResult]::new('--slow-consumer', '--slow-consumer', [CompletionResultType]::ParameterName, 'What becomes of a follower that is further behind than that: it is dropped (disconnect), or it goes on with the oldest message that is kept (skip) or with the newest (latest) and is told how many it missed [default: disconnect]')
            [CompletionResult]::new('--max-connections', '--max-connections', [CompletionResultType]::ParameterName, 'Connections at once; a further one is answered with 503 and closed [default: 100000]')
            [CompletionResult]::new('--max-connections-per-address', '--max-connections-per-address', [CompletionResultType]::ParameterName, 'Connections of one address at once; a further one is answered with 503 and closed; 0: no limit [default: 0]')
            [CompletionResult]::new('--header-timeout', '--header-timeout', [CompletionResultType]::ParameterName, 'Time for all headers of a request; then the connection is closed [default: 60s]')
            [CompletionResult]::new('--body-timeout', '--body-timeout', [CompletionResultType]::ParameterName, 'Time between two reads of a request''s body, or of a websocket message; then the connection is closed [default: 60s]')
            [CompletionResult]::new('--min-body-rate', '--min-body-rate', [CompletionResultType]::ParameterName, 'Bytes per second of a request''s body or a websocket message, on average after the first --body-timeout; a slower one is cut off; 0: no limit [default: 512, or 0 with a configuration file]')
            [CompletionResult]::new('--keepalive-timeout', '--keepalive-timeout', [CompletionResultType]::ParameterName, 'Time between two requests of a connection; then it is closed [default: 75s]')
            [CompletionResult]::new('--linger-time', '--linger-time', [CompletionResultType]::ParameterName, 'Time after the last answer of a connection, or the close of a websocket, within which the client is to close it, too; 0: no wait [default: 2s]')
            [CompletionResult]::new('--send-timeout', '--send-timeout', [CompletionResultType]::ParameterName, 'Time that a client may take nothing of what is sent to it; then it is dropped [default: 60s]')
            [CompletionResult]::new('--ping-timeout', '--ping-timeout', [CompletionResultType]::ParameterName, 'Time after a ping within which something has to come from a websocket; then it is dropped; 0: never [default: 60s]')
            [CompletionResult]::new('--hook-timeout', '--hook-timeout', [CompletionResultType]::ParameterName, 'Time for the answer of a back-end of hooks (nchan_authorize_request and the like); then the request is answered as if it were down [default: 60s]')
            [CompletionResult]::new('--max-hook-answer', '--max-hook-answer', [CompletionResultType]::ParameterName, 'Bytes of an answer of a back-end of hooks; with a larger one it counts as down [default: 1m]')
            [CompletionResult]::new('--max-hooks', '--max-hooks', [CompletionResultType]::ParameterName, 'Requests to back-ends of hooks at once, of each shard; further ones wait within --hook-timeout [default: 512]')
            [CompletionResult]::new('--max-hook-notices', '--max-hook-notices', [CompletionResultType]::ParameterName, 'Notices to back-ends (nchan_subscribe_request and nchan_unsubscribe_request) that may wait, of each shard; further ones are dropped, counted and logged. Half of --max-hooks is theirs [default: 4096]')
            [CompletionResult]::new('--tcp-keepalive', '--tcp-keepalive', [CompletionResultType]::ParameterName, 'Time without traffic after which the kernel asks whether a client is there; 0: never [default: 60s]')
            [CompletionResult]::new('--tcp-keepalive-interval', '--tcp-keepalive-interval', [CompletionResultType]::ParameterName, 'Time between two such questions [default: 10s]')
            [CompletionResult]::new('--tcp-keepalive-probes', '--tcp-keepalive-probes', [CompletionResultType]::ParameterName, 'Questions without an answer after which a connection is broken [default: 6]')
            [CompletionResult]::new('--tcp-user-timeout', '--tcp-user-timeout', [CompletionResultType]::ParameterName, 'Time within which a client has to acknowledge what was sent; then the connection is broken; 0: as the system does [default: 2m]')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'Time that open connections get when the server ends; then they are cut [default: 5s]')
            [CompletionResult]::new('--ready-file', '--ready-file', [CompletionResultType]::ParameterName, 'Write the addresses to this file once they are listened on, each on a line; it is removed at the end')
            [CompletionResult]::new('--parent', '--parent', [CompletionResultType]::ParameterName, 'End when this process, which must be our parent, does')
            [CompletionResult]::new('--log-level', '--log-level', [CompletionResultType]::ParameterName, 'What is logged: off, error, warn, info or debug [default: what error_log says, else info on stderr]')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;check' {
            [CompletionResult]::new('--front', '--front', [CompletionResultType]::ParameterName, 'Print the nginx configuration that keeps nginx in front and forwards the push locations to pushctl at ADDR')
            [CompletionResult]::new('--front-enforces', '--front-enforces', [CompletionResultType]::ParameterName, 'Take these directives as enforced by the proxy in front, as `serve` does; `all`: every one')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object per line: directives, locations, mistakes')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Exit with 2 also if there are directives that are not served')
            [CompletionResult]::new('--to-toml', '--to-toml', [CompletionResultType]::ParameterName, 'Print the configuration in TOML, for `serve --config`')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;pub' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Another channel to publish to (repeatable); all get the message with one request')
            [CompletionResult]::new('--channel', '--channel', [CompletionResultType]::ParameterName, 'Another channel to publish to (repeatable); all get the message with one request')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Send the content of this file')
            [CompletionResult]::new('--file', '--file', [CompletionResultType]::ParameterName, 'Send the content of this file')
            [CompletionResult]::new('--event-id', '--event-id', [CompletionResultType]::ParameterName, 'Event id, with which an EventSource resumes')
            [CompletionResult]::new('--event-type', '--event-type', [CompletionResultType]::ParameterName, 'Event type, by which an EventSource sorts events')
            [CompletionResult]::new('--content-type', '--content-type', [CompletionResultType]::ParameterName, 'Content type of the message')
            [CompletionResult]::new('--require-subscribers', '--require-subscribers', [CompletionResultType]::ParameterName, 'Fail with exit code 12 if a channel has fewer subscribers; the message is published nevertheless')
            [CompletionResult]::new('--repeat', '--repeat', [CompletionResultType]::ParameterName, 'Send everything N times')
            [CompletionResult]::new('--rate', '--rate', [CompletionResultType]::ParameterName, 'Most messages in a time: 100/s, 5/m or 3/h; as fast as the server answers if absent')
            [CompletionResult]::new('--in-flight', '--in-flight', [CompletionResultType]::ParameterName, 'Most messages that are sent ahead of their answers')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time to wait for an answer')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Server of this name in the configuration file [env: PUSHCTL_SERVER]')
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file with named servers [env: PUSHCTL_CONFIG] [default: ~/.config/pushctl/config.toml]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--dialect', '--dialect', [CompletionResultType]::ParameterName, 'What the server speaks [default: what the configuration file says of it, or found out from its answers]')
            [CompletionResult]::new('-l', '-l', [CompletionResultType]::ParameterName, 'Each line is a message; empty lines are left out, and a CR before the line break is no part of it')
            [CompletionResult]::new('--lines', '--lines', [CompletionResultType]::ParameterName, 'Each line is a message; empty lines are left out, and a CR before the line break is no part of it')
            [CompletionResult]::new('--ndjson', '--ndjson', [CompletionResultType]::ParameterName, 'Each line is an object with "channel", "text" or "base64", "event_id", "event_type"')
            [CompletionResult]::new('--template', '--template', [CompletionResultType]::ParameterName, 'Replace {number}, {number:6}, {number%10}, {time}, {ms}, {random} and {random:100} in texts, channels and the event id')
            [CompletionResult]::new('--keep-going', '--keep-going', [CompletionResultType]::ParameterName, 'Go on after a refusal; all are counted, and the exit code is that of the first')
            [CompletionResult]::new('--retry-unanswered', '--retry-unanswered', [CompletionResultType]::ParameterName, 'Send again what was not answered when a connection broke; it may be published twice')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the result as JSON, one object per line')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;sub' {
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'How messages are delivered [default: what the configuration file says of the server, or ev]')
            [CompletionResult]::new('--mode', '--mode', [CompletionResultType]::ParameterName, 'How messages are delivered [default: what the configuration file says of the server, or ev]')
            [CompletionResult]::new('--fallback', '--fallback', [CompletionResultType]::ParameterName, 'Modes to go on with, one after the other, if --mode does not work')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'What is printed of a message')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'What is printed of a message')
            [CompletionResult]::new('--template', '--template', [CompletionResultType]::ParameterName, 'Print each message as FORMAT says, such as ''{time} {channel}: {text}''')
            [CompletionResult]::new('--exec', '--exec', [CompletionResultType]::ParameterName, 'Run a command for each message instead of printing it')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'Commands that run at the same time')
            [CompletionResult]::new('-b', '-b', [CompletionResultType]::ParameterName, 'Start with the last N stored messages of each channel')
            [CompletionResult]::new('--backlog', '--backlog', [CompletionResultType]::ParameterName, 'Start with the last N stored messages of each channel')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'Where to start: now, all, -N (the last N of each channel), 5m (ago), a time, TIME:TAG, or id:EVENT-ID')
            [CompletionResult]::new('--since', '--since', [CompletionResultType]::ParameterName, 'Where to start: now, all, -N (the last N of each channel), 5m (ago), a time, TIME:TAG, or id:EVENT-ID')
            [CompletionResult]::new('--cursor-file', '--cursor-file', [CompletionResultType]::ParameterName, 'Keep in FILE where this run stands, and go on there in the next one')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Stop after N messages')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'Stop after N messages')
            [CompletionResult]::new('--until', '--until', [CompletionResultType]::ParameterName, 'Stop after a message that matches REGEX; with --count it must be among those, or the exit code is 6')
            [CompletionResult]::new('--fail-on', '--fail-on', [CompletionResultType]::ParameterName, 'Stop after a message that matches REGEX, with exit code 9')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Stop after this time')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Stop after this time')
            [CompletionResult]::new('--idle-timeout', '--idle-timeout', [CompletionResultType]::ParameterName, 'Stop when no message came for this time; the exit code is that of --timeout')
            [CompletionResult]::new('--silence-timeout', '--silence-timeout', [CompletionResultType]::ParameterName, 'Reconnect when a connection brings nothing for this time, not even a ping; 0: never')
            [CompletionResult]::new('--retry', '--retry', [CompletionResultType]::ParameterName, 'Failed attempts in a row after which to give up [default: 0 before the first connection, then forever]')
            [CompletionResult]::new('--max-message-size', '--max-message-size', [CompletionResultType]::ParameterName, 'Bytes of a message, and of an answer in the modes lp and poll; more ends the run with exit code 7')
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'Time between two requests of mode poll, at least 100ms')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Server of this name in the configuration file [env: PUSHCTL_SERVER]')
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file with named servers [env: PUSHCTL_CONFIG] [default: ~/.config/pushctl/config.toml]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--dialect', '--dialect', [CompletionResultType]::ParameterName, 'What the server speaks [default: what the configuration file says of it, or found out from its answers]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print all known fields of each message as one line of JSON')
            [CompletionResult]::new('--raw', '--raw', [CompletionResultType]::ParameterName, 'Print the bytes of the messages and nothing else, no line breaks either; nothing is escaped on a terminal')
            [CompletionResult]::new('--ack-on-success', '--ack-on-success', [CompletionResultType]::ParameterName, 'Stop at the first command that fails; the cursor stays before its message')
            [CompletionResult]::new('--no-fsync', '--no-fsync', [CompletionResultType]::ParameterName, 'Do not wait for the disk when the cursor is written: a power failure may then damage FILE')
            [CompletionResult]::new('--fail-on-gap', '--fail-on-gap', [CompletionResultType]::ParameterName, 'Stop with exit code 10 when messages were missed')
            [CompletionResult]::new('--deleted-ok', '--deleted-ok', [CompletionResultType]::ParameterName, 'It is no failure (exit code 11) when the last channel is deleted')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;stats' {
            [CompletionResult]::new('-w', '-w', [CompletionResultType]::ParameterName, 'Show it again and again, until interrupted or for the time of --timeout (write --watch=1s, with ''='')')
            [CompletionResult]::new('--watch', '--watch', [CompletionResultType]::ParameterName, 'Show it again and again, until interrupted or for the time of --timeout (write --watch=1s, with ''='')')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time to wait for the answer [default: 30s]; with --watch, the time after which to stop [default: none]')
            [CompletionResult]::new('--diff', '--diff', [CompletionResultType]::ParameterName, 'Compare two saved --json answers (of the last lines of the files)')
            [CompletionResult]::new('--assert', '--assert', [CompletionResultType]::ParameterName, 'Conditions that must hold, or the exit code is 8 and the values are told (a comma means ''and'')')
            [CompletionResult]::new('--sort', '--sort', [CompletionResultType]::ParameterName, 'Sort the channels (of ALL, if none is named); the server''s order if absent')
            [CompletionResult]::new('--filter', '--filter', [CompletionResultType]::ParameterName, 'Show the channels whose whole name matches: * ? [a-z] {a,b}, or a regular expression between slashes: /^a.*z$/')
            [CompletionResult]::new('--min-subscribers', '--min-subscribers', [CompletionResultType]::ParameterName, 'Show the channels with at least so many subscribers')
            [CompletionResult]::new('--top', '--top', [CompletionResultType]::ParameterName, 'Show the first N channels only')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Server of this name in the configuration file [env: PUSHCTL_SERVER]')
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file with named servers [env: PUSHCTL_CONFIG] [default: ~/.config/pushctl/config.toml]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--dialect', '--dialect', [CompletionResultType]::ParameterName, 'What the server speaks [default: what the configuration file says of it, or found out from its answers]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the server''s own JSON on one line')
            [CompletionResult]::new('--reverse', '--reverse', [CompletionResultType]::ParameterName, 'Turn the order around')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;bench' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Subscribers')
            [CompletionResult]::new('--subscribers', '--subscribers', [CompletionResultType]::ParameterName, 'Subscribers')
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'How messages are delivered')
            [CompletionResult]::new('--mode', '--mode', [CompletionResultType]::ParameterName, 'How messages are delivered')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Channels over which the subscribers are spread')
            [CompletionResult]::new('--channels', '--channels', [CompletionResultType]::ParameterName, 'Channels over which the subscribers are spread')
            [CompletionResult]::new('--messages', '--messages', [CompletionResultType]::ParameterName, 'Messages per channel')
            [CompletionResult]::new('--rate', '--rate', [CompletionResultType]::ParameterName, 'Messages per second over all publishers; as fast as the server answers if absent')
            [CompletionResult]::new('--size', '--size', [CompletionResultType]::ParameterName, 'Bytes of a message')
            [CompletionResult]::new('--publishers', '--publishers', [CompletionResultType]::ParameterName, 'Publishers, each with one message in flight')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time for all to connect, for the answer to each message, and again for all to be delivered')
            [CompletionResult]::new('--warm-up', '--warm-up', [CompletionResultType]::ParameterName, 'Publish for this time before the measurement begins')
            [CompletionResult]::new('--connect-rate', '--connect-rate', [CompletionResultType]::ParameterName, 'Connections per second; as fast as the server answers if absent')
            [CompletionResult]::new('--processes', '--processes', [CompletionResultType]::ParameterName, 'Processes for the subscribers: a number, or auto for as few as the limits of open files and ports allow')
            [CompletionResult]::new('--bind', '--bind', [CompletionResultType]::ParameterName, 'Address of this machine to connect from (repeatable; connections take them in turn)')
            [CompletionResult]::new('--report', '--report', [CompletionResultType]::ParameterName, 'Write a page with charts, which needs nothing else')
            [CompletionResult]::new('--compare', '--compare', [CompletionResultType]::ParameterName, 'Show the differences from an earlier result of --json')
            [CompletionResult]::new('--assert', '--assert', [CompletionResultType]::ParameterName, 'Conditions that must hold, or the exit code is 8 and the values are told (a comma means ''and'')')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Server of this name in the configuration file [env: PUSHCTL_SERVER]')
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file with named servers [env: PUSHCTL_CONFIG] [default: ~/.config/pushctl/config.toml]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--dialect', '--dialect', [CompletionResultType]::ParameterName, 'What the server speaks [default: what the configuration file says of it, or found out from its answers]')
            [CompletionResult]::new('--storm', '--storm', [CompletionResultType]::ParameterName, 'Let all subscribers connect at once, without waiting for the answers to others')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the result as one line of JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;wait' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Channel whose counters are meant (repeatable: the conditions must hold for each); the whole server if absent')
            [CompletionResult]::new('--channel', '--channel', [CompletionResultType]::ParameterName, 'Channel whose counters are meant (repeatable: the conditions must hold for each); the whole server if absent')
            [CompletionResult]::new('--subscribers', '--subscribers', [CompletionResultType]::ParameterName, 'Wait until the subscribers are so many: ''>=1'', ''==0'', ''<5'', ''!=2''')
            [CompletionResult]::new('--stored', '--stored', [CompletionResultType]::ParameterName, 'Wait until so many messages are stored')
            [CompletionResult]::new('--published', '--published', [CompletionResultType]::ParameterName, 'Wait until so many messages were published')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Time after which to give up, with exit code 6 [default: none]')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time after which to give up, with exit code 6 [default: none]')
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'Longest time between two looks; the first ones come faster')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Server of this name in the configuration file [env: PUSHCTL_SERVER]')
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file with named servers [env: PUSHCTL_CONFIG] [default: ~/.config/pushctl/config.toml]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--dialect', '--dialect', [CompletionResultType]::ParameterName, 'What the server speaks [default: what the configuration file says of it, or found out from its answers]')
            [CompletionResult]::new('--ready', '--ready', [CompletionResultType]::ParameterName, 'Wait until the server answers; this is what is waited for if there is no condition')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the counters seen last as JSON, one object per line')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;rm' {
            [CompletionResult]::new('--farewell', '--farewell', [CompletionResultType]::ParameterName, 'Last message to the subscribers, instead of that of the server')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time to wait for an answer')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to use; a path in it is a prefix of all paths [env: PUSHCTL_URL] [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Server of this name in the configuration file [env: PUSHCTL_SERVER]')
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file with named servers [env: PUSHCTL_CONFIG] [default: ~/.config/pushctl/config.toml]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--dialect', '--dialect', [CompletionResultType]::ParameterName, 'What the server speaks [default: what the configuration file says of it, or found out from its answers]')
            [CompletionResult]::new('--missing-ok', '--missing-ok', [CompletionResultType]::ParameterName, 'A channel that does not exist is no failure')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the result as JSON, one object per line')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;with-server' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;servers' {
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file to look into')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object per line')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;completions' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'pushctl;help' {
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Run a push broker')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Say what of a configuration is served, ignored, not served or wrong')
            [CompletionResult]::new('pub', 'pub', [CompletionResultType]::ParameterValue, 'Publish a message')
            [CompletionResult]::new('sub', 'sub', [CompletionResultType]::ParameterValue, 'Follow channels and print their messages')
            [CompletionResult]::new('stats', 'stats', [CompletionResultType]::ParameterValue, 'Show the counters of a server or of channels')
            [CompletionResult]::new('bench', 'bench', [CompletionResultType]::ParameterValue, 'Measure a server with many subscribers, and prove that it loses nothing')
            [CompletionResult]::new('wait', 'wait', [CompletionResultType]::ParameterValue, 'Wait until a server answers, or until its counters are as wanted')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Delete channels')
            [CompletionResult]::new('with-server', 'with-server', [CompletionResultType]::ParameterValue, 'Run a command with a broker of its own')
            [CompletionResult]::new('servers', 'servers', [CompletionResultType]::ParameterValue, 'List the named servers of the configuration file')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print the completion script of a shell')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'pushctl;help;serve' {
            break
        }
        'pushctl;help;check' {
            break
        }
        'pushctl;help;pub' {
            break
        }
        'pushctl;help;sub' {
            break
        }
        'pushctl;help;stats' {
            break
        }
        'pushctl;help;bench' {
            break
        }
        'pushctl;help;wait' {
            break
        }
        'pushctl;help;rm' {
            break
        }
        'pushctl;help;with-server' {
            break
        }
        'pushctl;help;servers' {
            break
        }
        'pushctl;help;completions' {
            break
        }
        'pushctl;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
