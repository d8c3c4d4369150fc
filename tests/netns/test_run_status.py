"""`run` as seen by who started it: its exit status, its streams, its signals and its environment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from procroute.lab import Lab
from tests.netns.running import ENVIRONMENT, PROCROUTE, run, run_by, unchanged

# Many runs in one interpreter: what each process would do, without its start.
_MANY = """
import json, sys
from procroute.cli.main import main
def status(command):
    return main(["run", "--via", "wan1", "--", "sh", "-c", command])
json.dump([status(command) for command in sys.argv[1:]], sys.stdout)
"""
# Of those that end a process by default, signal(7).
_DEADLY = (1, 2, 3, 6, 9, 10, 11, 13, 14, 15, 24, 31, 34, 64)
_DISPOSITIONS = "grep ^Sig[BIC] /proc/self/status"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def statuses(lab: Lab, commands: list[str]) -> list[int]:
    """What `run` gives back for each shell command."""
    done = lab.run([sys.executable, "-c", _MANY, *commands], env=ENVIRONMENT, timeout=100)
    found: list[int] = json.loads(done.stdout)
    return found


@pytest.mark.promise("CLI-01")
def test_the_exit_status_is_that_of_the_command(lab: Lab) -> None:
    wanted = [0, 1, 2, 3, 4, 42, 124, 125, 126, 127, 128, 137, 254, 255]
    with unchanged(lab):
        assert statuses(lab, [f"exit {n}" for n in wanted]) == wanted


@pytest.mark.promise("CLI-01")
@pytest.mark.parametrize("status", [0, 1, 125, 255])
def test_the_process_ends_with_that_status(lab: Lab, status: int) -> None:
    done = run(lab, "wan1", "sh", "-c", f"exit {status}")
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


@pytest.mark.promise("CLI-11", "ERR-08")
@pytest.mark.parametrize(
    "gateway",
    [
        *("198.51.100.255", "198.51.100.0", "198.51.100.2", "203.0.113.1", "255.255.255.255", "224.0.0.1"),
        *("2001:db8:1::2", "2001:db8:2::1", "ff02::1", "::", "::1", "::ffff:c633:6401"),
    ],
)
def test_a_gateway_that_cannot_be_one_is_refused_in_words(lab: Lab, gateway: str) -> None:
    option = "--gateway6" if ":" in gateway else "--gateway4"
    with unchanged(lab):
        done = run(lab, "wan1", "true", options=(option, gateway))
        first, hint = done.stderr.splitlines()
        assert (done.returncode, hint) == (125, "  hint: the router's address on the LAN of wan1")
        assert first.startswith(f"procroute: {ip_address(gateway)} ")
        assert "kernel" not in first


@pytest.mark.promise("CLI-02")
def test_a_signal_gives_128_and_its_number(lab: Lab) -> None:
    with unchanged(lab):
        found = statuses(lab, [f"ulimit -c 0; kill -{n} $$" for n in _DEADLY])
    assert found == [128 + n for n in _DEADLY]


@pytest.mark.promise("CLI-02")
def test_the_engine_itself_lives_on_when_the_command_is_killed(lab: Lab) -> None:
    done = run(lab, "wan1", "sh", "-c", "kill -9 $$")
    assert (done.returncode, done.stderr) == (137, "")


@pytest.mark.promise("CLI-03")
@pytest.mark.parametrize(
    ("make", "command", "status", "says"),
    [
        ("true", "no-such-command", 127, "no-such-command: command not found"),
        ("true", "/no/such/command", 127, "/no/such/command: command not found"),
        ("true", "/etc/passwd/x", 127, "/etc/passwd/x: command not found"),
        ("echo true >/tmp/plain; chmod 644 /tmp/plain", "/tmp/plain", 126, "/tmp/plain: Permission denied"),
        ("true", "/tmp", 126, "/tmp: Permission denied"),
        (
            "echo '#!/no/interpreter' >/tmp/script; chmod 755 /tmp/script",
            "/tmp/script",
            126,
            "/tmp/script: its interpreter is missing",
        ),
        ("head -c 64 /dev/zero >/tmp/zeros; chmod 755 /tmp/zeros", "/tmp/zeros", 126, "Exec format error"),
    ],
)
def test_what_cannot_be_started_is_told_apart(
    lab: Lab, make: str, command: str, status: int, says: str
) -> None:
    lab.sh(make)
    with unchanged(lab):
        done = run(lab, "wan1", command, "argument")
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("procroute: ")
    assert says in done.stderr


@pytest.mark.promise("CLI-04", "CLI-07")
def test_streams_are_the_commands_byte_for_byte(lab: Lab) -> None:
    every_byte = bytes(range(256)) * 4096
    lab.path("/tmp/in").write_bytes(every_byte)
    words = " ".join([*run_by("wan1"), "sh", "-c", "'cat; echo done >&2'"])
    lab.run(["sh", "-c", f"{words} </tmp/in >/tmp/out 2>/tmp/err"], env=ENVIRONMENT, check=True)
    assert lab.path("/tmp/out").read_bytes() == every_byte
    assert lab.path("/tmp/err").read_bytes() == b"done\n"


@pytest.mark.promise("CLI-04", "CLI-07")
def test_a_command_that_writes_nothing_leaves_stdout_empty(lab: Lab) -> None:
    done = run(lab, "wan1", "true")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.promise("CLI-04")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_stay_closed(lab: Lab, closed: str) -> None:
    ls = ["ls", "/proc/self/fd"]
    direct, done = (
        lab.run(["sh", "-c", " ".join([*words, closed])], env=ENVIRONMENT)
        for words in (ls, run_by("wan1") + ls)
    )
    assert (done.returncode, done.stdout, done.stderr) == (direct.returncode, direct.stdout, direct.stderr)


@pytest.mark.promise("CLI-04")
def test_no_descriptor_of_ours_reaches_the_command(lab: Lab) -> None:
    assert run(lab, "wan1", "ls", "/proc/self/fd").stdout == lab.sh("ls /proc/self/fd")


@pytest.mark.promise("CLI-04")
def test_a_reader_that_goes_away_ends_the_command_by_sigpipe(lab: Lab) -> None:
    words = " ".join([*run_by("wan1"), "yes"])
    done = lab.run(["bash", "-c", f"{words} | head -1; echo ${{PIPESTATUS[0]}}"], env=ENVIRONMENT)
    assert (done.stdout, done.stderr) == ("y\n141\n", "")


@pytest.mark.promise("CLI-06")
@pytest.mark.parametrize("trapped", ["", "trap '' HUP INT; "])
def test_signal_dispositions_are_inherited(lab: Lab, trapped: str) -> None:
    words = " ".join(run_by("wan1"))
    direct = lab.run(["sh", "-c", trapped + _DISPOSITIONS])
    done = lab.run(["sh", "-c", f"{trapped}{words} {_DISPOSITIONS}"], env=ENVIRONMENT)
    assert done.stdout == direct.stdout
    assert "SigBlk" in done.stdout


@pytest.mark.promise("CLI-06")
@pytest.mark.parametrize("number", [1, 2, 10, 12, 15, 28, 40])
def test_a_signal_to_the_engine_reaches_the_command_once(lab: Lab, number: int) -> None:
    script = f"""
import signal, sys, time
seen = []
signal.signal({number}, lambda *_: seen.append(1))
signal.signal(signal.SIGALRM, lambda *_: sys.exit(10 + len(seen)))
print("ready", flush=True)
while not seen:
    time.sleep(0.01)
signal.setitimer(signal.ITIMER_REAL, 0.2)  # time for a second one to come
while True:
    time.sleep(1)
"""
    process = lab.machine.popen(
        [*run_by("wan1"), sys.executable, "-c", script], env=ENVIRONMENT, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(10) == 11


@pytest.mark.promise("CLI-06")
def test_the_command_has_the_engines_session_and_group(lab: Lab) -> None:
    script = (
        "import os; up = os.getppid(); print(os.getsid(0) == os.getsid(up), os.getpgrp() == os.getpgid(up))"
    )
    assert run(lab, "wan1", sys.executable, "-c", script).stdout == "True True\n"


@pytest.mark.promise("CLI-04")
def test_environment_arguments_and_directory_are_kept(lab: Lab) -> None:
    script = "import os, sys; print(dict(os.environ), sys.argv[1:], os.getcwd(), os.umask(0))"
    words = ["sh", "-c", 'umask 037; exec "$@"', "sh"]
    odd = ["", "a b", "--via", "--", "$HOME", "ä\n"]
    env = ENVIRONMENT | {"SOME_THING": "of ours", "EMPTY": ""}
    command = [sys.executable, "-c", script, *odd]
    direct = lab.run([*words, *command], env=env, cwd="/usr")
    done = lab.run([*words, *run_by("wan1"), *command], env=env, cwd="/usr")
    assert done.stdout == direct.stdout


@pytest.mark.promise("CLI-04")
def test_the_cmd_needs_no_double_dash(lab: Lab) -> None:
    done = lab.run([*PROCROUTE, "run", "--via", "wan1", "echo", "--via", "x", "--"], env=ENVIRONMENT)
    assert (done.returncode, done.stdout) == (0, "--via x --\n")
