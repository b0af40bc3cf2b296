
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
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to talk to; a path in it is a prefix of all paths')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'pushctl;pub' {
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Send the content of this file')
            [CompletionResult]::new('--file', '--file', [CompletionResultType]::ParameterName, 'Send the content of this file')
            [CompletionResult]::new('--event-id', '--event-id', [CompletionResultType]::ParameterName, 'Event id, with which an EventSource resumes')
            [CompletionResult]::new('--event-type', '--event-type', [CompletionResultType]::ParameterName, 'Event type, by which an EventSource sorts events')
            [CompletionResult]::new('--content-type', '--content-type', [CompletionResultType]::ParameterName, 'Content type of the message')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time to wait for the answer')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Header to send with every request (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header to send with every request (repeatable)')
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
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'Time between two requests of mode poll')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Header to send with every request (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header to send with every request (repeatable)')
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
            [CompletionResult]::new('-w', '-w', [CompletionResultType]::ParameterName, 'Show it again and again, until interrupted or for the time of --timeout')
            [CompletionResult]::new('--watch', '--watch', [CompletionResultType]::ParameterName, 'Show it again and again, until interrupted or for the time of --timeout')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time to wait for the answer; with --watch, the time after which to stop')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Header to send with every request (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header to send with every request (repeatable)')
            [CompletionResult]::new('--pub-path', '--pub-path', [CompletionResultType]::ParameterName, 'Path of the publisher, `{channel}` in it is replaced [default: /pub?id={channel}]')
            [CompletionResult]::new('--sub-path', '--sub-path', [CompletionResultType]::ParameterName, 'Path of the subscriber, `{channel}` in it is replaced [default: /ev/{channel} and the like, by mode]')
            [CompletionResult]::new('--stats-path', '--stats-path', [CompletionResultType]::ParameterName, 'Path of the statistics, `{channel}` in it is replaced [default: /channels-stats?id={channel}]')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'Server to talk to; a path in it is a prefix of all paths')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the server''s own JSON on one line')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
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
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time for all to connect, and again for all to be delivered')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Header to send with every request (repeatable)')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header to send with every request (repeatable)')
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
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
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
