#!/bin/bash
# What `meson install` puts where: programs with their modes, manual, completion; and the installed tree works by itself. install.sh BUILD
set -u
build=$(cd "$1" && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
passed=0; failed=0
is() { # WHAT COMMAND…
    local what=$1; shift
    if "$@" >"$work/out" 2>&1; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $what"; cat "$work/out"; fi
}
is "meson install" meson install -C "$build" --no-rebuild --destdir "$work/root"
to=$(dirname "$(dirname "$(find "$work/root" -path "*/bin/holdfast")")") # the build's prefix
mode() { [ "$(stat -c %a "$1")" = "$2" ]; }
is "holdfast is for all" mode "$to/bin/holdfast" 755
is "enclave and element are not readable" mode "$to/libexec/holdfast/holdfast-enclave" 711
is "enclave and element are not readable" mode "$to/libexec/holdfast/holdfast-element" 711
is "the supervisor" mode "$to/libexec/holdfast/holdfast-super" 755
is "the manual" test -s "$to/share/man/man1/holdfast.1"
is "the completion" test -s "$to/share/bash-completion/completions/holdfast"
# Completion, as bash would ask for it.
complete_words() {
    PATH=$to/bin:$PATH bash -c 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _holdfast; printf "%s\n" "${COMPREPLY[@]}"' \
        "$to/share/bash-completion/completions/holdfast" "$@" | sort | paste -sd' '
}
offers() { # WANT WORDS…
    local want=$1 got; shift; got=$(complete_words "$@")
    [ "$got" = "$want" ] || { echo "got '$got', not '$want'"; return 1; }
}
is "verbs" offers "recover recovery" holdfast rec
is "options of one verb" offers "--force --help" holdfast close --
is "options of another" offers "--help --json --passcode-fd --pinentry" holdfast check --
is "classes" offers "after-unlock always" holdfast protect --class a
is "replace" offers "replace" holdfast recovery ""
# The installed CLI finds the installed programs.
export XDG_STATE_HOME=$work/state XDG_RUNTIME_DIR=$work/run HOLDFAST_LIBEXEC=$to/libexec/holdfast; mkdir -m 700 "$work/run"
make_vault() { "$to/bin/holdfast" passphrase | tee "$work/pass" | "$to/bin/holdfast" create "$work/vault" --element software --kdf 64,1 --no-recovery --passcode-fd 0; }
is "create" make_vault
is "status" "$to/bin/holdfast" status "$work/vault"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
