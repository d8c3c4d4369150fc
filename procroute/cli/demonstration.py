"""What `procroute demo` shows: who came out where, by each of a lab's uplinks and without procroute."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from procroute.cli import tables
from procroute.errors import ProcrouteError
from procroute.lab import WAN1, WAN2, Lab, Wire
from procroute.lab.names import WHO
from procroute.lab.snapshot import changes, snapshot
from procroute.lab.topology import SERVER4, SERVER6

_SECONDS: Final = 60
"""For one run, on a slow machine."""
_PIPE: Final = 110
"""Columns where there is no terminal: enough for every line of the table."""
_NARROW: Final = 80
"""Columns from which the table fits."""
_TITLE: Final = "who came out where"
_CAPTION: Final = "elsewhere: packets that came out by the other uplink"
_HEADINGS: Final = ("IPv4 by", "IPv6 by", "names by")


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
    def outs(self) -> tuple[CameOut, ...]:
        """All three, as in _HEADINGS."""
        return (self.ipv4, self.ipv6, self.names)

    @property
    def kept(self) -> bool:
        """Whether all three came out where they should, nothing elsewhere, and the command ended well."""
        came = all(out.router == self.expected for out in self.outs)
        return self.status == 0 and self.elsewhere == 0 and came


@dataclass(frozen=True, slots=True)
class Shown:
    """The whole demonstration. changed: what of the machine is not as it was before."""

    steps: tuple[Step, ...]
    changed: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether everything is as promised."""
        return not self.changed and all(step.kept for step in self.steps)

    def as_json(self) -> str:
        """For programs."""
        return json.dumps(
            asdict(self) | {"steps": [asdict(step) | {"kept": step.kept} for step in self.steps]}
        )

    def as_table(self, columns: int = 0) -> str:
        """For people: a table and a sentence.

        columns: of the terminal that shall show it, in colour, never by colour alone; 0: there is none.
        """
        failed = sum(not step.kept for step in self.steps)
        if self.changed:
            sentence = f"The machine is not as it was: {', '.join(self.changed)}."
        elif failed:
            sentence = f"{failed} of {len(self.steps)} did not come out as promised."
        else:
            sentence = (
                "Each command left by the adapter it was given, over IPv4, IPv6 and "
                "for its names, and the machine is as it was before."
            )
        wide = (columns or _PIPE) >= _NARROW
        shown = _table(self.steps) if wide else _list(self.steps)
        said = Text.assemble(_sign(self.kept), f" {sentence}")
        text = tables.drawn(shown, said, columns=columns, piped=_PIPE)
        return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n")


def _table(steps: Sequence[Step]) -> Table:
    table = Table(title=_TITLE, title_justify="left", box=box.SIMPLE_HEAD)
    table.caption = _CAPTION
    table.caption_justify = "left"
    for heading in ("run", *_HEADINGS):
        table.add_column(heading)
    table.add_column("elsewhere", justify="right")
    table.add_column("kept")
    for step in steps:
        cells = (_cell(out, step.expected, "\n") for out in step.outs)
        table.add_row(_start(step), *cells, str(step.elsewhere), _kept(step))
    return table


def _list(steps: Sequence[Step]) -> Text:
    """The same, below each other."""
    lines = [Text(_TITLE)]
    for step in steps:
        kept = Text.assemble(f"{_start(step)}: kept ", _kept(step), f", {step.elsewhere} elsewhere")
        lines += [Text(), kept]
        lines += [
            Text.assemble(f"  {heading} ", _cell(out, step.expected, " "))
            for heading, out in zip(_HEADINGS, step.outs, strict=True)
        ]
    return Text("\n").join([*lines, Text(), Text(_CAPTION)])


def _start(step: Step) -> str:
    return f"--via {step.via}" if step.via else "without"


def _kept(step: Step) -> Text:
    return _sign(step.kept, " yes" if step.kept else " no")


def _sign(good: bool, words: str = "") -> Text:
    return Text(f"✔{words}", "green") if good else Text(f"✘{words}", "red")


def show(tell: Callable[[str], None], interrupted: Callable[[Callable[[], None]], None]) -> Shown:
    """Make the lab and run each command in it.

    tell: takes a line about what happens now; interrupted: takes what a Ctrl-C has to do.

    Raises ProcrouteError of the lab, or demo-too-slow.
    """
    tell("making a machine with two uplinks, two routers and two name servers")
    lab = Lab(main="both")
    interrupted(lab.abandon)
    with lab:
        before = snapshot(lab)
        ways = ((None, WAN2), (WAN1, WAN1), (WAN2, WAN2))
        steps = tuple(_step(lab, via, expected, tell) for via, expected in ways)
        return Shown(steps, tuple(changes(before, snapshot(lab))))


def _step(lab: Lab, via: Wire | None, expected: Wire, tell: Callable[[str], None]) -> Step:
    client = [sys.executable, "-m", "procroute.lab.client", "tcp", SERVER4, "tcp", SERVER6, "name"]
    run = [sys.executable, "-m", "procroute", "run"]
    command = (
        [*run, "--via", via.adapter, "--dns", f"{via.dns4},{via.dns6}", "--", *client] if via else client
    )
    tell(f"a command by {via.adapter}" if via else "a command without procroute")
    lab.clear()
    try:
        done = lab.run(command, timeout=_SECONDS)
    except subprocess.TimeoutExpired as late:
        raise ProcrouteError("demo-too-slow", f"{' '.join(command)} took more than {_SECONDS} s") from late
    for line in done.stderr.splitlines():
        tell(f"  {line}")
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
    uplink = lab.uplinks.get(answered.router)
    queries = uplink.queries(WHO) if uplink else []
    return CameOut(answered.router, queries[-1].client, "") if queries else answered


def _cell(out: CameOut, expected: str, between: str) -> Text:
    if out.error or not out.router:
        return _sign(False, f" {out.error or 'no answer'}")
    return Text.assemble(_sign(out.router == expected, f" {out.router}"), between, out.source)
