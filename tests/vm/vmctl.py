"""Virtual machines without hardware help, from a saved state, so that a job starts in seconds.

python vmctl.py prepare BASE         boot BASE once, save its running state: BASE.state, BASE.ready.qcow2
python vmctl.py run BASE JOB         restore that into a machine to throw away, run JOB/run.sh there as root
python vmctl.py reboot BASE JOB...   boot a machine, and run the jobs one after the other; each but the last
                                     has it boot anew
python vmctl.py count BASE JOB       the same in a machine booted for it, of one processor, in whose clocks
                                     an instruction is a nanosecond (docs/decisions/0005)

BASE.{vmlinuz,initrd,img} are made by mkvm; vmagent.py answers inside. The exit status is that of the job.
Sources: qemu(1), QEMU Machine Protocol specification.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

MEMORY: Final = "1024"
"""MiB."""
BOOT: Final = 300.0
"""Seconds that a boot may take."""
JOB: Final = float(os.environ.get("VM_TIMEOUT", "1800"))
"""Seconds of silence after which a job is given up."""
SETTLE: Final = 3.0
"""Seconds from the agent's first answer to a machine at rest."""
_KERNEL: Final = (
    "console=ttyS0 root=/dev/vda rw panic=-1 quiet systemd.show_status=0 mitigations=off audit=0 selinux=0"
    " nokaslr cryptomgr.notests"
)
_STEADY: Final = "tsc=unstable"
"""Beside other work kernels have found the processor's clock five times as slow as it is, and so theirs went
five times too fast (arch/x86/kernel/tsc.c, pit_calibrate_tsc). The HPET, which they take instead, tells its
frequency itself."""
_FAST: Final = ("-accel", "tcg,thread=single", "-smp", "1")
"""One processor: with two, emulated kernels have oopsed in code that one patched while the other ran it."""
_EXACT: Final = "tsc=reliable"
"""What counts instructions to the nanosecond, where nothing is beside it to mislead the kernel."""
_COUNTING: Final = ("-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-smp", "1")


class Monitor:
    """The monitor of a running machine (QMP)."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rw")
        self._lines.readline()
        self.do("qmp_capabilities")

    def until(self, event: str) -> None:
        """Wait until it tells of that."""
        while json.loads(self._lines.readline()).get("event") != event:
            pass

    def do(self, command: str, **arguments: Any) -> Any:
        """One command and what it returns. Raises RuntimeError with what the monitor says."""
        self._lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._lines.flush()
        while reply := json.loads(self._lines.readline()):
            if "return" in reply:
                return reply["return"]
            if "error" in reply:
                raise RuntimeError(str(reply["error"]))
        raise AssertionError("an empty reply")


class Agent:
    """The agent inside (vmagent.py)."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))

    def wait(self) -> None:
        """Until it answers."""
        self._socket.settimeout(BOOT)
        self._socket.sendall(bytes(8))
        if self._read(4) != b"PONG":
            raise RuntimeError("the machine's agent does not answer as it should")

    def run(self, job: Path) -> int:
        """Run a job, pass on what it writes; its exit status."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(job, ".")
        self._socket.settimeout(JOB)
        self._socket.sendall(struct.pack(">Q", packed.tell()) + packed.getvalue())
        while size := struct.unpack(">I", self._read(4))[0]:
            sys.stdout.buffer.write(self._read(size))
            sys.stdout.flush()
        return self._read(1)[0]

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise EOFError("the machine has gone")
            data += part
        return data


@contextmanager
def machine(
    base: str,
    place: Path,
    disk: Path,
    incoming: str = "",
    how: Sequence[str] = _FAST,
    clock: str = _STEADY,
) -> Iterator[subprocess.Popen[bytes]]:
    """A running machine, gone at the end. place: where its sockets are; incoming: a state to wait for; how:
    words of QEMU; clock: one of the kernel."""
    words = ["qemu-system-x86_64", *how, "-cpu", "qemu64,-cx16", "-machine", "q35"]
    words += ["-m", MEMORY, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
    words += ["-kernel", f"{base}.vmlinuz", "-initrd", f"{base}.initrd", "-append", f"{_KERNEL} {clock}"]
    words += ["-drive", f"file={disk},if=none,id=d0,format=qcow2,cache=unsafe"]
    words += [
        "-device",
        "virtio-blk-pci,drive=d0",
        "-device",
        "virtio-rng-pci",
        "-device",
        "virtio-serial-pci",
    ]
    words += ["-chardev", f"socket,id=c0,path={place}/job,server=on,wait=off"]
    words += ["-device", "virtserialport,chardev=c0,name=job", "-serial", f"file:{place}/console"]
    words += ["-qmp", f"unix:{place}/qmp,server=on,wait=off"]
    words += ["-incoming", incoming] if incoming else []
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as process:
        try:
            while not ((place / "qmp").exists() and (place / "job").exists()):
                if process.poll() is not None:
                    raise RuntimeError(f"qemu ended with {process.returncode}")
                time.sleep(0.01)
            yield process
        except BaseException:
            console = place / "console"
            if console.exists():
                sys.stderr.write(console.read_text(errors="replace")[-3000:])
            raise
        finally:
            process.kill()


def overlay(place: Path, below: str, kind: str) -> Path:
    """A disk that takes what is written and leaves the one below as it is."""
    disk = place / "disk.qcow2"
    made = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", os.path.abspath(below), "-F", kind, str(disk)]
    subprocess.run(made, check=True)
    return disk


def prepare(base: str, place: Path) -> int:
    """Boot, and save the state."""
    disk = overlay(place, f"{base}.img", "raw")
    with machine(base, place, disk) as process:
        agent = Agent(place / "job")
        agent.wait()
        time.sleep(SETTLE)
        agent.close()
        monitor = Monitor(place / "qmp")
        monitor.do("stop")
        monitor.do("migrate-set-parameters", **{"max-bandwidth": 10**10})
        monitor.do("migrate", uri=f"exec:zstd -q -1 > {base}.state")
        while (status := monitor.do("query-migrate").get("status")) != "completed":
            if status == "failed":
                raise RuntimeError("the state cannot be saved")
            time.sleep(0.05)
        monitor.do("quit")
        process.wait(30)
    shutil.move(disk, f"{base}.ready.qcow2")
    return 0


def run(base: str, place: Path, job: Path) -> int:
    """Restore, and run a job."""
    disk = overlay(place, f"{base}.ready.qcow2", "qcow2")
    with machine(base, place, disk, f"exec:zstd -dc {base}.state"):
        monitor = Monitor(place / "qmp")
        while monitor.do("query-status")["status"] == "inmigrate":
            time.sleep(0.02)
        monitor.do("cont")
        agent = Agent(place / "job")
        agent.wait()
        return agent.run(job)


def reboot(base: str, place: Path, jobs: Sequence[Path]) -> int:
    """Boot, and run jobs, between which the machine boots anew; the first exit status but 0."""
    disk = overlay(place, f"{base}.img", "raw")
    with machine(base, place, disk):
        monitor = Monitor(place / "qmp")
        monitor.do("set-action", reboot="reset")
        agent = Agent(place / "job")
        for job in jobs:
            agent.wait()
            if status := agent.run(job):
                return status
            if job is not jobs[-1]:
                monitor.until("RESET")
    return 0


def count(base: str, place: Path, job: Path) -> int:
    """Boot a machine that counts, and run a job."""
    disk = overlay(place, f"{base}.img", "raw")
    with machine(base, place, disk, how=_COUNTING, clock=_EXACT):
        agent = Agent(place / "job")
        agent.wait()
        return agent.run(job)


def main() -> int:
    """As the first argument says."""
    verb, base, *rest = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="vm.") as place:
        if verb == "prepare":
            return prepare(base, Path(place))
        if verb == "reboot":
            return reboot(base, Path(place), list(map(Path, rest)))
        return (count if verb == "count" else run)(base, Path(place), Path(rest[0]))


if __name__ == "__main__":
    sys.exit(main())
