"""`procroute demo`: two uplinks in private namespaces, and the real `run` on each."""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from procroute.cli import output
from procroute.errors import Exit, ProcrouteError

if TYPE_CHECKING:
    from procroute.lab import Lab, Wire

_SECONDS: Final = 60
"""For one run, on a slow machine."""


@dataclass(frozen=True, slots=True)
class CameOut:
    """Where one kind of traffic came out: the router that answered and the source address that it saw."""

    router: str
    source: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the demonstration.

    via: the adapter, or nothing; expected: the router that should answer; elsewhere: how many packets came
    out by the other uplink; status: the command's.
    """

    via: str
    expected: str
    ipv4: CameOut
    ipv6: CameOut
    names: CameOut
    elsewhere: int
    status: int

    @property
    def kept(self) -> bool:
        """Whether all three came out where they should, nothing elsewhere, and the command ended well."""
        outs = (self.ipv4, self.ipv6, self.names)
        return self.status == 0 and self.elsewhere == 0 and all(out.router == self.expected for out in outs)


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    parser = verbs.add_parser(
        "demo",
        help="show it at work, in private namespaces",
        description="Makes a machine with two uplinks in private namespaces and runs a command there by each "
        "of them and without procroute. Needs no second uplink and touches nothing on this machine.",
    )
    parser.add_argument("--json", action="store_true", help="the result for programs")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Run the demonstration; 0 only if everything came out where it was promised."""
    if os.geteuid() != 0:
        raise ProcrouteError(
            "not-root", "demo makes network namespaces, which takes root", "sudo procroute demo"
        )
    for program, package in (("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux")):
        if shutil.which(program) is None:
            raise ProcrouteError("program-missing", f"{program} is missing", f"install the package {package}")
    from procroute.lab import WAN1, WAN2, Lab
    from procroute.lab.snapshot import changes, snapshot

    output.tell("making a machine with two uplinks, two routers and two name servers")
    with Lab(main="both") as lab:
        before = snapshot(lab)
        steps = [_step(lab, None, WAN2), _step(lab, WAN1, WAN1), _step(lab, WAN2, WAN2)]
        changed = sorted(changes(before, snapshot(lab)))
    output.answer(_as_json(steps, changed) if options.json else _as_table(steps, changed))
    return Exit.FAILED if changed or not all(step.kept for step in steps) else Exit.OK


def _step(lab: Lab, via: Wire | None, expected: Wire) -> Step:
    from procroute.lab.topology import SERVER4, SERVER6

    client = [sys.executable, "-m", "procroute.lab.client", "tcp", SERVER4, "tcp", SERVER6, "name"]
    run = [sys.executable, "-m", "procroute", "run"]
    command = (
        [*run, "--via", via.adapter, "--dns", f"{via.dns4},{via.dns6}", "--", *client] if via else client
    )
    output.tell(f"a command by {via.adapter}" if via else "a command without procroute")
    lab.clear()
    done = lab.run(command, timeout=_SECONDS)
    for line in done.stderr.splitlines():
        output.tell(f"  {line}")
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    outs = [CameOut(answer["router"], answer["client"], answer["error"]) for answer in answers]
    outs += [CameOut("", "", "no answer")] * (3 - len(outs))
    return Step(
        via=via.adapter if via else "",
        expected=expected.node,
        ipv4=outs[0],
        ipv6=outs[1],
        names=_names(lab, outs[2]),
        elsewhere=_elsewhere(lab, expected),
        status=done.returncode,
    )


def _elsewhere(lab: Lab, expected: Wire) -> int:
    lab.settle()
    return sum(len(lab.uplinks[name].packets()) for name in ("wan1", "wan2") if name != expected.adapter)


def _names(lab: Lab, answered: CameOut) -> CameOut:
    """Who answered the look-up, with the address that it was sent to."""
    from procroute.lab.names import WHO

    uplink = lab.uplinks.get(answered.router)
    queries = uplink.queries(WHO) if uplink else []
    return CameOut(answered.router, queries[-1].client, "") if queries else answered


def _as_json(steps: list[Step], changed: list[str]) -> str:
    told = [asdict(step) | {"kept": step.kept} for step in steps]
    return json.dumps({"steps": told, "changed": changed}, indent=2)


def _as_table(steps: list[Step], changed: list[str]) -> str:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="who came out where", title_justify="left")
    for heading in ("started", "IPv4 by", "IPv6 by", "names by"):
        table.add_column(heading)
    table.add_column("packets elsewhere", justify="right")
    table.add_column("as promised")
    for step in steps:
        mark = "[green]✔ yes[/green]" if step.kept else "[red]✘ no[/red]"
        start = f"procroute run --via {step.via}" if step.via else "without procroute"
        table.add_row(
            start,
            *(_cell(out, step.expected) for out in (step.ipv4, step.ipv6, step.names)),
            str(step.elsewhere),
            mark,
        )
    kept = sum(step.kept for step in steps)
    console = Console(
        file=io.StringIO(),
        force_terminal=sys.stdout.isatty(),
        width=max(shutil.get_terminal_size((110, 40)).columns, 80),
    )
    with console.capture() as captured:
        console.print(table)
        if changed:
            console.print(f"[red]✘[/red] The machine is not as it was: {', '.join(changed)}.")
        elif kept < len(steps):
            console.print(f"[red]✘[/red] {len(steps) - kept} of {len(steps)} did not come out as promised.")
        else:
            console.print(
                "[green]✔[/green] Each command left by the adapter it was given, over IPv4, IPv6 and for its "
                "names, and the machine is as it was before."
            )
    return captured.get().rstrip("\n")


def _cell(out: CameOut, expected: str) -> str:
    if out.error or not out.router:
        return f"[red]✘ {out.error or 'no answer'}[/red]"
    mark, colour = ("✔", "green") if out.router == expected else ("✘", "red")
    return f"[{colour}]{mark} {out.router}[/{colour}]\n{out.source}"
