#!/usr/bin/env bash
# A small pipeline as a CI script would have it: broker up, wait, publish, follow, assert statistics. Without a sleep.
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

step "the broker answers"
"$pushctl" wait --ready --timeout 20s

step "a follower waits for the end of the build"
"$pushctl" sub build --until 'build done' --timeout 60s > "$work/followed" &
follower=$!
"$pushctl" wait --channel build --subscribers '>=1' --timeout 20s

step "three kinds of publishing"
"$pushctl" pub build 'build started' --require-subscribers 1 --quiet
seq -f 'compiling %.0f' 1000 | "$pushctl" pub build --lines --quiet
"$pushctl" pub build 'all green' --event-type result --quiet
echo '{"channel":"build","text":"build done","event_id":"end"}' | "$pushctl" pub --ndjson --quiet

step "the follower ends by itself and has seen everything in order"
wait "$follower"
{ echo 'build started'; seq -f 'compiling %.0f' 1000; echo 'all green'; echo 'build done'; } > "$work/expected"
cmp "$work/expected" "$work/followed" || fail "the follower saw something else"

step "the statistics are right"
"$pushctl" wait --channel build --published '==1003' --stored '==1003' --subscribers '==0' --timeout 20s
"$pushctl" stats build --assert 'published=1003,stored=1003,subscribers=0' > "$work/told" || fail "$(cat "$work/told")"

step "nobody listens any more, and that can be told"
code=0
"$pushctl" pub build 'anybody?' --require-subscribers 1 --quiet 2> "$work/told" || code=$?
[ "$code" = 12 ] || fail "exit code $code instead of 12: $(cat "$work/told")"

step "the channel goes"
"$pushctl" rm build
code=0
"$pushctl" rm build 2> "$work/told" || code=$?
[ "$code" = 5 ] || fail "exit code $code instead of 5: $(cat "$work/told")"
echo "pipeline: ok"
