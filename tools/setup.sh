#!/bin/bash
# Installs what the build (and with `tests` what the tests) need on Debian 12; does nothing when all is there. Works as root or with sudo.
set -euo pipefail
packages="gcc meson ninja-build pkg-config libc6-dev libfuse3-dev fuse3 libsodium-dev libargon2-dev libssl-dev libutf8proc-dev libzxcvbn-dev libqrencode-dev libtss2-dev libsystemd-dev"
[ "${1:-}" = tests ] && packages="$packages spin python3 procps make systemd strace groff-base attr acl sqlite3 git swtpm swtpm-tools tpm2-tools dbus-daemon fio procmail postgresql dpkg-dev stress-ng gcovr gdb iproute2 util-linux binutils clang clang-tidy cppcheck shellcheck pyflakes3 valgrind"
missing=""
for p in $packages; do dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"; done
[ -z "$missing" ] && exit 0
as_root=""; [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null || { echo "install as root:$missing" >&2; exit 1; }; as_root=sudo; }
echo "installing:$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
