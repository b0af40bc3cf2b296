
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
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to talk to; a path in it is a prefix of all paths')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Run a push broker')
            [CompletionResult]::new('pub', 'pub', [CompletionResultType]::ParameterValue, 'Publish a message')
            [CompletionResult]::new('sub', 'sub', [CompletionResultType]::ParameterValue, 'Follow channels and print their messages')
            [CompletionResult]::new('stats', 'stats', [CompletionResultType]::ParameterValue, 'Show the counters of a server or of channels')
            [CompletionResult]::new('bench', 'bench', [CompletionResultType]::ParameterValue, 'Measure a server with many subscribers, and prove that it loses nothing')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print the completion script of a shell')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'pushctl;serve' {
            [CompletionResult]::new('-l', '-l', [CompletionResultType]::ParameterName, 'Address to listen on: ADDRESS:PORT (port 0: any free one), PORT, or unix:PATH; may be given several times')
            [CompletionResult]::new('--listen', '--listen', [CompletionResultType]::ParameterName, 'Address to listen on: ADDRESS:PORT (port 0: any free one), PORT, or unix:PATH; may be given several times')
            [CompletionResult]::new('--nginx-conf', '--nginx-conf', [CompletionResultType]::ParameterName, 'Serve the push locations of this nginx configuration instead of the built-in ones')
            [CompletionResult]::new('--shards', '--shards', [CompletionResultType]::ParameterName, 'Threads that hold connections [default: one per core]')
            [CompletionResult]::new('--memory', '--memory', [CompletionResultType]::ParameterName, 'Memory for messages and channels together; when it is used up, publishing is answered with 500 [default: 512m]')
            [CompletionResult]::new('--message-ttl', '--message-ttl', [CompletionResultType]::ParameterName, 'Time that a stored message is kept [default: 30m]')
            [CompletionResult]::new('--max-stored-messages', '--max-stored-messages', [CompletionResultType]::ParameterName, 'Messages stored per channel; the oldest go when there are more [default: 10000]')
            [CompletionResult]::new('--channel-inactivity', '--channel-inactivity', [CompletionResultType]::ParameterName, 'Time without messages, publishing and subscribers after which a channel is forgotten [default: 30s]')
            [CompletionResult]::new('--max-channels', '--max-channels', [CompletionResultType]::ParameterName, 'Channels at once; another one is answered with 403 [default: 100000]')
            [CompletionResult]::new('--max-channel-id-length', '--max-channel-id-length', [CompletionResultType]::ParameterName, 'Bytes of a channel id; a longer one is answered with 400 [default: 1024]')
            [CompletionResult]::new('--max-channels-per-request', '--max-channels-per-request', [CompletionResultType]::ParameterName, 'Channels in one request; more are answered with 400 [default: 1000]')
            [CompletionResult]::new('--max-subscribers-per-channel', '--max-subscribers-per-channel', [CompletionResultType]::ParameterName, 'Subscriptions per channel; a further one is answered with 403 [default: 100000]')
            [CompletionResult]::new('--max-body-size', '--max-body-size', [CompletionResultType]::ParameterName, 'Bytes of a published message; a larger one is answered with 413 [default: 1m]')
            [CompletionResult]::new('--max-websocket-message-size', '--max-websocket-message-size', [CompletionResultType]::ParameterName, 'Bytes of a websocket message from a client; a larger one closes with 1009 [default: 4m]')
            [CompletionResult]::new('--max-header-size', '--max-header-size', [CompletionResultType]::ParameterName, 'Bytes of a request line with headers; more are answered with 400 or 414 [default: 32k]')
            [CompletionResult]::new('--max-lag', '--max-lag', [CompletionResultType]::ParameterName, 'Bytes kept per channel for followers that are behind; one that is further behind is dropped [default: 4m]')
            [CompletionResult]::new('--max-connections', '--max-connections', [CompletionResultType]::ParameterName, 'Connections at once; a further one is closed [default: 100000]')
            [CompletionResult]::new('--header-timeout', '--header-timeout', [CompletionResultType]::ParameterName, 'Time for the headers of a request; then the connection is closed [default: 60s]')
            [CompletionResult]::new('--body-timeout', '--body-timeout', [CompletionResultType]::ParameterName, 'Time between two reads of a request''s body, and for the whole of a websocket message; then the connection is closed [default: 60s]')
            [CompletionResult]::new('--keepalive-timeout', '--keepalive-timeout', [CompletionResultType]::ParameterName, 'Time between two requests of a connection; then it is closed [default: 75s]')
            [CompletionResult]::new('--send-timeout', '--send-timeout', [CompletionResultType]::ParameterName, 'Time that a client may take nothing of what is sent to it; then it is dropped [default: 60s]')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'Time that open connections get when the server ends [default: 5s]')
            [CompletionResult]::new('--log-level', '--log-level', [CompletionResultType]::ParameterName, 'What is logged on stderr: off, error, warn, info or debug')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to talk to; a path in it is a prefix of all paths')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;pub' {
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Send the content of this file')
            [CompletionResult]::new('--file', '--file', [CompletionResultType]::ParameterName, 'Send the content of this file')
            [CompletionResult]::new('--event-id', '--event-id', [CompletionResultType]::ParameterName, 'Event id, with which an EventSource resumes')
            [CompletionResult]::new('--event-type', '--event-type', [CompletionResultType]::ParameterName, 'Event type, by which an EventSource sorts events')
            [CompletionResult]::new('--content-type', '--content-type', [CompletionResultType]::ParameterName, 'Content type of the message')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time to wait for the answer')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to talk to; a path in it is a prefix of all paths')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the server''s answer as one line of JSON')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;sub' {
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'How messages are delivered')
            [CompletionResult]::new('--mode', '--mode', [CompletionResultType]::ParameterName, 'How messages are delivered')
            [CompletionResult]::new('-b', '-b', [CompletionResultType]::ParameterName, 'Start with the last N stored messages of each channel')
            [CompletionResult]::new('--backlog', '--backlog', [CompletionResultType]::ParameterName, 'Start with the last N stored messages of each channel')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'Start with the messages since TIME: RFC 3339, HTTP date, unix seconds, or a duration ago such as 5m')
            [CompletionResult]::new('--since', '--since', [CompletionResultType]::ParameterName, 'Start with the messages since TIME: RFC 3339, HTTP date, unix seconds, or a duration ago such as 5m')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Stop after N messages')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'Stop after N messages')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Stop after this time')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Stop after this time')
            [CompletionResult]::new('--retries', '--retries', [CompletionResultType]::ParameterName, 'Failed attempts in a row after which to give up [default: 0 before the first connection, then unlimited]')
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'Time between two requests of mode poll, at least 100ms')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to talk to; a path in it is a prefix of all paths')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print all known fields of each message as one line of JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;stats' {
            [CompletionResult]::new('-w', '-w', [CompletionResultType]::ParameterName, 'Show it again and again, until interrupted or for the time of --timeout (write --watch=1s, with ''='')')
            [CompletionResult]::new('--watch', '--watch', [CompletionResultType]::ParameterName, 'Show it again and again, until interrupted or for the time of --timeout (write --watch=1s, with ''='')')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time to wait for the answer; with --watch, the time after which to stop')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to talk to; a path in it is a prefix of all paths')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the server''s own JSON on one line')
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
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header to send with every request, or @FILE with one header per line (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to talk to; a path in it is a prefix of all paths')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the result as one line of JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;completions' {
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to talk to; a path in it is a prefix of all paths')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'pushctl;help' {
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Run a push broker')
            [CompletionResult]::new('pub', 'pub', [CompletionResultType]::ParameterValue, 'Publish a message')
            [CompletionResult]::new('sub', 'sub', [CompletionResultType]::ParameterValue, 'Follow channels and print their messages')
            [CompletionResult]::new('stats', 'stats', [CompletionResultType]::ParameterValue, 'Show the counters of a server or of channels')
            [CompletionResult]::new('bench', 'bench', [CompletionResultType]::ParameterValue, 'Measure a server with many subscribers, and prove that it loses nothing')
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
        'pushctl;help;bench' {
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
