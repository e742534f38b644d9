#!/bin/sh
# For a machine that reaches no image registry: a stand-in for the image that docs/relay/Containerfile builds on, under
# the same name, of Debian's packages and this machine's Rust. Needs root, debootstrap and podman.
#
# usage: container_base.sh [debootstrap's tree]
set -eu

HERE=$(cd "$(dirname "$0")/../.." && pwd)
BASE=$(sed -n 's/^FROM \(.*\) AS build$/\1/p' "$HERE/docs/relay/Containerfile")
SUITE=bookworm
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM
TREE=${1:-$WORK/tree}

wanted=${BASE##*:}
wanted=${wanted%%-*}
found=$(rustc --version | cut -d' ' -f2)
[ "$found" = "$wanted" ] || printf 'warning: %s has Rust %s, the stand-in %s\n' "$BASE" "$wanted" "$found" >&2

if [ ! -e "$TREE/usr/bin/g++" ]; then
    echo "making a Debian $SUITE tree" >&2
    debootstrap --variant=minbase --include=ca-certificates,gcc,g++,libc6-dev,make "$SUITE" "$TREE" "$MIRROR" >&2
fi
# Whom this machine trusts: a proxy may stand before the registry of crates.
cp /etc/ssl/certs/ca-certificates.crt "$TREE/etc/ssl/certs/ca-certificates.crt"
toolchain=$TREE/usr/local/rustup
rm -rf "$toolchain"
mkdir -p "$toolchain/lib" "$TREE/usr/local/cargo/bin"
sysroot=$(rustc --print sysroot)
cp -a "$sysroot/bin" "$toolchain/"
cp -a "$sysroot"/lib/*.so* "$sysroot/lib/rustlib" "$toolchain/lib/"
rm -rf "$toolchain/lib/rustlib/src"
ln -sf ../../rustup/bin/cargo ../../rustup/bin/rustc "$TREE/usr/local/cargo/bin/"

tar -C "$TREE" --exclude=./proc --exclude=./sys --exclude='./var/cache/apt/archives/*.deb' -c . |
    podman import --quiet \
        --change ENV=PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --change ENV=CARGO_HOME=/usr/local/cargo \
        --message "stand-in made by tests/package/container_base.sh" - "$BASE" >/dev/null
echo "made a stand-in for $BASE"
