#!/bin/bash
# install-packaged.sh [--destdir DIR] [BUILD]: installs Holdfast with enclave and element as the system user `holdfast`, started by socket activation
# (spec/60-processes.md, "Packaged mode"). BUILD: a build directory (build/packaged is made, with prefix /usr). Needs root; --destdir only lays the files out.
set -euo pipefail
cd "$(dirname "$0")/.."
destdir=; [ "${1:-}" = --destdir ] && { destdir=$2; shift 2; }
build=${1:-build/packaged}
[ -d "$build" ] || meson setup "$build" --prefix=/usr --buildtype=release >/dev/null
ninja -C "$build" >/dev/null
meson install -C "$build" --no-rebuild ${destdir:+--destdir "$destdir"} >/dev/null
libexec=$(meson introspect "$build" --buildoptions | python3 -c 'import json, sys, os
o = {x["name"]: x["value"] for x in json.load(sys.stdin)}
print(os.path.join(o["prefix"], o["libexecdir"], "holdfast"))')
tss=; getent group tss >/dev/null && tss=tss
units=$destdir/usr/lib/systemd/system
mkdir -p "$units"
for unit in packaging/systemd/*; do
    sed -e "s|@LIBEXEC@|$libexec|" -e "s|@TSS@|$tss|" "$unit" >"$units/$(basename "$unit")"
done
chmod 644 "$units"/holdfast-*
[ -n "$destdir" ] && exit 0
[ "$(id -u)" = 0 ] || { echo "install-packaged.sh: needs root" >&2; exit 1; }
getent passwd holdfast >/dev/null || useradd --system --user-group --no-create-home --home-dir /var/lib/holdfast --shell /usr/sbin/nologin holdfast
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable --now holdfast-element.socket holdfast-enclave.socket
else
    echo "installed; systemd does not run here: start holdfast-element.socket and holdfast-enclave.socket where it does"
fi
