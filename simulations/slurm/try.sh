#!/bin/bash
# Tries sweep.sbatch on a real Slurm of one node: sets it up in a scratch folder, runs a small sweep as an array job, cancels
# it in the middle, submits it again, merges, compares with a run without Slurm, and takes everything down.
# As root, on Debian with slurmctld, slurmd, slurm-client and munge. SIM: the program [target/debug/subrosa-sim].
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
SIM=$(realpath "${SIM:-$root/target/debug/subrosa-sim}")
PATH=$PATH:/usr/sbin

die() {
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}
[ "$(id -u)" = 0 ] || die "this needs root" "run it as root: Slurm starts jobs as other users"
for needed in slurmctld slurmd sbatch squeue scancel munged mungekey; do
    command -v "$needed" >/dev/null || die "$needed is missing" "apt-get install slurmctld slurmd slurm-client munge"
done
[ -x "$SIM" ] || die "there is no program $SIM" "cargo build -p subrosa-sim, or set SIM"

scratch=$(mktemp -d)
pids=()
cleanup() {
    # Newest first: the daemons before what they need.
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill "${pids[i]}" 2>/dev/null || true
        wait "${pids[i]}" 2>/dev/null || true
    done
    rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
chmod 755 "$scratch"
mkdir -p "$scratch"/{munge,state,spool,work}

# Everybody on this node shows who they are by munge, with a key of this run's own.
chmod 700 "$scratch/munge"
mungekey --create --keyfile="$scratch/munge/key"
munged --foreground --force --key-file="$scratch/munge/key" --socket="$scratch/munge.sock" \
    --pid-file="$scratch/munge/pid" --log-file="$scratch/munge/log" --seed-file="$scratch/munge/seed" >"$scratch/munged.out" 2>&1 &
pids+=($!)

host=$(hostname -s)
# Ports that are free now.
read -r ctld_port slurmd_port < <(python3 - <<'PY'
import socket
sockets = [socket.socket() for _ in range(2)]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))
PY
)
cat >"$scratch/slurm.conf" <<CONF
ClusterName=try
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$ctld_port
SlurmdPort=$slurmd_port
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$scratch/munge.sock
CredType=cred/munge
StateSaveLocation=$scratch/state
SlurmdSpoolDir=$scratch/spool
SlurmctldPidFile=$scratch/slurmctld.pid
SlurmdPidFile=$scratch/slurmd.pid
SlurmctldLogFile=$scratch/slurmctld.log
SlurmdLogFile=$scratch/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=1
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$scratch/slurm.conf
slurmctld -D -c >"$scratch/slurmctld.out" 2>&1 &
pids+=($!)
slurmd -D -c >"$scratch/slurmd.out" 2>&1 &
pids+=($!)

until_true() { # SECONDS WHAT COMMAND...
    local seconds=$1 what=$2
    shift 2
    for ((i = 0; i < seconds * 4; i++)); do
        "$@" && return 0
        sleep 0.25
    done
    tail -n 20 "$scratch"/*.log >&2 || true
    die "$what within $seconds s" "see the logs above"
}
is_idle() { sinfo -h -o %t 2>/dev/null | grep -qx idle; }
is_done() { [ -z "$(squeue -h 2>/dev/null)" ]; }
has_records() { [ "$(find "$scratch/work/out/runs" -name 'seed-*.json' 2>/dev/null | wc -l)" -ge "$1" ]; }
until_true 30 "the node is not ready" is_idle

cd "$scratch/work"
cat >base.toml <<'TOML'
name = "meeting"
summary = "A host and guests"
seconds = 6
[[member]]
name = "Ada"
TOML
cat >sweep.toml <<'TOML'
name = "tried on Slurm"
scenario = "base.toml"
seeds = 8
[axes]
"network.loss_percent" = [0, 5]
members = [2, 4]
[members]
template = { name = "Guest {n}" }
TOML
submit() { sbatch --parsable --mem-per-cpu=0 --array=1-4 "$here/sweep.sbatch"; }
export SIM SWEEP=sweep.toml OUT=out

job=$(submit)
echo "job $job: an array of 4 shards"
until_true 60 "the job wrote no records" has_records 3
scancel "$job"
until_true 60 "the job did not end" is_done
before=$(find out/runs -name 'seed-*.json' | wc -l)
echo "cancelled with $before of 32 records"
if "$SIM" sweep merge out >/dev/null 2>merge.log; then
    [ "$before" = 32 ] || die "merging without all runs succeeded" "see sweep merge"
fi
job=$(submit)
until_true 300 "the job did not end" is_done
cat "sweep-${job}"_*.log
"$SIM" sweep merge out
"$SIM" sweep run sweep.toml --out local >/dev/null 2>&1
"$SIM" sweep merge local >/dev/null
for file in table.csv table.jsonl table.parquet; do
    cmp "out/merged/$file" "local/merged/$file"
done
echo "the table is the same, byte for byte, as without Slurm"
