"""A private Slurm on loopback for one test: a controller and two nodes of one core each, without systemd or a database.

Needs root and Debian's slurmctld, slurmd, slurm-client and munge. Finished jobs are kept in the queue, and listed in a
file of the completion log.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo")
SYSTEM = Path("/etc/slurm/slurm.conf")
NODES = ("alpha", "beta")

CONFIGURATION = """
ClusterName=semcse
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16917
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,bf_interval=2
MinJobAge=7200
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/completed.txt
NodeName=alpha NodeHostname={host} NodeAddr=127.0.0.1 Port=16921 CPUs=1 RealMemory=8000 State=UNKNOWN
NodeName=beta NodeHostname={host} NodeAddr=127.0.0.1 Port=16922 CPUs=1 RealMemory=8000 State=UNKNOWN
PartitionName=test Nodes=alpha,beta Default=YES MaxTime=02:00:00 State=UP
"""


def why_not() -> str | None:
    """The reason why no cluster can be started here, or None."""
    found = {program: shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") for program in PROGRAMS}
    missing = [program for program, path in found.items() if path is None]
    if missing:
        return f"Slurm is not installed (no {', '.join(missing)})"
    if os.geteuid():
        return "only root can start Slurm's daemons"
    return f"this machine has a Slurm of its own ({SYSTEM})" if SYSTEM.exists() else None


@contextmanager
def cluster(folder: Path) -> Iterator[Path]:
    """Start it with its state in `folder`; the file that lists completed jobs. Everything ends with the context."""
    host = socket.gethostname().split(".")[0]
    for name in ("munge", "state", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    (folder / "munge").chmod(0o700)
    folder.chmod(0o755)
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder))
    # Jobs lose SLURM_CONF on their way, and the srun inside them reads the usual place.
    SYSTEM.parent.mkdir(exist_ok=True)
    SYSTEM.symlink_to(folder / "slurm.conf")
    try:
        _munge(folder / "munge")
        _start("slurmctld")
        for node in NODES:
            _start("slurmd", "-N", node)
        _wait_for_nodes(folder)
        yield folder / "completed.txt"
    finally:
        for node in NODES:
            _stop(folder / f"slurmd-{node}.pid")
        _stop(folder / "slurmctld.pid")
        _stop(folder / "munge" / "pid")
        SYSTEM.unlink()


def _start(*command: str) -> None:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    subprocess.run(command, check=True, env={**os.environ, "PATH": path}, stdout=subprocess.DEVNULL)


def _munge(folder: Path) -> None:
    key = folder / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    places = {"key-file": key, "socket": folder / "socket", "pid-file": folder / "pid"}
    places |= {"log-file": folder / "log", "seed-file": folder / "seed"}
    _start("munged", "--force", *(f"--{name}={place}" for name, place in places.items()))


def _wait_for_nodes(folder: Path, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        command = ["sinfo", "-h", "-t", "idle", "-o", "%D"]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        if said.stdout.strip() == str(len(NODES)):
            return
        time.sleep(0.5)
    raise RuntimeError(f"Slurm's nodes did not come up in {seconds:.0f} s; see the logs in {folder}")


def _stop(pid_file: Path) -> None:
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, 15)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return
    until = time.monotonic() + 20
    while time.monotonic() < until and Path(f"/proc/{pid}").exists():
        time.sleep(0.1)
