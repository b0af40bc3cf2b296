
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
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'Server URL [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server URL [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Name of a server in the configuration file')
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file with named servers [default: ~/.config/pushctl/config.toml]')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Run a push broker')
            [CompletionResult]::new('pub', 'pub', [CompletionResultType]::ParameterValue, 'Publish messages')
            [CompletionResult]::new('sub', 'sub', [CompletionResultType]::ParameterValue, 'Follow channels and print their messages')
            [CompletionResult]::new('stats', 'stats', [CompletionResultType]::ParameterValue, 'Show the counters of a server or of channels')
            [CompletionResult]::new('wait', 'wait', [CompletionResultType]::ParameterValue, 'Wait until a server is up or a condition on its counters holds')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Delete channels')
            [CompletionResult]::new('bench', 'bench', [CompletionResultType]::ParameterValue, 'Measure a server under load, and verify that it loses no message')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Report which directives of a configuration are supported, ignored, unsupported or invalid')
            [CompletionResult]::new('with-server', 'with-server', [CompletionResultType]::ParameterValue, 'Run a command with a temporary broker')
            [CompletionResult]::new('servers', 'servers', [CompletionResultType]::ParameterValue, 'List the named servers of the configuration file')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print the completion script of a shell')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'pushctl;serve' {
            [CompletionResult]::new('-l', '-l', [CompletionResultType]::ParameterName, 'Address to listen on [default: 127.0.0.1:9080]')
            [CompletionResult]::new('--listen', '--listen', [CompletionResultType]::ParameterName, 'Address to listen on [default: 127.0.0.1:9080]')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Configuration file, in TOML or as an nginx.conf')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Configuration file, in TOML or as an nginx.conf')
            [CompletionResult]::new('--nginx-conf', '--nginx-conf', [CompletionResultType]::ParameterName, 'Serve the push locations of this nginx.conf')
            [CompletionResult]::new('--log-level', '--log-level', [CompletionResultType]::ParameterName, 'Log level [default: info]')
            [CompletionResult]::new('--ready-file', '--ready-file', [CompletionResultType]::ParameterName, 'Write the addresses to this file once the server listens on them, one per line')
            [CompletionResult]::new('--shards', '--shards', [CompletionResultType]::ParameterName, 'Number of threads that serve connections [default: one per core]')
            [CompletionResult]::new('--parent', '--parent', [CompletionResultType]::ParameterName, 'Stop when the parent process, which has this id, ends')
            [CompletionResult]::new('--test-engine', '--test-engine', [CompletionResultType]::ParameterName, 'Acknowledge publishes late, with errors or never')
            [CompletionResult]::new('--allow-from', '--allow-from', [CompletionResultType]::ParameterName, 'Accept only clients at this address or network')
            [CompletionResult]::new('--basic-auth', '--basic-auth', [CompletionResultType]::ParameterName, 'Require a user and password of this htpasswd file')
            [CompletionResult]::new('--allow-origin', '--allow-origin', [CompletionResultType]::ParameterName, 'Accept web pages of this origin (repeatable)')
            [CompletionResult]::new('--server-name', '--server-name', [CompletionResultType]::ParameterName, 'Host name of the server in requests (repeatable)')
            [CompletionResult]::new('--real-ip-from', '--real-ip-from', [CompletionResultType]::ParameterName, 'Trust the proxy at this address or network (or unix:) to set X-Real-IP (repeatable)')
            [CompletionResult]::new('--front-enforces', '--front-enforces', [CompletionResultType]::ParameterName, 'Serve push locations whose unsupported directives the proxy enforces (repeatable)')
            [CompletionResult]::new('--memory', '--memory', [CompletionResultType]::ParameterName, 'Maximum memory of the server [default: 512m]')
            [CompletionResult]::new('--connection-memory', '--connection-memory', [CompletionResultType]::ParameterName, 'Separate memory limit for connections [default: part of --memory]')
            [CompletionResult]::new('--max-connections', '--max-connections', [CompletionResultType]::ParameterName, 'Maximum number of connections [default: 100000]')
            [CompletionResult]::new('--max-connections-per-address', '--max-connections-per-address', [CompletionResultType]::ParameterName, 'Maximum number of connections per client address; 0: unlimited [default: 0]')
            [CompletionResult]::new('--max-body-size', '--max-body-size', [CompletionResultType]::ParameterName, 'Maximum size of a published message [default: 1m]')
            [CompletionResult]::new('--max-batch-size', '--max-batch-size', [CompletionResultType]::ParameterName, 'Maximum size of a batch of messages in one request; a larger one gets 413 [default: 64m]')
            [CompletionResult]::new('--max-websocket-message-size', '--max-websocket-message-size', [CompletionResultType]::ParameterName, 'Maximum size of a WebSocket message or frame from a client [default: 4m]')
            [CompletionResult]::new('--max-header-size', '--max-header-size', [CompletionResultType]::ParameterName, 'Maximum size of a request line with its headers; more gets 400 or 414 [default: 32k]')
            [CompletionResult]::new('--message-ttl', '--message-ttl', [CompletionResultType]::ParameterName, 'Lifetime of a stored message [default: 30m]')
            [CompletionResult]::new('--max-stored-messages', '--max-stored-messages', [CompletionResultType]::ParameterName, 'Stored messages per channel [default: 10000]')
            [CompletionResult]::new('--channel-inactivity', '--channel-inactivity', [CompletionResultType]::ParameterName, 'Delete an unused channel after this time [default: 30s]')
            [CompletionResult]::new('--max-channels', '--max-channels', [CompletionResultType]::ParameterName, 'Maximum number of channels; a further one gets 403 [default: 100000]')
            [CompletionResult]::new('--max-channel-id-length', '--max-channel-id-length', [CompletionResultType]::ParameterName, 'Maximum length of a channel id in bytes; a longer one gets 400 [default: 1024]')
            [CompletionResult]::new('--max-channels-per-request', '--max-channels-per-request', [CompletionResultType]::ParameterName, 'Maximum number of channels in a request; more get 400 [default: 1000]')
            [CompletionResult]::new('--max-subscribers-per-channel', '--max-subscribers-per-channel', [CompletionResultType]::ParameterName, 'Maximum number of subscribers of a channel; a further one gets 403 [default: 100000]')
            [CompletionResult]::new('--max-waiting-lists', '--max-waiting-lists', [CompletionResultType]::ParameterName, 'Maximum number of queued channel lists; a further one gets 503 [default: 32]')
            [CompletionResult]::new('--max-pending-publishes', '--max-pending-publishes', [CompletionResultType]::ParameterName, 'Maximum number of unacknowledged publishes; a further one gets 503 [default: 65536]')
            [CompletionResult]::new('--publish-timeout', '--publish-timeout', [CompletionResultType]::ParameterName, 'Maximum time for the acknowledgement of a publish; then 503 [default: 10s]')
            [CompletionResult]::new('--max-lag', '--max-lag', [CompletionResultType]::ParameterName, 'Maximum lag of a subscriber [default: 4m]')
            [CompletionResult]::new('--slow-consumer', '--slow-consumer', [CompletionResultType]::ParameterName, 'Policy at that lag: disconnect, skip or latest [default: disconnect]')
            [CompletionResult]::new('--send-timeout', '--send-timeout', [CompletionResultType]::ParameterName, 'Disconnect a client that accepts no data for this long [default: 60s]')
            [CompletionResult]::new('--header-timeout', '--header-timeout', [CompletionResultType]::ParameterName, 'Close a connection whose request headers take longer [default: 60s]')
            [CompletionResult]::new('--body-timeout', '--body-timeout', [CompletionResultType]::ParameterName, 'Close a connection that stalls for this long within a request body [default: 60s]')
            [CompletionResult]::new('--min-body-rate', '--min-body-rate', [CompletionResultType]::ParameterName, 'Minimum rate of a request body in bytes per second; 0: none [default: 512]')
            [CompletionResult]::new('--keepalive-timeout', '--keepalive-timeout', [CompletionResultType]::ParameterName, 'Close a connection that is idle between requests for this long [default: 75s]')
            [CompletionResult]::new('--linger-time', '--linger-time', [CompletionResultType]::ParameterName, 'Wait this long for the client to close first; 0: do not wait [default: 2s]')
            [CompletionResult]::new('--ping-timeout', '--ping-timeout', [CompletionResultType]::ParameterName, 'Disconnect a WebSocket that is silent for this long after a ping; 0: never [default: 60s]')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'Grace period for open connections when the server stops [default: 5s]')
            [CompletionResult]::new('--hook-timeout', '--hook-timeout', [CompletionResultType]::ParameterName, 'Time limit for a back-end''s response [default: 60s]')
            [CompletionResult]::new('--max-hook-answer', '--max-hook-answer', [CompletionResultType]::ParameterName, 'Maximum size of a back-end''s response [default: 1m]')
            [CompletionResult]::new('--max-hooks', '--max-hooks', [CompletionResultType]::ParameterName, 'Maximum number of concurrent requests to back-ends, per shard [default: 512]')
            [CompletionResult]::new('--max-hook-notices', '--max-hook-notices', [CompletionResultType]::ParameterName, 'Maximum number of queued notifications to back-ends, per shard [default: 4096]')
            [CompletionResult]::new('--tcp-keepalive', '--tcp-keepalive', [CompletionResultType]::ParameterName, 'Idle time before the first TCP keep-alive probe; 0: no probes [default: 60s]')
            [CompletionResult]::new('--tcp-keepalive-interval', '--tcp-keepalive-interval', [CompletionResultType]::ParameterName, 'Interval between TCP keep-alive probes, at least 1s [default: 10s]')
            [CompletionResult]::new('--tcp-keepalive-probes', '--tcp-keepalive-probes', [CompletionResultType]::ParameterName, 'Unanswered probes before the connection is closed [default: 6]')
            [CompletionResult]::new('--tcp-user-timeout', '--tcp-user-timeout', [CompletionResultType]::ParameterName, 'Close a connection with data unacknowledged for this long; 0: system default [default: 2m]')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;pub' {
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Publish the content of this file')
            [CompletionResult]::new('--file', '--file', [CompletionResultType]::ParameterName, 'Publish the content of this file')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Further channel to publish to (repeatable)')
            [CompletionResult]::new('--channel', '--channel', [CompletionResultType]::ParameterName, 'Further channel to publish to (repeatable)')
            [CompletionResult]::new('--event-id', '--event-id', [CompletionResultType]::ParameterName, 'Event id, at which clients can resume')
            [CompletionResult]::new('--event-type', '--event-type', [CompletionResultType]::ParameterName, 'Event type of the message')
            [CompletionResult]::new('--content-type', '--content-type', [CompletionResultType]::ParameterName, 'Content type of the message')
            [CompletionResult]::new('--require-subscribers', '--require-subscribers', [CompletionResultType]::ParameterName, 'Exit with 12 below N subscribers')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time limit for a response')
            [CompletionResult]::new('--repeat', '--repeat', [CompletionResultType]::ParameterName, 'Publish everything N times')
            [CompletionResult]::new('--rate', '--rate', [CompletionResultType]::ParameterName, 'Maximum rate: 100/s, 5/m or 3/h [default: unlimited]')
            [CompletionResult]::new('--in-flight', '--in-flight', [CompletionResultType]::ParameterName, 'Maximum number of pipelined requests')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'Server URL [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server URL [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Name of a server in the configuration file')
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file with named servers [default: ~/.config/pushctl/config.toml]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Send this header, or those in @FILE (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Send this header, or those in @FILE (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher location [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber location [default: by mode, /ev/{channel} and the like]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics location [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--dialect', '--dialect', [CompletionResultType]::ParameterName, 'Protocol family of the server [default: detected]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the result as lines of JSON')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print nothing')
            [CompletionResult]::new('-l', '-l', [CompletionResultType]::ParameterName, 'Publish each line as a message')
            [CompletionResult]::new('--lines', '--lines', [CompletionResultType]::ParameterName, 'Publish each line as a message')
            [CompletionResult]::new('--ndjson', '--ndjson', [CompletionResultType]::ParameterName, 'Publish each line as a JSON object')
            [CompletionResult]::new('--template', '--template', [CompletionResultType]::ParameterName, 'Replace {number}, {time}, {random} and the like')
            [CompletionResult]::new('--keep-going', '--keep-going', [CompletionResultType]::ParameterName, 'Continue after a rejection')
            [CompletionResult]::new('--retry-unanswered', '--retry-unanswered', [CompletionResultType]::ParameterName, 'Resend unanswered messages after a connection broke')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;sub' {
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'Delivery mode [default: ev]')
            [CompletionResult]::new('--mode', '--mode', [CompletionResultType]::ParameterName, 'Delivery mode [default: ev]')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'Start at: now, all, -N, 5m (ago), a time, ... [default: now]')
            [CompletionResult]::new('--since', '--since', [CompletionResultType]::ParameterName, 'Start at: now, all, -N, 5m (ago), a time, ... [default: now]')
            [CompletionResult]::new('-b', '-b', [CompletionResultType]::ParameterName, 'Start with the last N stored messages of each channel')
            [CompletionResult]::new('--backlog', '--backlog', [CompletionResultType]::ParameterName, 'Start with the last N stored messages of each channel')
            [CompletionResult]::new('--cursor-file', '--cursor-file', [CompletionResultType]::ParameterName, 'Save the position in FILE, and resume from it')
            [CompletionResult]::new('--template', '--template', [CompletionResultType]::ParameterName, 'Print each message in this format')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Format of the output [default: text]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Format of the output [default: text]')
            [CompletionResult]::new('--exec', '--exec', [CompletionResultType]::ParameterName, 'Run a shell command for each message')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'Number of commands that run concurrently')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Stop after N messages')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'Stop after N messages')
            [CompletionResult]::new('--until', '--until', [CompletionResultType]::ParameterName, 'Stop after a message that matches')
            [CompletionResult]::new('--fail-on', '--fail-on', [CompletionResultType]::ParameterName, 'Stop after a message that matches, with exit code 9')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Stop after this time')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Stop after this time')
            [CompletionResult]::new('--idle-timeout', '--idle-timeout', [CompletionResultType]::ParameterName, 'Stop after this time without a message, with the exit code of --timeout')
            [CompletionResult]::new('--fallback', '--fallback', [CompletionResultType]::ParameterName, 'Modes to try in turn if --mode does not work')
            [CompletionResult]::new('--retry', '--retry', [CompletionResultType]::ParameterName, 'Give up after N failed attempts in a row')
            [CompletionResult]::new('--silence-timeout', '--silence-timeout', [CompletionResultType]::ParameterName, 'Reconnect after this time without data, not even a ping; 0: never')
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'Interval between two requests of mode poll, at least 100ms')
            [CompletionResult]::new('--max-message-size', '--max-message-size', [CompletionResultType]::ParameterName, 'Maximum size of a message, and of a response in the modes lp and poll')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'Server URL [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server URL [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Name of a server in the configuration file')
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file with named servers [default: ~/.config/pushctl/config.toml]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Send this header, or those in @FILE (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Send this header, or those in @FILE (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher location [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber location [default: by mode, /ev/{channel} and the like]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics location [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--dialect', '--dialect', [CompletionResultType]::ParameterName, 'Protocol family of the server [default: detected]')
            [CompletionResult]::new('--no-fsync', '--no-fsync', [CompletionResultType]::ParameterName, 'Do not sync the cursor file to disk: a power failure may damage it')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print each message as a line of JSON')
            [CompletionResult]::new('--raw', '--raw', [CompletionResultType]::ParameterName, 'Print the bytes of the messages only, without line breaks and escapes')
            [CompletionResult]::new('--ack-on-success', '--ack-on-success', [CompletionResultType]::ParameterName, 'Stop at the first command that fails, with the cursor before its message')
            [CompletionResult]::new('--fail-on-gap', '--fail-on-gap', [CompletionResultType]::ParameterName, 'Stop when messages were missed, with exit code 10')
            [CompletionResult]::new('--deleted-ok', '--deleted-ok', [CompletionResultType]::ParameterName, 'Exit with 0 instead of 11 when the last channel is deleted')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;stats' {
            [CompletionResult]::new('-w', '-w', [CompletionResultType]::ParameterName, 'Repeat at this interval until interrupted or until --timeout (as --watch=1s, with ''='')')
            [CompletionResult]::new('--watch', '--watch', [CompletionResultType]::ParameterName, 'Repeat at this interval until interrupted or until --timeout (as --watch=1s, with ''='')')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time limit for the response [default: 30s]; with --watch, time after which to stop [default: none]')
            [CompletionResult]::new('--diff', '--diff', [CompletionResultType]::ParameterName, 'Compare two saved results of --json (the last lines of the files)')
            [CompletionResult]::new('--assert', '--assert', [CompletionResultType]::ParameterName, 'Exit with 8 unless these conditions hold (a comma means ''and'')')
            [CompletionResult]::new('--sort', '--sort', [CompletionResultType]::ParameterName, 'Sort the channels (of ALL, if none is named); the server''s order if absent')
            [CompletionResult]::new('--filter', '--filter', [CompletionResultType]::ParameterName, 'Show the channels whose whole name matches: * ? [a-z] {a,b}, or a regular expression between slashes: /^a.*z$/')
            [CompletionResult]::new('--min-subscribers', '--min-subscribers', [CompletionResultType]::ParameterName, 'Show the channels with at least N subscribers')
            [CompletionResult]::new('--top', '--top', [CompletionResultType]::ParameterName, 'Show the first N channels only')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'Server URL [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server URL [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Name of a server in the configuration file')
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file with named servers [default: ~/.config/pushctl/config.toml]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Send this header, or those in @FILE (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Send this header, or those in @FILE (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher location [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber location [default: by mode, /ev/{channel} and the like]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics location [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--dialect', '--dialect', [CompletionResultType]::ParameterName, 'Protocol family of the server [default: detected]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the server''s own JSON on one line')
            [CompletionResult]::new('--reverse', '--reverse', [CompletionResultType]::ParameterName, 'Reverse the order')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;wait' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Channel to check [default: the whole server]')
            [CompletionResult]::new('--channel', '--channel', [CompletionResultType]::ParameterName, 'Channel to check [default: the whole server]')
            [CompletionResult]::new('--subscribers', '--subscribers', [CompletionResultType]::ParameterName, 'Condition on the number of subscribers: ''>=1'', ''==0'', ''<5'', ''!=2''')
            [CompletionResult]::new('--stored', '--stored', [CompletionResultType]::ParameterName, 'Condition on the number of stored messages')
            [CompletionResult]::new('--published', '--published', [CompletionResultType]::ParameterName, 'Condition on the number of published messages')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Give up after this time, with exit code 6 [default: never]')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up after this time, with exit code 6 [default: never]')
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'Interval between two requests; the first ones are faster')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'Server URL [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server URL [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Name of a server in the configuration file')
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file with named servers [default: ~/.config/pushctl/config.toml]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Send this header, or those in @FILE (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Send this header, or those in @FILE (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher location [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber location [default: by mode, /ev/{channel} and the like]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics location [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--dialect', '--dialect', [CompletionResultType]::ParameterName, 'Protocol family of the server [default: detected]')
            [CompletionResult]::new('--ready', '--ready', [CompletionResultType]::ParameterName, 'Wait until the server is up; the default without conditions')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the last counters as lines of JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;rm' {
            [CompletionResult]::new('--farewell', '--farewell', [CompletionResultType]::ParameterName, 'Last message to subscribers [default: that of the server]')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time limit for a response')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'Server URL [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server URL [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Name of a server in the configuration file')
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file with named servers [default: ~/.config/pushctl/config.toml]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Send this header, or those in @FILE (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Send this header, or those in @FILE (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher location [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber location [default: by mode, /ev/{channel} and the like]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics location [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--dialect', '--dialect', [CompletionResultType]::ParameterName, 'Protocol family of the server [default: detected]')
            [CompletionResult]::new('--missing-ok', '--missing-ok', [CompletionResultType]::ParameterName, 'Ignore channels that do not exist')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the result as lines of JSON')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;bench' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Number of subscribers')
            [CompletionResult]::new('--subscribers', '--subscribers', [CompletionResultType]::ParameterName, 'Number of subscribers')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Number of channels')
            [CompletionResult]::new('--channels', '--channels', [CompletionResultType]::ParameterName, 'Number of channels')
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'Delivery mode')
            [CompletionResult]::new('--mode', '--mode', [CompletionResultType]::ParameterName, 'Delivery mode')
            [CompletionResult]::new('--messages', '--messages', [CompletionResultType]::ParameterName, 'Number of messages per channel')
            [CompletionResult]::new('--size', '--size', [CompletionResultType]::ParameterName, 'Size of a message in bytes')
            [CompletionResult]::new('--rate', '--rate', [CompletionResultType]::ParameterName, 'Messages per second in total [default: unlimited]')
            [CompletionResult]::new('--publishers', '--publishers', [CompletionResultType]::ParameterName, 'Number of publishers')
            [CompletionResult]::new('--warm-up', '--warm-up', [CompletionResultType]::ParameterName, 'Publish for this long before the measurement')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time limit of each phase')
            [CompletionResult]::new('--connect-rate', '--connect-rate', [CompletionResultType]::ParameterName, 'Connections per second [default: as fast as the server accepts them]')
            [CompletionResult]::new('--processes', '--processes', [CompletionResultType]::ParameterName, 'Number of processes for the subscribers')
            [CompletionResult]::new('--bind', '--bind', [CompletionResultType]::ParameterName, 'Local address to connect from (repeatable; used in turn)')
            [CompletionResult]::new('--report', '--report', [CompletionResultType]::ParameterName, 'Write a self-contained HTML page with charts')
            [CompletionResult]::new('--compare', '--compare', [CompletionResultType]::ParameterName, 'Compare with an earlier result of --json')
            [CompletionResult]::new('--assert', '--assert', [CompletionResultType]::ParameterName, 'Exit with 8 unless ''p99<50ms,lost=0'' holds')
            [CompletionResult]::new('-u', '-u', [CompletionResultType]::ParameterName, 'Server URL [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server URL [default: http://127.0.0.1:9080]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Name of a server in the configuration file')
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file with named servers [default: ~/.config/pushctl/config.toml]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Send this header, or those in @FILE (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Send this header, or those in @FILE (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher location [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber location [default: by mode, /ev/{channel} and the like]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics location [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--dialect', '--dialect', [CompletionResultType]::ParameterName, 'Protocol family of the server [default: detected]')
            [CompletionResult]::new('--storm', '--storm', [CompletionResultType]::ParameterName, 'Connect all subscribers at once, without waiting for responses')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the result as one line of JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;check' {
            [CompletionResult]::new('--front', '--front', [CompletionResultType]::ParameterName, 'Print the configuration of an nginx in front of pushctl')
            [CompletionResult]::new('--front-enforces', '--front-enforces', [CompletionResultType]::ParameterName, 'Directives that the proxy in front enforces, as with `serve`; `all`: all')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print lines of JSON: directives, locations, errors')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Exit with 2 also for unsupported directives')
            [CompletionResult]::new('--to-toml', '--to-toml', [CompletionResultType]::ParameterName, 'Print the configuration in TOML, for `serve --config`')
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
            [CompletionResult]::new('--config-file', '--config-file', [CompletionResultType]::ParameterName, 'Configuration file to read')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print lines of JSON')
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
            [CompletionResult]::new('pub', 'pub', [CompletionResultType]::ParameterValue, 'Publish messages')
            [CompletionResult]::new('sub', 'sub', [CompletionResultType]::ParameterValue, 'Follow channels and print their messages')
            [CompletionResult]::new('stats', 'stats', [CompletionResultType]::ParameterValue, 'Show the counters of a server or of channels')
            [CompletionResult]::new('wait', 'wait', [CompletionResultType]::ParameterValue, 'Wait until a server is up or a condition on its counters holds')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Delete channels')
            [CompletionResult]::new('bench', 'bench', [CompletionResultType]::ParameterValue, 'Measure a server under load, and verify that it loses no message')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Report which directives of a configuration are supported, ignored, unsupported or invalid')
            [CompletionResult]::new('with-server', 'with-server', [CompletionResultType]::ParameterValue, 'Run a command with a temporary broker')
            [CompletionResult]::new('servers', 'servers', [CompletionResultType]::ParameterValue, 'List the named servers of the configuration file')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print the completion script of a shell')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'pushctl;help;serve' {
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
        'pushctl;help;wait' {
            break
        }
        'pushctl;help;rm' {
            break
        }
        'pushctl;help;bench' {
            break
        }
        'pushctl;help;check' {
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
