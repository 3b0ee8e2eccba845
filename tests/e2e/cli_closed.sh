#!/bin/bash
# The CLI on a closed vault, all programs real: create, status, wrong tries and their limit, passcode, recover, erase. cli_closed.sh BUILD
set -u
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"; cp "$1"/src/holdfast "$1"/src/holdfast-{super,enclave,element,fs} "$work/bin"; hf=$work/bin/holdfast # copies: what is left running is known by its path
export XDG_STATE_HOME=$work/state XDG_RUNTIME_DIR=$work/run; mkdir -m 700 "$work/state" "$work/run"
passed=0; failed=0; v=$work/vault
expect() { # STATUS COMMAND…
    local want=$1 rc; shift; "$@" >"$work/out" 2>&1; rc=$?
    if [ $rc = "$want" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: exit $rc, not $want: $*"; cat "$work/out"; fi
}
says() { if grep -q -- "$1" "$work/out"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: no '$1' in:"; cat "$work/out"; fi; }
# [IF-1] each exit status, [IF-5] one line for each error, [IF-6] the cost's floor
p=$("$hf" passphrase); q=$("$hf" passphrase)
expect 2 "$hf"
expect 2 "$hf" create
expect 2 "$hf" create "$v" --attempts x
expect 2 "$hf" status --no-such-option
for kdf in 63,3 64,0 4097,1 64,65 64 ",3" "64,3,"; do expect 2 "$hf" create "$v" --kdf "$kdf"; [ "$(wc -l <"$work/out")" = 1 ] && says '^holdfast: kdf'; done
expect 0 "$hf" --version
expect 0 "$hf" create --help
expect 8 "$hf" create "$v" --element software --kdf 64,1 --passcode-fd 0 <<<"password1234"
expect 0 "$hf" create "$v" --element software --kdf 64,1 --attempts 5 --delays 1 --recovery-file "$work/phrase" --passcode-fd 0 <<<"$p"
expect 1 "$hf" create "$v" --element software --kdf 64,1 --no-recovery --passcode-fd 0 <<<"$p"
[ "$(wc -w <"$work/phrase")" = 24 ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "FAILED: the phrase has 24 words"; }
expect 0 "$hf" status "$v" --json; says '"state"'; says '"closed"'
python3 -m json.tool "$work/out" >/dev/null && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "FAILED: status is one JSON object"; }
expect 3 "$hf" passcode "$v" --passcode-fd 0 --new-passcode-fd 0 <<<"wrong guess for this
$q"
expect 0 "$hf" passcode "$v" --passcode-fd 0 --new-passcode-fd 0 <<<"$p
$q"
expect 0 "$hf" recover "$v" --test --recovery-file "$work/phrase"
expect 3 "$hf" passcode "$v" --passcode-fd 0 --new-passcode-fd 0 <<<"$p
$q"
for i in 2 3 4; do expect 3 "$hf" passcode "$v" --passcode-fd 0 --new-passcode-fd 0 <<<"wrong guess number $i
$q"; done
expect 4 "$hf" passcode "$v" --passcode-fd 0 --new-passcode-fd 0 <<<"$q
$p"
sleep 1.5
expect 5 "$hf" passcode "$v" --passcode-fd 0 --new-passcode-fd 0 <<<"wrong guess number 5
$q"
expect 5 "$hf" passcode "$v" --passcode-fd 0 --new-passcode-fd 0 <<<"$q
$p"
expect 0 "$hf" recover "$v" --recovery-file "$work/phrase" --new-passcode-fd 0 <<<"$p"
expect 0 "$hf" passcode "$v" --passcode-fd 0 --new-passcode-fd 0 <<<"$p
$q"
expect 0 "$hf" erase "$v" --yes
expect 5 "$hf" passcode "$v" --passcode-fd 0 --new-passcode-fd 0 <<<"$q
$p"
for i in 1 2 3 4 5 6 7 8 9 10; do pgrep -f "^$work/bin/holdfast-" >/dev/null || break; sleep 0.2; done
if pgrep -f "^$work/bin/holdfast-" >/dev/null; then failed=$((failed + 1)); echo "FAILED: a program was left running"; else passed=$((passed + 1)); fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
