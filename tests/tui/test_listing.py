"""Which rows there are, and in which order: after any change the same as from the beginning."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from procroute import protocol
from procroute.protocol import Running
from procroute_tui.model.cells import cells
from procroute_tui.model.columns import ALWAYS, BY_KEY, COLUMNS, GAP, layout
from procroute_tui.model.listing import VIEWS, Listing, Shape
from procroute_tui.model.machine import Machine
from tests.tui.fake_daemon import ASSIGNMENTS, NOW, PROCESSES, running, traffic, user_name


def listing(processes: list[Running] = PROCESSES, shape: Shape | None = None) -> Listing:
    machine = Machine()
    made = Listing(machine, user_name)
    if shape is not None:
        made.reshape(shape)
    made.take(machine.take(protocol.Watching(assignments=ASSIGNMENTS, processes=processes)))
    return made


def drawn(of: Listing) -> list[str]:
    names = {p.pid: p.name for p in of.machine.processes.values()}
    return [of.guide(key) + (key if isinstance(key, str) else names[key]) for key in of.rows]


@pytest.mark.promise("VIEW-02")
def test_list_has_the_routed_first() -> None:
    rows = listing().rows
    assert rows[:6] == [2502, 3001, 2101, 2161, 3002, 2160]
    assert len(rows) == len(PROCESSES) - 2  # the kernel's threads are left out
    assert listing(shape=Shape(threads=True)).rows[-1] in {p.pid for p in PROCESSES}
    assert len(listing(shape=Shape(threads=True)).rows) == len(PROCESSES)


@pytest.mark.promise("VIEW-02")
def test_tree_shows_who_descends_from_whom() -> None:
    tree = listing(shape=Shape("tree", "pid", filter="kitty"))
    assert drawn(tree) == [
        "systemd",
        "└─ systemd",
        "   └─ gnome-shell",
        "      └─ kitty",
        "         └─ bash",
        "            ├─ rsync",
        "            └─ ssh",
    ]
    assert [tree.matches(key) for key in tree.rows[:3]] == [False] * 3
    assert {2400, 2410, 2502, 2611} <= set(tree.rows)


@pytest.mark.promise("VIEW-02")
def test_units_are_followed_by_their_processes() -> None:
    rows = listing(shape=Shape("unit", routed=True)).rows
    assert rows == [
        "app-firefox.scope",
        2101,
        2161,
        2160,
        "app-kitty.scope",
        2502,
        "backup.service",
        3001,
        3002,
    ]


@pytest.mark.promise("VIEW-02")
def test_what_is_folded_is_not_shown() -> None:
    tree = listing(shape=Shape("tree", "pid"))
    tree.fold(1300, folded=True)
    assert 1300 in tree.rows
    assert not {2101, 2400, 2410, 2502} & set(tree.rows)
    tree.fold(1300, folded=False)
    assert 2502 in tree.rows
    units = listing(shape=Shape("unit", routed=True))
    units.fold("backup.service", folded=True)
    assert units.rows[-1] == "backup.service"


@pytest.mark.promise("VIEW-03")
@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("FIRE", {"firefox", "Web Content", "Isolated Web Co"}),  # by its unit
        ("www-data", {"nginx"}),
        ("lte0", {"rsync"}),
        ("wan1 root", {"backup.sh", "restic"}),
        ("2502", {"rsync"}),
        ("nothing of that", set()),
        ("cmd:/BIN/ssh", {"ssh", "sshd"}),
        ("cmd:option wan1 cmd:bin/res", {"restic"}),
        ("cmd: nginx", {"nginx"}),
        ("/usr/bin", set()),
    ],
)
def test_a_filter_looks_at_name_user_unit_route_adapter_and_pid(typed: str, names: set[str]) -> None:
    for view in VIEWS:
        found = listing(shape=Shape(view, filter=typed))
        shown = {
            found.machine.processes[k].name for k in found.rows if isinstance(k, int) and found.matches(k)
        }
        assert shown == names


@pytest.mark.promise("VIEW-03")
@given(
    typed=st.text("cmd: nwa1/3", max_size=12),
    shape=st.sampled_from(VIEWS).map(Shape),
    back=st.integers(0, 12),
)
def test_letter_by_letter_a_filter_finds_the_same_as_at_once(typed: str, shape: Shape, back: int) -> None:
    slow = listing(shape=shape)
    for end in [*range(1, len(typed) + 1), max(len(typed) - back, 0)]:
        slow.reshape(replace(shape, filter=typed[:end]))
        assert slow.rows == listing(shape=replace(shape, filter=typed[:end])).rows


@pytest.mark.promise("VIEW-03")
@pytest.mark.parametrize("column", BY_KEY)
def test_every_column_sorts_with_blanks_last(column: str) -> None:
    made = listing()
    made.take(made.machine.take(traffic(NOW, 1)))
    made.take(made.machine.take(traffic(NOW + 1, 2)))
    value = BY_KEY[column].value
    for descending in (False, True):
        made.reshape(Shape("list", column, descending))
        found = [value(made.facts, made.machine.processes[key]) for key in made.rows if isinstance(key, int)]
        there = [v for v in found if v is not None]
        assert found[: len(there)] == there
        assert there == sorted(there, reverse=descending)


def test_a_row_that_carries_more_moves_up() -> None:
    made = listing(shape=Shape("list", "in", descending=True))
    made.take(made.machine.take(traffic(NOW, 1)))
    assert made.take(made.machine.take(traffic(NOW + 1, 2)))
    assert made.rows[:3] == [2101, 3001, 2502]


pids = st.integers(3, 12)
processes = st.builds(
    lambda pid, began, parent, name, unit, on: running(
        pid, parent % pid, name, unit=unit, on=on, user=began
    ),
    pids, st.integers(0, 2), st.integers(0, 12), st.sampled_from(["a", "b", "kw"]),
    st.sampled_from(["", "a.service", "x.scope"]), st.sampled_from([0, 3, 5, 6]),
)  # fmt: skip
events = st.one_of(
    st.builds(
        lambda now, gone: protocol.Processes(at=NOW, now=now, gone=gone),
        st.lists(processes, max_size=3),
        st.lists(pids, max_size=2),
    ),
    st.sampled_from(ASSIGNMENTS).map(lambda a: protocol.Added(at=NOW, assignment=replace(a, processes=[]))),
    st.sampled_from(ASSIGNMENTS).map(lambda a: protocol.Removed(at=NOW, assignment=a, why="ended")),
    st.integers(1, 9).map(lambda n: traffic(NOW + n, n)),
)
shapes = st.builds(
    Shape,
    st.sampled_from(VIEWS),
    st.sampled_from(list(BY_KEY)),
    st.booleans(),
    st.sampled_from(["", "", "a", "wan1"]),
    st.booleans(),
    st.booleans(),
)


@pytest.mark.promise("VIEW-02")
@given(shape=shapes, happened=st.lists(events, max_size=8))
def test_after_any_events_the_rows_are_as_if_begun_anew(shape: Shape, happened: list[protocol.Event]) -> None:
    made = listing([], shape)
    for event in happened:
        before = list(made.rows)
        different = made.take(made.machine.take(event))
        assert different or made.rows == before
    anew = Listing(made.machine, user_name)
    anew.reshape(Shape("unit" if shape.view == "list" else "list"))
    anew.reshape(shape)
    assert set(made.rows) == set(anew.rows)
    for column in (
        "in",
        "out",
        "drops",
        "sockets",
    ):  # sorted by these it may lag behind until the next totals
        if shape.sort == column:
            return
    assert made.rows == anew.rows
    assert [made.guide(key) for key in made.rows] == [anew.guide(key) for key in anew.rows]


def test_a_tree_without_its_parents_is_whole() -> None:
    orphans = [running(20, 10, "a"), running(30, 20, "b"), running(40, 99, "c")]
    assert drawn(listing(orphans, Shape("tree", "pid"))) == ["a", "└─ b", "c"]


@pytest.mark.promise("VIEW-06")
@pytest.mark.parametrize("room", [40, 77, 90, 120, 157, 237])
@pytest.mark.parametrize("tree", [False, True])
def test_columns_fit_the_width_the_least_important_go_first(room: int, tree: bool) -> None:
    found = layout(room, tree=tree)
    assert sum(width for _, width in found) + GAP * (len(found) - 1) == room
    shown = {column.key for column, _ in found}
    assert shown >= ALWAYS
    left_out = [column for column in COLUMNS if column.key not in shown]
    for kept, gone in itertools.product((c for c, _ in found if c.key not in ALWAYS), left_out):
        assert kept.weight < gone.weight


@pytest.mark.promise("VIEW-07")
@pytest.mark.parametrize("view", VIEWS)
def test_nothing_that_a_process_chose_can_steer_a_terminal(view: str) -> None:
    evil = "a\n\x1b[31mred\x1b]0;title\x07\u202ebidi\x9b2J"
    process = Running(5, 50, 1, 1000, evil, [evil, evil], f"/{evil}", evil, 3)
    made = listing([process], Shape(view))  # type: ignore[arg-type]
    made.machine.assignments[3] = replace(ASSIGNMENTS[0], route=evil, adapter=evil)
    for key in made.rows:
        for text, _ in cells(made, key, COLUMNS):
            assert text.isprintable(), text


@pytest.mark.promise("VIEW-05")
def test_five_thousand_processes_are_no_trouble() -> None:
    """Processor time, of which a slow machine takes more but not ten times as much."""
    many = [running(n, n // 3, f"n{n % 97}", unit=f"u{n % 40}", on=3 * (n % 50 == 0)) for n in range(3, 5003)]
    for view in VIEWS:
        made = listing(many, Shape(view))
        assert len(made.rows) >= 5000
        took = []
        for n in range(10):
            began = time.process_time()
            event = protocol.Processes(at=NOW, now=[running(6000 + n, 4, "new")], gone=[5999 + n])
            made.take(made.machine.take(event))
            assert 6000 + n in made.rows
            took.append(time.process_time() - began)
        assert sorted(took)[5] < 0.025
