"""A daemon that says what a test has it say, and a machine worth looking at.

daemon = FakeDaemon(); app = application(daemon)
async with app.run_test(size=(80, 24)) as pilot: ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from procroute import protocol
from procroute.errors import ProcrouteError
from procroute.protocol import (
    AdapterFacts,
    AdapterWay,
    Assignment,
    Carried,
    Options,
    Process,
    RuleFacts,
    Running,
    Sockets,
)
from procroute_tui.app import Tui
from procroute_tui.link import Gone
from procroute_tui.settings import Settings

NOW: Final = 1764104081.0
USERS: Final = {0: "root", 1000: "ada", 1001: "ben", 33: "www-data"}


def user_name(uid: int) -> str:
    return USERS.get(uid, str(uid))


def adapter(name: str, index: int, *, state: str = "up", routes: tuple[str, ...] = ()) -> AdapterFacts:
    """wan1, wan2 … with addresses of both families."""
    up = state == "up"
    return AdapterFacts(
        name,
        index,
        "veth",
        state,
        [f"198.51.100.{index}/24", f"2001:db8:{index}::2/64", "fe80::1/64"],
        {
            "ipv4": AdapterWay(up, gateway=f"198.51.100.{100 + index}", learnt="main"),
            "ipv6": AdapterWay(up, gateway=f"2001:db8:{index}::1", learnt="main"),
        },
        [f"198.51.100.{50 + index}"],
        list(routes),
    )


ADAPTERS: Final = [
    adapter("wan1", 2, routes=("wan1",)),
    adapter("lte0", 3, routes=("lte0~strict",)),
    adapter("wg0", 4, state="down"),
]


def running(pid: int, parent: int, name: str, *, user: int = 1000, unit: str = "", on: int = 0) -> Running:
    return Running(
        pid,
        pid * 10,
        parent,
        user,
        name,
        [f"/usr/bin/{name}", "--some", "option"],
        f"/user.slice/{unit}" if unit else "/",
        unit,
        on,
    )


PROCESSES: Final = [
    running(1, 0, "systemd", user=0, unit="init.scope"),
    running(2, 0, "kthreadd", user=0),
    running(7, 2, "kworker/0:1", user=0),
    running(310, 1, "systemd-journald", user=0, unit="systemd-journald.service"),
    running(355, 1, "systemd-networkd", user=0, unit="systemd-networkd.service"),
    running(402, 1, "sshd", user=0, unit="ssh.service"),
    running(640, 1, "nginx", user=0, unit="nginx.service"),
    running(641, 640, "nginx", user=33, unit="nginx.service"),
    running(642, 640, "nginx", user=33, unit="nginx.service"),
    running(1200, 1, "systemd", unit="user@1000.service"),
    running(1300, 1200, "gnome-shell", unit="session-2.scope"),
    running(2101, 1300, "firefox", unit="app-firefox.scope", on=3),
    running(2160, 2101, "Web Content", unit="app-firefox.scope", on=3),
    running(2161, 2101, "Isolated Web Co", unit="app-firefox.scope", on=3),
    running(2400, 1300, "kitty", unit="app-kitty.scope"),
    running(2410, 2400, "bash", unit="app-kitty.scope"),
    running(2502, 2410, "rsync", unit="app-kitty.scope", on=5),
    running(2611, 2410, "ssh", unit="app-kitty.scope"),
    running(3001, 1, "backup.sh", user=0, unit="backup.service", on=6),
    running(3002, 3001, "restic", user=0, unit="backup.service", on=6),
    running(3300, 1, "ben's daemon", user=1001, unit="user@1001.service"),
]


def assignment(number: int, route: str, how: Any = "assign", owner: int = 1000, by: int = 1000) -> Assignment:
    members = [Process(p.pid, p.name, p.command) for p in PROCESSES if p.assignment == number]
    return Assignment(
        number,
        route,
        route.partition("~")[0],
        how,
        owner,
        by,
        f"/procroute.slice/{number}",
        since=NOW - 700,
        command=" ".join(members[0].command) if members else "",
        processes=members,
        options=Options(route.partition("~")[0], strict=route.endswith("~strict")),
    )


ASSIGNMENTS: Final = [
    assignment(3, "wan1"),
    assignment(5, "lte0~strict", "run"),
    assignment(6, "wan1", "unit", 0, 0),
]


def traffic(at: float, step: int = 1) -> protocol.Traffic:
    """Totals that grow, now faster and now slower. step: how often they have."""

    def grown(each: int) -> int:
        return sum(each * (40 + s * s * 37 % 61) // 100 for s in range(step))

    return protocol.Traffic(
        at=at,
        adapters=[
            Carried("wan1", received=grown(1_830_000), sent=grown(92_000)),
            Carried("lte0", received=grown(64_300), sent=grown(3_120_000)),
            Carried("wg0"),
        ],
        routes=[
            Carried("wan1", received=grown(1_820_000), sent=grown(91_000)),
            Carried("lte0~strict", dropped=12),
        ],
        assignments=[
            Carried(id=3, received=grown(1_250_000), sent=grown(48_000)),
            Carried(id=5, received=grown(64_000), sent=grown(3_100_000), dropped=12),
            Carried(id=6, received=grown(570_000), sent=grown(43_000)),
        ],
    )


def rule(
    line: int, conditions: dict[str, list[str]], *, file: str = "10-lines.toml", **more: Any
) -> RuleFacts:
    """Of the administrator, held, in use, by wan1."""
    facts: dict[str, Any] = {"owner": 0, "finds": "held", "via": "wan1", **more}
    folder = "/etc/procroute/rules.d" + (f"/users/{facts['owner']}" if facts["owner"] else "")
    return RuleFacts(f"{folder}/{file}:{line}", conditions=conditions, **facts)


RULES: Final = [
    rule(3, {"exe": ["/usr/bin/zoom", "/opt/zoom/zoom"]}, via="", comment="calls need the low latency"),
    rule(
        8, {"exe": ["/usr/lib/firefox/firefox"]}, strict=True, when_down="deny", comment="nothing beside it"
    ),
    rule(1, {"unit": ["backup.service"]}, file="50-backups.toml", via="lte0", finds="unit", existing="reset"),
    rule(7, {"user": ["ben"]}, file="50-backups.toml", unless={"name": ["ssh"]}, finds="news", enabled=False),
    rule(3, {"name": ["rsync*"]}, file="90-added.toml", owner=1000, finds="news", via="vpn", comment="cheap"),
]
RULE_NOTE: Final = f"{RULES[4].place}: there is no adapter vpn"


class FakeDaemon:
    """asked: the requests that came, in order. answers: by type of request, instead of the usual."""

    def __init__(
        self, processes: list[Running] | None = None, assignments: list[Assignment] | None = None
    ) -> None:
        self.processes = PROCESSES if processes is None else processes
        self.assignments = ASSIGNMENTS if assignments is None else assignments
        self.adapters = ADAPTERS
        self.rules = protocol.RuleList(rules=RULES, notes=[RULE_NOTE], held=3)
        self.asked: list[protocol.Request] = []
        self.answers: dict[type, Callable[[Any], Any]] = {}
        self.changes: list[protocol.Request] = []
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self.tell(self.watching())

    def watching(self) -> protocol.Watching:
        return protocol.Watching(assignments=self.assignments, processes=self.processes)

    def tell(self, *messages: protocol.Watching | protocol.Event | Gone) -> None:
        """Have it tell these, now or as soon as somebody listens."""
        for message in messages:
            self._queue.put_nowait(message)

    def lose(self) -> None:
        """It goes."""
        self.tell(Gone(ProcrouteError("daemon-lost", "procrouted has closed the connection", "see its log")))

    async def told(self) -> AsyncIterator[Any]:
        while True:
            yield await self._queue.get()

    async def ask(self, request: protocol.Request) -> Any:
        self.asked.append(request)
        if type(request) in self.answers:
            return self.answers[type(request)](request)
        if isinstance(request, protocol.Adapters):
            return protocol.AdapterList(adapters=self.adapters)
        if isinstance(request, protocol.Ps):
            counts = {3: Sockets(14, 2), 5: Sockets(1), 6: Sockets(4)}
            return protocol.Assignments(
                assignments=[
                    Assignment(
                        a.id, a.route, a.adapter, a.how, a.owner, a.by, a.cgroup, sockets=counts.get(a.id)
                    )
                    for a in self.assignments
                ]
            )
        if isinstance(request, protocol.Rules):
            return self.rules
        if isinstance(request, protocol.TryRules):
            why = [
                "exe is /usr/bin/rsync, not /usr/bin/zoom or /opt/zoom/zoom",
                "exe is /usr/bin/rsync",
                "no",
            ]
            earlier = [protocol.TriedRule(r, w) for r, w in zip(RULES, why, strict=False)]
            return protocol.Tried(rules=[*earlier, protocol.TriedRule(RULES[4])])
        if isinstance(request, protocol.MatchRule):
            return protocol.Matched(pids=[2502])
        if isinstance(request, protocol.Inspect):
            return self._inspected(request.pid)
        if isinstance(request, protocol.Explain):
            return protocol.Explained(
                subject=f"pid {request.pid}",
                families={
                    "ipv4": ["rule 4410: mark 3 → table 7301", "leaves by wan1 from 198.51.100.2"],
                    "ipv6": ["leaves by wan1 from 2001:db8:2::2"],
                },
                findings=[protocol.Finding("dns", "look-ups go to 198.51.100.52, through wan1")],
                caveats=[protocol.Finding("x", "two connections are older than the assignment")],
            )
        raise AssertionError(request)

    async def change(self, request: protocol.Request) -> Any:
        self.changes.append(request)
        if type(request) in self.answers:
            return self.answers[type(request)](request)
        if isinstance(request, protocol.Assign):
            return self._assigned(request)
        if isinstance(request, protocol.AddRule | protocol.EditRule):
            return self._edited(request)
        if isinstance(request, protocol.ApplyRules):
            return protocol.Applied(placed=2)
        if isinstance(request, protocol.Reload):
            return protocol.Reloaded(notes=["packet_marks holds for routes opened from now on"])
        assert isinstance(request, protocol.Release)
        gone = [a for a in self.assignments if a.id in request.ids]
        self.tell(*(protocol.Removed(at=NOW, assignment=a, why="released") for a in gone))
        return protocol.Released(assignments=gone, moved=protocol.Moved(remain=2))

    async def close(self) -> None:
        return

    def _edited(self, request: protocol.AddRule | protocol.EditRule) -> protocol.Edited:
        """As procrouted does it, and tells who watches."""
        rules = self.rules.rules
        if isinstance(request, protocol.AddRule):
            plain = msgspec.to_builtins(request.rule)
            via = plain.pop("via", "")
            given = {key: [plain[key]] for key in ("exe", "name", "user", "unit") if key in plain}
            made = rule(9, given, file=request.file or "90-added.toml", via=via, strict=plain.get("strict"))
            rules = [*rules, made]
        else:
            (made,) = (one for one in rules if one.place == request.rule)
            off = replace(made, enabled=request.edit == "enable")
            rules = [off if one is made else one for one in rules]
            rules = [one for one in rules if request.edit != "remove" or one.place != made.place]
        self.rules = replace(self.rules, rules=rules)
        self.tell(protocol.RulesChanged(at=NOW))
        return protocol.Edited(rule=made)

    def _assigned(self, request: protocol.Assign) -> protocol.Assigned:
        strict = "~strict" if request.route.strict else ""
        new = Assignment(
            90 + len(self.changes),
            request.route.via + strict,
            request.route.via,
            "assign",
            1000,
            1000,
            "/procroute.slice/new",
            processes=[Process(p.pid, p.name) for p in self.processes if p.pid in request.pids],
            options=Options(request.route.via, strict=request.route.strict),
        )
        self.assignments = [*self.assignments, new]
        self.tell(protocol.Added(at=NOW, assignment=new))
        return protocol.Assigned(assignments=[new], moved=protocol.Moved(follow=2, remain=1), dns="followed")

    def _inspected(self, pid: int) -> protocol.Inspected:
        process = next((p for p in self.processes if p.pid == pid), None)
        if process is None:
            raise ProcrouteError("process-unknown", f"there is no process {pid}", "ps(1) lists them")
        return protocol.Inspected(
            process=process,
            executable=process.command[0] if process.command else "",
            sockets=[
                protocol.Socket(
                    "tcp", "198.51.100.2:45678", "203.0.113.10:443", "established", "wan1", on_route=True
                ),
                protocol.Socket(
                    "tcp", "192.0.2.2:41000", "203.0.113.9:443", "established", "lte0", on_route=False
                ),
                protocol.Socket(
                    "udp", "[2001:db8:2::2]:50123", "[2001:db8::35]:443", "", "wan1", on_route=True
                ),
            ],
        )


def application(daemon: FakeDaemon, settings: Settings | None = None, place: Path | None = None) -> Tui:
    return Tui(daemon, user_name, settings or Settings(), place)
