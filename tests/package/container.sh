#!/bin/sh
# Tries the image subrosa-relay that `./dev container` made: follows docs/operate-a-relay.md word for word, with an address
# and networks of its own, looks at it from outside, reloads, drains, replaces. Needs root, podman and network namespaces.
# With ORDINARY_USER=NAME, who has subordinate ids (/etc/subuid), that user's podman runs it, too.
set -eu

HERE=$(cd "$(dirname "$0")/../.." && pwd)
GUIDE=$HERE/docs/operate-a-relay.md
NAME=subrosa-relay
# Addresses for documentation (RFC 5737): the relay's machine, and the one it is looked at from.
RELAY=203.0.113.2 OUTSIDE=203.0.113.1
# The relay's machine and another one, as network namespaces.
MACHINE=subrosa-ctr ELSEWHERE=subrosa-ctr-out
# What members get to move when it ends.
DRAIN_SECONDS=20

WORK=$(mktemp -d)
# The program, as a member elsewhere has it.
SUBROSA=$WORK/subrosa
MEMBER='' MINE='' THEIRS=''

# On the relay's machine; elsewhere.
here() { ip netns exec "$MACHINE" "$@"; }
out() { ip netns exec "$ELSEWHERE" env HOME="$WORK/home" "$@"; }
container() { nsenter --net="/run/netns/$MACHINE" podman "$@"; }

end() {
    [ -z "$MEMBER" ] || kill "$MEMBER" 2>/dev/null || true
    if [ -n "$MINE" ]; then
        container rm --force --volumes --time 0 "$NAME" >/dev/null 2>&1 || true
        podman volume rm --force "$NAME" >/dev/null 2>&1 || true
    fi
    if [ -n "$THEIRS" ]; then
        theirs "podman rm --force --volumes --time 0 $NAME; podman volume rm --force $NAME; podman rmi $NAME" >/dev/null 2>&1 || true
        rm -rf "$THEIRS"
    fi
    # What began in the background began in a shell of its own.
    ip netns pids "$ELSEWHERE" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
    ip netns delete "$ELSEWHERE" 2>/dev/null || true
    ip netns delete "$MACHINE" 2>/dev/null || true
    rm -rf "$WORK"
}
trap end EXIT
trap 'exit 130' INT TERM

# What an ordinary user runs on the relay's machine.
theirs() {
    nsenter --net="/run/netns/$MACHINE" su "$ORDINARY_USER" -s /bin/sh -c "cd '$THEIRS' && export XDG_RUNTIME_DIR='$THEIRS' && $1"
}

say() { printf '%s\n' "$*"; }
fail() {
    say "FAILED: $*" >&2
    [ -z "$MINE" ] || ! podman container exists "$NAME" || container logs --tail 30 "$NAME" >&2
    exit 1
}
# must WHAT COMMAND...: runs it; what it printed is shown if it fails. must_not: the other way round.
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
must_not() {
    what=$1
    shift
    if "$@" >"$WORK/out" 2>&1; then
        cat "$WORK/out" >&2
        fail "$what"
    else
        say "ok   $what"
    fi
}
# is WHAT WANTED FOUND
is() {
    [ "$2" = "$3" ] || fail "$1: '$3' instead of '$2'"
    say "ok   $1: $3"
}

state() { podman inspect --format "{{.State.$1}}" "$NAME"; }
# A line of the process's status, as the kernel tells it.
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(state Pid)/status"; }
root() { echo "/proc/$(state Pid)/root"; }
# health ARGS...: as the image's own check asks.
health() { container exec "$NAME" subrosa relay health "$@"; }
# logged WORDS: the log says so within a few seconds.
logged() {
    waited=0
    until container logs "$NAME" 2>&1 | grep -q -e "$1"; do
        [ $((waited += 1)) -le 50 ] || return 1
        sleep 0.2
    done
}

networks() {
    ip netns add "$MACHINE"
    ip netns add "$ELSEWHERE"
    ip link add link0 netns "$MACHINE" type veth peer name link0 netns "$ELSEWHERE"
    here ip link set lo up
    out ip link set lo up
    here ip address add "$RELAY/24" dev link0
    out ip address add "$OUTSIDE/24" dev link0
    here ip link set link0 up
    out ip link set link0 up
}

look_at_the_image() {
    say "$(podman image inspect --format 'the image: {{.Size}} bytes, user {{.User}}, {{.Os}}/{{.Architecture}}' "$NAME")"
    id=$(podman create "$NAME")
    podman export "$id" | tar -tv >"$WORK/files"
    podman cp "$id:/usr/bin/subrosa" "$SUBROSA"
    podman rm --volumes "$id" >/dev/null
    grep -v '^d' "$WORK/files" | awk '{ printf "     %10d %s %s %s\n", $3, $1, $2, $6 }'
    say "     $(grep -vc '^d' "$WORK/files") files"
    must_not "there is no shell in it" grep -E '/(sh|bash|dash|busybox)$' "$WORK/files"
    must_not "nor can one be run" podman run --rm --entrypoint /bin/sh "$NAME" -c true
    must_not "nothing runs with its owner's rights" grep -E '^-..[sS]|^-.....[sS]' "$WORK/files"
}

# The commands of the guide's example for containers, less what it says in comments.
guide() {
    awk '/^## In a container/ { here = 1 } here && /^```sh/ { on = 1; next } /^```/ { if (on) exit } on' "$GUIDE" |
        sed 's/  *#.*//'
}

follow_the_guide() {
    say "the guide says:"
    guide | sed 's/^/     /'
    {
        printf 'set -e\n'
        guide
    } >"$WORK/guide.sh"
    # What init asks for, in order: hosting, operator, contact, legal seat, parent's seat, who may use it, traffic, listen, public.
    printf '%s\n' DE 'Example e.V.' ops@relay.example DE DE open 500 0.0.0.0:4433 "$RELAY:4433" >"$WORK/answers"
    MINE=yes
    cd "$WORK"
    must "the guide's commands" nsenter --net="/run/netns/$MACHINE" sh -c 'sh guide.sh <answers'
    must "the descriptor was printed" grep -q '^subrosa-relay:' descriptor.txt
    must "it is reached from another network" out "$SUBROSA" netcheck --relay descriptor.txt
    sed 's/^/     /' out
}

look_at_the_container() {
    is "it runs as user" "65532 65532 65532 65532" "$(status Uid | tr '\t' ' ')"
    is "and group" "65532 65532 65532 65532" "$(status Gid | tr '\t' ' ')"
    is "its capabilities" 0000000000000000 "$(status CapEff)"
    is "those that it could get" 0000000000000000 "$(status CapBnd)"
    is "no new privileges" 1 "$(status NoNewPrivs)"
    is "system calls are filtered" 2 "$(status Seccomp)"
    must_not "its root is read-only, even for root" touch "$(root)/usr/bin/x"
    must "its volume is not" test -s "$(root)/var/lib/subrosa-relay/identity.key" -o -n "$(ls "$(root)/var/lib/subrosa-relay")"
    is "the volume is the relay's" 65532 "$(stat -c %u "$(root)/var/lib/subrosa-relay")"
    must "the image's health check" container healthcheck run "$NAME"
    must "health" health
    is "says" alive "$(cat "$WORK/out")"
    must "readiness" health --ready
    is "says" ready "$(cat "$WORK/out")"
    must_not "health of nobody" health --at 127.0.0.1:1
    must_not "metrics are not told to other networks" out curl --silent --max-time 2 "http://$RELAY:9464/healthz"
}

reload() {
    pid=$(state Pid)
    # As editors do: another file takes the name.
    awk '/^\[logs\]/ { print; print "addresses = true"; print "days = 1"; next } { print }' settings/relay.toml |
        sed "s/^#drain_seconds.*/drain_seconds = $DRAIN_SECONDS/" >good.toml
    cp good.toml settings/new && mv settings/new settings/relay.toml
    container kill --signal HUP "$NAME" >/dev/null
    must "it reloads" logged 'settings reloaded'
    { cat good.toml; echo 'sesions = 3'; } >settings/new && mv settings/new settings/relay.toml
    container kill --signal HUP "$NAME" >/dev/null
    must "a wrong file is named in the log" logged sesions
    must "and the relay is as well as before" health --ready
    is "the same process" "$pid" "$(state Pid)"
    mv good.toml settings/relay.toml
    must "it is reached after that" out "$SUBROSA" netcheck --relay descriptor.txt
    must "it sees clients' own addresses" logged "$OUTSIDE:"
}

# A member elsewhere holds a session at the relay until it is told to move.
member() {
    out "$SUBROSA" new --headless --json --audio null --admit ticket --relay descriptor.txt >member.log 2>&1 </dev/null &
    MEMBER=$!
    waited=0
    until [ "$(sessions)" -ge 1 ]; do
        [ $((waited += 1)) -le 50 ] || { cat member.log >&2; fail "a member comes"; }
        sleep 0.2
    done
    say "ok   a member's session: $(sessions)"
}
sessions() {
    nsenter --net --target "$(state Pid)" curl --silent http://127.0.0.1:9464/metrics |
        awk '/^subrosa_relay_sessions / { print int($2); found = 1 } END { if (!found) print 0 }'
}

drain() {
    began=$(date +%s)
    container stop "$NAME" >/dev/null &
    stopping=$!
    must "it drains" logged 'draining for at most'
    wait "$stopping"
    took=$(($(date +%s) - began))
    is "SIGTERM ends it with status" 0 "$(state ExitCode)"
    [ "$took" -le $((DRAIN_SECONDS + 10)) ] || fail "draining took $took s"
    say "ok   in $took s, with a member; drain_seconds is $DRAIN_SECONDS"
    kill "$MEMBER" 2>/dev/null || true
    wait "$MEMBER" 2>/dev/null || true
    MEMBER=''
}

come_back() {
    must "it starts again" container start "$NAME"
    must "and is ready" health --ready --wait 10
    must "it is the same relay" out "$SUBROSA" netcheck --relay descriptor.txt
    container rm --force --volumes --time 0 "$NAME" >/dev/null
    run=$(guide | sed -n '/^podman run --detach/,/[^\\]$/p')
    must "another container takes its place" nsenter --net="/run/netns/$MACHINE" sh -c "$run"
    must "and is ready" health --ready --wait 10
    must "with the volume it is the same relay" out "$SUBROSA" netcheck --relay descriptor.txt
    container rm --force --volumes --time 0 "$NAME" >/dev/null
    podman volume rm "$NAME" >/dev/null
    must "a container without the volume" nsenter --net="/run/netns/$MACHINE" sh -c "$run"
    must "is ready" health --ready --wait 10
    must_not "but is another relay" out "$SUBROSA" netcheck --relay descriptor.txt
}

# The same by a podman without root, on the machine's own network.
as_an_ordinary_user() {
    if [ -z "${ORDINARY_USER:-}" ]; then
        say "SKIPPED: the podman of an ordinary user; ORDINARY_USER=NAME names one"
        return 0
    fi
    container rm --force --volumes --time 0 "$NAME" >/dev/null
    THEIRS=$(mktemp -d)
    podman save --quiet --output "$THEIRS/image.tar" "localhost/$NAME"
    cp -r settings "$THEIRS/"
    chown -R "$ORDINARY_USER" "$THEIRS"
    must_not "$ORDINARY_USER has no $NAME" theirs "podman container exists $NAME || podman volume exists $NAME"
    must "$ORDINARY_USER's podman takes the image" theirs "podman load --quiet --input image.tar"
    must "and starts it" theirs "$(printf '%s\n' "$run" | sed 's/-p [^ ]* *//g; s/^podman run/& --network host/')"
    must "it is ready" theirs "podman exec $NAME subrosa relay health --ready --wait 10"
    theirs "podman logs $NAME" 2>/dev/null | grep '^subrosa-relay:' | tail -1 >theirs.txt
    must "it is reached from another network" out "$SUBROSA" netcheck --relay theirs.txt
    pid=$(theirs "podman inspect --format '{{.State.Pid}}' $NAME")
    uid=$(sed -n 's/^Uid:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$pid/status")
    [ "$uid" -ge 65532 ] || fail "it runs as user $uid of the machine"
    say "ok   as user $uid of the machine"
    theirs "podman logs $NAME" >"$WORK/log" 2>&1
    must "it sees clients' own addresses" grep "$OUTSIDE:" "$WORK/log"
    must "it ends" theirs "podman stop $NAME"
    is "with status" 0 "$(theirs "podman inspect --format '{{.State.ExitCode}}' $NAME")"
}

for kind in container volume; do
    ! podman "$kind" exists "$NAME" || {
        MINE=''
        fail "there is a $kind $NAME on this machine; this try would replace it"
    }
done
mkdir "$WORK/home"
look_at_the_image
networks
follow_the_guide
look_at_the_container
reload
member
drain
come_back
as_an_ordinary_user
say "The image runs, reloads, drains and comes back, without root, on a root that is read-only."
