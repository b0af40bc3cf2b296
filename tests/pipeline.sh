#!/usr/bin/env bash
# A small pipeline like a CI script: start a broker, wait, publish, follow, assert statistics, without
# a sleep.
#
#     pushctl with-server -- tests/pipeline.sh [PUSHCTL]
#
# PUSHCTL_URL names the broker; with-server sets it.
set -euo pipefail
pushctl=${1:-pushctl}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step() { echo "== $*"; }
fail() { echo "pipeline: $*" >&2; exit 1; }

step "wait for the broker"
"$pushctl" wait --ready --timeout 20s

step "follow until the end of the build"
"$pushctl" sub build --until 'build done' --timeout 60s > "$work/followed" &
follower=$!
"$pushctl" wait --channel build --subscribers '>=1' --timeout 20s

step "publish a text, lines and JSON"
"$pushctl" pub build 'build started' --require-subscribers 1 --quiet
seq -f 'compiling %.0f' 1000 | "$pushctl" pub build --lines --quiet
"$pushctl" pub build 'all green' --event-type result --quiet
echo '{"channel":"build","text":"build done","event_id":"end"}' | "$pushctl" pub --ndjson --quiet

step "the follower has exited with all messages in order"
wait "$follower"
{
    echo 'build started'
    seq -f 'compiling %.0f' 1000
    echo 'all green'
    echo 'build done'
} > "$work/expected"
cmp "$work/expected" "$work/followed" || fail "the follower printed other messages"

step "assert the statistics"
"$pushctl" wait --channel build --published '==1003' --stored '==1003' --subscribers '==0' \
    --timeout 20s
"$pushctl" stats build --assert 'published=1003,stored=1003,subscribers=0' > "$work/output" ||
    fail "$(cat "$work/output")"

step "publish without a subscriber"
code=0
"$pushctl" pub build 'anybody?' --require-subscribers 1 --quiet 2> "$work/output" || code=$?
[ "$code" = 12 ] || fail "exit code $code instead of 12: $(cat "$work/output")"

step "delete the channel"
"$pushctl" rm build
code=0
"$pushctl" rm build 2> "$work/output" || code=$?
[ "$code" = 5 ] || fail "exit code $code instead of 5: $(cat "$work/output")"
echo "pipeline: ok"
