#!/bin/sh
# Tries the Debian packages OLD.deb and NEW.deb, the same program with a lower and a higher version, in a fresh Debian
# tree that systemd boots: installs, follows docs/operate-a-relay.md word for word, upgrades, removes, purges. SUBROSA is
# a program outside the tree that looks at the relay from another network. Needs root, debootstrap and systemd-nspawn.
#
# usage: debian.sh OLD.deb NEW.deb SUBROSA
set -eu

OLD=$1 NEW=$2 SUBROSA=$3
HERE=$(cd "$(dirname "$0")/../.." && pwd)
GUIDE=$HERE/docs/operate-a-relay.md
SUITE=bookworm
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
# Addresses for documentation (RFC 5737): the relay's, and the one it is looked at from.
RELAY=203.0.113.2 OUTSIDE=203.0.113.1
MACHINE=subrosapkg
HOST_LINK=ve-$MACHINE

WORK=$(mktemp -d)
TREE=$WORK/tree
BOOTED=''

end() {
    if [ -n "$BOOTED" ]; then
        kill "$BOOTED" 2>/dev/null || true
        wait "$BOOTED" 2>/dev/null || true
    fi
    rm -rf "$WORK"
}
trap end EXIT
trap 'exit 130' INT TERM

say() { printf '%s\n' "$*"; }
fail() {
    say "FAILED: $*" >&2
    [ -z "$BOOTED" ] || inside journalctl --no-pager -n 40 -u subrosa-relay >&2 || true
    exit 1
}
# must WHAT COMMAND...: runs it; what it printed is shown if it fails.
must() {
    what=$1
    shift
    if "$@" >"$WORK/out" 2>&1; then
        say "ok   $what"
    else
        cat "$WORK/out" >&2
        fail "$what"
    fi
}

LEADER=''
# Runs a command in the booted tree.
inside() {
    nsenter --target "$LEADER" --mount --uts --ipc --net --pid --root --wdns=/root \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"
}

bootstrap() {
    if [ -n "${DEBIAN_TREE:-}" ]; then
        # One that debootstrap made before.
        cp -a "$DEBIAN_TREE" "$TREE"
    else
        say "making a Debian $SUITE tree"
        debootstrap --variant=minbase --include=systemd,systemd-sysv,iproute2,procps,sudo \
            "$SUITE" "$TREE" "$MIRROR" >"$WORK/debootstrap.log" 2>&1 ||
            { tail -20 "$WORK/debootstrap.log" >&2; fail "debootstrap"; }
    fi
    cp "$OLD" "$TREE/root/old.deb"
    cp "$NEW" "$TREE/root/new.deb"
}

boot() {
    systemd-nspawn --quiet --boot --directory "$TREE" --machine "$MACHINE" --register=no --keep-unit \
        --network-veth --console=pipe </dev/null >"$WORK/boot.log" 2>&1 &
    BOOTED=$!
    waited=0
    until LEADER=$(pgrep -P "$BOOTED") && inside systemctl is-active --quiet multi-user.target 2>/dev/null; do
        [ $((waited += 1)) -le 60 ] || { tail -30 "$WORK/boot.log" >&2; fail "systemd does not come up"; }
        sleep 1
    done
    say "ok   systemd runs: $(inside systemctl is-system-running || true)"
    ip address add "$OUTSIDE/24" dev "$HOST_LINK"
    ip link set "$HOST_LINK" up
    inside ip address add "$RELAY/24" dev host0
    inside ip link set host0 up
}

# The commands of the guide's first example, less what it says in comments.
guide() {
    awk '/^```sh/ { on = 1; next } /^```/ { if (on) exit } on' "$GUIDE" | sed 's/  *#.*//'
}

follow_the_guide() {
    say "the guide says:"
    guide | sed 's/^/     /'
    # What init asks for, in order: hosting, operator, contact, legal seat, parent's seat, who may use it, traffic, listen, public.
    {
        printf 'set -e\n'
        guide
    } >"$TREE/root/guide.sh"
    printf '%s\n' DE 'Example e.V.' ops@relay.example DE DE open 500 0.0.0.0:4433 "$RELAY:4433" >"$TREE/root/answers"
    must "the guide's commands" inside sh -c 'sh guide.sh <answers'
    must "the unit is active" inside systemctl is-active --quiet subrosa-relay
    must "the unit is enabled" inside systemctl is-enabled --quiet subrosa-relay
    must "the descriptor was printed" grep -q '^subrosa-relay:' "$TREE/root/descriptor.txt"
    cp "$TREE/root/descriptor.txt" "$WORK/descriptor.txt"
    must "it is reached from another network" "$SUBROSA" netcheck --relay "$WORK/descriptor.txt"
    sed 's/^/     /' "$WORK/out"
}

main_pid() { inside systemctl show --property=MainPID --value subrosa-relay; }
user() { inside ps -o user= -p "$(main_pid)"; }

look_at_the_service() {
    [ "$(user)" != root ] || fail "the relay runs as root"
    say "ok   it runs as $(user), not as root"
    must "its data is its own" inside test -d /var/lib/private/subrosa-relay
    before=$(main_pid)
    must "it reloads" inside systemctl reload subrosa-relay
    inside sh -c 'cp /etc/subrosa/relay.toml /root/good.toml; echo "sesions = 3" >>/etc/subrosa/relay.toml'
    inside systemctl reload subrosa-relay || true
    sleep 1
    [ "$(main_pid)" = "$before" ] || fail "a wrong file restarted it"
    must "a wrong file is named in the log" inside sh -c 'journalctl -u subrosa-relay | grep -q sesions'
    inside cp /root/good.toml /etc/subrosa/relay.toml
    must "the exposure level" inside systemd-analyze security --no-pager subrosa-relay
    tail -1 "$WORK/out" | sed 's/^[^A-Za-z]*/     /'
}

upgrade() {
    before=$(main_pid)
    must "the newer package installs" inside apt-get install -y /root/new.deb
    must "it runs after the upgrade" inside systemctl is-active --quiet subrosa-relay
    [ "$(main_pid)" != "$before" ] || fail "the upgrade did not restart it"
    must "it is the same relay, with its settings" "$SUBROSA" netcheck --relay "$WORK/descriptor.txt"
}

remove() {
    must "it is removed" inside apt-get remove -y subrosa
    inside systemctl is-active --quiet subrosa-relay && fail "it still runs"
    must "its identity and settings stay" inside test -d /var/lib/private/subrosa-relay -a -f /etc/subrosa/relay.toml
    must "it comes back" inside apt-get install -y /root/new.deb
    must "and runs as it did" inside sh -c 'systemctl is-enabled --quiet subrosa-relay && systemctl start subrosa-relay'
    must "as the same relay" "$SUBROSA" netcheck --relay "$WORK/descriptor.txt"
    must "it is purged" inside apt-get purge -y subrosa
    left=$(inside find / -xdev -name '*subrosa*' -not -path '/proc/*' -not -path '/root/*' -not -path '/etc/subrosa*' \
        -not -path '/var/log/*' -not -path '/tmp/*')
    [ -z "$left" ] || fail "what is left after purging: $left"
    say "ok   nothing of it is left but /etc/subrosa/relay.toml, which its operator wrote"
}

bootstrap
boot
must "the package installs" inside apt-get install -y /root/old.deb
must "it is not started unasked" inside sh -c '! systemctl is-active --quiet subrosa-relay'
must "manual pages and completions" inside test -f /usr/share/man/man1/subrosa-relay.1.gz \
    -a -f /usr/share/bash-completion/completions/subrosa -a -f /usr/share/zsh/vendor-completions/_subrosa
follow_the_guide
look_at_the_service
upgrade
remove
say "The package installs, runs, upgrades and goes cleanly."
