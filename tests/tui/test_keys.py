"""Each key of the main screen, and what it shows or asks the daemon for."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace
from textual.widgets import Input

from procroute import protocol
from procroute.errors import ProcrouteError
from procroute.protocol import Wanted
from procroute_tui.app import Tui
from procroute_tui.launching import Launch
from procroute_tui.screens.help import KEYS
from procroute_tui.screens.rules import RulesScreen
from procroute_tui.widgets.rule_table import RuleTable
from procroute_tui.widgets.table import Table
from tests.tui.driving import Driver, driven
from tests.tui.fake_daemon import NOW, FakeDaemon, application, assignment, running, traffic


@pytest.mark.promise("VIEW-01")
@driven()
async def test_what_the_daemon_says_is_shown(on: Driver) -> None:
    on.daemon.tell(traffic(NOW, 1), traffic(NOW + 1, 2))
    await on.see("6 of 19 processes on a route", "wan1 up", "lte0 up", "wg0  down", "12 dropped")
    assert "lte0~strict" in on.line("rsync")
    await on.until(lambda: "kB" in on.line("firefox"))
    assert "–" in on.line("nginx")
    assert "198.51.100.2→198.51.100.102" in on.screen()


@pytest.mark.promise("VIEW-01")
@driven()
async def test_events_are_shown_as_they_come(on: Driver) -> None:
    on.daemon.tell(protocol.Processes(at=NOW, now=[running(9000, 1, "newcomer", on=3)], gone=[2502]))
    await on.see("newcomer", "6 of 19")
    assert "rsync" not in on.screen()
    on.daemon.tell(protocol.Added(at=NOW, assignment=assignment(3, "lte0")))
    await on.until(lambda: "lte0" in on.line("firefox"))


@pytest.mark.promise("VIEW-02")
@driven()
async def test_t_goes_through_the_views(on: Driver) -> None:
    await on.press("t")
    await on.see("· tree ·", "└─ ")
    await on.press("t")
    await on.see("· by unit ·", "▾ app-firefox.scope (3)")
    await on.press("left")
    await on.see("▸ app-firefox.scope (3)")
    await on.press("right", "t")
    await on.see("· list ·")


@pytest.mark.promise("VIEW-03")
@driven()
async def test_slash_filters_as_one_types(on: Driver) -> None:
    await on.press("slash", *"ngi")
    await on.see("filter “ngi”: 3")
    assert "firefox" not in on.screen()
    await on.press("down", "enter", "m")
    assert on.app.table.marked == {641}
    await on.press("escape")
    await on.see("firefox")
    assert not on.app.filter_bar.display


@pytest.mark.promise("VIEW-03")
@driven()
async def test_sorting_by_keys(on: Driver) -> None:
    await on.press("greater_than_sign")
    await on.see("by sockets▼")
    await on.press("less_than_sign", "less_than_sign")
    await on.see("by user▲")
    await on.press("i")
    await on.see("by user▼", "USER▼")
    assert "www-data" in on.line("nginx")


@driven()
async def test_o_shows_the_routed_only_and_k_kernel_threads(on: Driver) -> None:
    await on.press("o")
    await on.see("routed only")
    assert len(on.app.listing.rows) == 6
    await on.press("o", "K")
    await on.see("of 21 processes")


@driven(160, 40)
async def test_c_chooses_columns(on: Driver) -> None:
    await on.press("c")
    await on.see("[x] 1  USER", "[x] 8  COMMAND")
    await on.press("space", "8", "enter")
    await on.until(lambda: "USER" not in on.screen() and "UNIT" in on.screen())
    assert "COMMAND" not in on.screen()
    await on.press("c")
    await on.see("[ ] 1  USER")
    await on.press("0", "enter")
    await on.see("USER", "COMMAND")


@driven(160, 48)
async def test_enter_opens_details(on: Driver) -> None:
    await on.press("down", "down", "enter")
    await on.see(
        "firefox · 2101", "assign, by ada", "sockets (3)", "not on the route: older", "look-ups go to"
    )
    assert [type(r) for r in on.daemon.asked].count(protocol.Inspect) == 1
    on.daemon.tell(
        protocol.Left(
            at=NOW, assignment=assignment(3, "wan1"), process=protocol.Process(2160), cgroup="/else"
        )
    )
    await on.see("happened", "(pid 2160) left")
    await on.press("down")
    await on.see("Isolated Web Co · 2161")
    on.daemon.tell(protocol.Processes(at=NOW, gone=[2161]))
    await on.until(lambda: "2161" not in on.screen())
    await on.press("d")
    await on.until(lambda: "how its packets go" not in on.screen())


@driven()
async def test_details_that_are_not_for_the_asker_say_so(on: Driver) -> None:
    def refuse(request: object) -> None:
        raise ProcrouteError("not-permitted", "this process is not yours", "ask root")

    on.daemon.answers[protocol.Inspect] = refuse
    await on.pilot.resize_terminal(80, 60)
    await on.press("enter")
    await on.see("this process is not yours (ask root)")


@pytest.mark.promise("VIEW-04")
@driven()
async def test_a_and_enter_assign_what_is_chosen(on: Driver) -> None:
    await on.press("slash", *"bash", "enter", "a")
    await on.see("bash (pid 2410) is to leave by")
    await on.press("enter")
    await on.see("%91 is on wan1: bash (pid 2410)", "2 follow, 1 go on as they are", "look-ups: followed")
    assert on.daemon.changes == [protocol.Assign(route=Wanted("wan1"), pids=[2410])]
    await on.until(lambda: "wan1" in on.line("  2410 "))


@pytest.mark.promise("VIEW-04")
@driven()
async def test_options_of_an_assignment(on: Driver) -> None:
    await on.press("space", "space", "a")
    await on.see("2 processes are to leave by")
    await on.press("d")
    await on.see("[x] d  while it is down the machine's own way")
    await on.press("d", "s", "t", "x", "v")
    await on.see(
        "[ ] d  while it is down",
        "[x] s  strict",
        "[x] t  whole tree",
        "[x] x  end open",
        "[x] v  UDP servers",
    )
    await on.press("down", "enter")
    await on.until(lambda: on.daemon.changes)
    (asked,) = on.daemon.changes
    assert isinstance(asked, protocol.Assign)
    assert (asked.pids, asked.tree, asked.existing, asked.servers) == ([2502, 3001], True, "reset", True)
    assert asked.route == Wanted("lte0", strict=True)
    await on.until(lambda: not on.app.table.marked)


@pytest.mark.promise("VIEW-04")
@driven()
async def test_r_releases_after_a_question_and_u_takes_it_back(on: Driver) -> None:
    await on.press("r")
    await on.see("go back to the machine's own way", "%5 on lte0~strict, 1 process ")
    await on.press("x", "enter")
    await on.see("%5 has left lte0~strict")
    assert on.daemon.changes == [protocol.Release(ids=[5], existing="reset")]
    await on.press("u")
    await on.until(lambda: len(on.daemon.changes) == 2)
    assert on.daemon.changes[1] == protocol.Assign(route=Wanted("lte0", strict=True), pids=[2502])
    await on.see("undo: release from lte0~strict")
    await on.press("u")
    await on.until(lambda: len(on.daemon.changes) == 3)
    assert isinstance(on.daemon.changes[2], protocol.Release)


@pytest.mark.promise("VIEW-04")
@driven()
async def test_u_takes_back_what_is_only_being_done(on: Driver) -> None:
    """The daemon has done it, and its answer is still to come; what is not undone waits for no change."""
    change, answered = on.daemon.change, asyncio.Event()

    async def slow(request: protocol.Request) -> object:
        reply = await change(request)
        await answered.wait()
        return reply

    on.daemon.change = slow  # type: ignore[method-assign]
    await on.press("r")
    await on.press("enter")
    await on.until(lambda: len(on.daemon.changes) == 1)
    await on.press("u")
    await on.press("a")
    await on.see("still ")
    assert len(on.daemon.changes) == 1
    answered.set()
    await on.see("undo: release from lte0~strict")
    await on.until(lambda: len(on.daemon.changes) == 2)
    assert on.daemon.changes[1] == protocol.Assign(route=Wanted("lte0", strict=True), pids=[2502])


@pytest.mark.promise("VIEW-04")
@driven()
async def test_escape_changes_nothing(on: Driver) -> None:
    for key in ("a", "r", "l", "c", "question_mark"):
        await on.press(key)
        assert len(on.app.screen_stack) == 2
        await on.press("escape")
        assert len(on.app.screen_stack) == 1
    assert on.daemon.changes == []


@pytest.mark.promise("VIEW-09")
@driven()
async def test_what_is_refused_is_told_with_its_hint(on: Driver) -> None:
    def refuse(request: object) -> None:
        raise ProcrouteError("not-permitted", "pid 3001 [bold]is not yours[/]", "sudo procroute assign 3001")

    on.daemon.answers[protocol.Assign] = refuse
    await on.press("a", "enter")
    await on.see("not done", "pid 3001 [bold]is not yours[/]", "hint: sudo procroute assign 3001")


@driven()
async def test_what_cannot_be_done_is_said(on: Driver) -> None:
    await on.press("end", "r")
    await on.see("what is chosen is on no route")
    await on.press("u")
    await on.see("there is nothing to undo")


@driven()
async def test_l_launches_a_command(on: Driver) -> None:
    launched: list[Launch] = []

    async def background(launch: Launch, folder: object) -> str:
        launched.append(launch)
        return "/the/output.log"

    from procroute_tui import launching

    before, launching.in_background = launching.in_background, background  # type: ignore[assignment]
    try:
        await on.press("l", *"echo 'a b", "enter")
        await on.see("no closing quotation")
        await on.press("'", "down", "ctrl+s", "ctrl+o", "enter")
        await on.see("echo 'a b' runs on lte0", "/the/output.log")
    finally:
        launching.in_background = before
    (launch,) = launched
    assert launch.words()[1:] == [
        *("-m", "procroute", "run", "--via", "lte0", "--strict", "--on-down", "main", "--"),
        *("echo", "a b"),
    ]


@driven(100, 80)
async def test_help_names_every_key(on: Driver) -> None:
    await on.press("question_mark")
    await on.see("release their assignments", "columns", "the guard has dropped", "signs")
    told = " ".join(key for _, keys in KEYS for key, _ in keys)
    signs = {
        "less_than_sign": "<", "greater_than_sign": ">", "slash": "/", "question_mark": "?", "space": "Space",
        "enter": "Enter", "escape": "Esc", "left": "←", "right": "→", "up": "↑", "down": "↓",
        "delete": "Del", "pageup": "PgUp", "pagedown": "PgDn", "home": "Home", "end": "End",
    }  # fmt: skip
    page = told + " ".join(text for _, keys in KEYS for _, text in keys)
    for binding in (*Tui.BINDINGS, *Table.BINDINGS, *RulesScreen.BINDINGS, *RuleTable.BINDINGS):
        for key in binding.key.split(","):  # type: ignore[union-attr]
            assert signs.get(key, key) in page, key


@driven()
async def test_q_quits(on: Driver) -> None:
    await on.press("q")
    await on.until(lambda: not on.app.is_running)


@pytest.mark.promise("VIEW-04")
@pytest.mark.parametrize("again", [False, True])
def test_what_is_being_changed_is_first_when_one_quits(again: bool) -> None:
    @driven()
    async def test(on: Driver) -> None:
        answers = asyncio.Event()
        change = on.daemon.change

        async def late(request: protocol.Request) -> object:
            await answers.wait()
            return await change(request)

        on.daemon.change = late  # type: ignore[method-assign]
        await on.burst("r", "enter", "q")
        await on.see("quits right after; q again: at once")
        if again:
            await on.burst("q")
        else:
            await on.pilot.pause(0.2)
            assert on.app.is_running
            answers.set()
        await on.until(lambda: not on.app.is_running, "the end")
        assert len(on.daemon.changes) == (not again)

    test()


@pytest.mark.promise("VIEW-08")
@driven()
async def test_a_daemon_that_goes_and_comes_back(on: Driver) -> None:
    bright = on.app.table._style("name", here=False)
    on.daemon.lose()
    await on.see(
        "! procrouted has closed the connection; trying again", "What you see is what was", "see its log"
    )
    assert "firefox" in on.screen()
    assert on.app.table._style("name", here=False) != bright
    on.daemon.processes = [running(1, 0, "init"), running(77, 1, "afterwards")]
    on.daemon.assignments = []
    on.daemon.tell(on.daemon.watching())
    await on.see("afterwards", "0 of 2 processes")
    assert "trying again" not in on.screen()
    assert on.app.table._style("name", here=False) == bright


@pytest.mark.promise("VIEW-07")
@driven(160, 48)
async def test_a_strange_name_is_not_markup_and_steers_nothing(on: Driver) -> None:
    name = "[red]x[/]\x1b[2J\n"
    on.daemon.tell(protocol.Processes(at=NOW, now=[running(9, 1, name, unit=name, on=3)]))
    await on.see("[red]x[/]?[2J?")
    await on.press("slash", *"red", "enter", "enter")
    await on.see("[red]x[/]?[2J? · 9")
    await on.press("a")
    await on.see("[red]x[/]?[2J? (pid 9) is to leave by")
    assert "\x1b" not in on.screen()


@pytest.mark.promise("VIEW-01")
@driven(120, 30)
async def test_adapters_are_asked_for_when_they_have_changed_and_not_before(on: Driver) -> None:
    daemon = on.daemon
    await on.see("wan1")
    await on.pilot.pause(0.1)
    asked = sum(isinstance(request, protocol.Adapters) for request in daemon.asked)
    await on.pilot.pause(0.5)
    assert sum(isinstance(request, protocol.Adapters) for request in daemon.asked) == asked
    daemon.adapters = [replace(daemon.adapters[0], name="sat0"), *daemon.adapters[1:]]
    daemon.tell(protocol.AdaptersChanged(at=NOW))
    await on.see("sat0")


@pytest.mark.promise("VIEW-04")
@driven()
async def test_keys_that_are_typed_ahead_are_for_the_dialog(on: Driver) -> None:
    await on.burst("down", "a", "s", "enter")
    await on.until(lambda: on.daemon.changes, "the change")
    assert on.daemon.changes == [protocol.Assign(route=Wanted("lte0", strict=True), pids=[3001])]
    assert on.app.listing.shape.view == "list"
    assert not on.app.pane.has_class("shown")
    await on.burst("l", "trq /")
    await on.until(lambda: on.app.screen.query(Input))
    await on.until(lambda: on.app.screen.query_one(Input).value == "trq /")


@pytest.mark.promise("VIEW-03")
@driven()
async def test_letters_that_are_typed_ahead_are_for_the_filter(on: Driver) -> None:
    await on.burst("slash", "ngqtr", "enter", "t", "down")
    await on.see("filter “ngqtr”: 0", "· tree ·")
    assert not on.daemon.changes


@pytest.mark.promise("VIEW-03", "VIEW-04")
@driven()
async def test_what_is_typed_ahead_after_a_filter_is_for_the_rows_that_it_leaves(on: Driver) -> None:
    await on.burst("slash", "ngi", "down", "enter", "a", "enter")
    await on.until(lambda: on.daemon.changes, "the change")
    assert on.daemon.changes == [protocol.Assign(route=Wanted("wan1"), pids=[641])]


@pytest.mark.promise("VIEW-03")
@driven()
async def test_a_filter_that_leaves_nothing_says_so(on: Driver) -> None:
    await on.press("slash", *"zzz", "enter")
    await on.see("nothing is like that: cmd:WORD looks in command lines, Esc ends the filter")
    await on.press("escape")
    await on.see("firefox")


@driven()
async def test_the_palette_has_what_keys_do(on: Driver) -> None:
    await on.press("ctrl+p")
    await on.see("Search for commands")
    await on.press(*"Launch")
    await on.see("key: l")
    await on.until(lambda: on.app.screen.query("OptionList").first().option_count, "a command")  # type: ignore[attr-defined]
    await on.press("enter")
    await on.see("command and its words")


@pytest.mark.promise("VIEW-03")
def test_letters_are_for_the_filter_also_before_the_first_picture() -> None:
    async def run() -> None:
        daemon = FakeDaemon()
        app = application(daemon)
        async with app.run_test(size=(80, 24)) as pilot:
            on = Driver(app, daemon, pilot)
            await on.burst("slash", "ngi", "enter", "t")
            await on.see("filter “ngi”: 3", "· tree ·")

    asyncio.run(run())


@pytest.mark.promise("VIEW-04")
@pytest.mark.parametrize("twice", ["enter", "escape"])
@pytest.mark.parametrize("key", ["a", "r", "c", "l", "question_mark"])
def test_a_dialog_is_answered_once_however_often_one_types(key: str, twice: str) -> None:
    @driven()
    async def test(on: Driver) -> None:
        await on.burst(key)
        if key == "l":
            await on.burst("true")
        await on.burst(twice, twice, twice)
        await on.until(lambda: len(on.app.screen_stack) == 1, "the end of the dialog")
        await on.pilot.pause(0.1)
        assert on.app.is_running
        assert len(on.daemon.changes) == (key in "ar" and twice == "enter")

    test()


@pytest.mark.promise("VIEW-04")
@driven()
async def test_what_is_typed_ahead_edits_in_its_order(on: Driver) -> None:
    launched: list[Launch] = []

    async def background(launch: Launch, folder: object) -> str:
        launched.append(launch)
        return "/the/output.log"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("procroute_tui.launching.in_background", background)
        await on.burst("l", "ecxx", "backspace", "backspace", "ho a", "home", "./", "enter", "t")
        await on.until(lambda: launched, "the launch")
    assert launched[0].command == ("./echo", "a")
    await on.see("· tree ·")
    await on.burst("c", "space", "down", "space", "enter")
    await on.until(lambda: "USER" not in on.screen(), "columns without USER")
    await on.burst("slash", "nxg", "left", "backspace", "end", "i", "enter")
    await on.see("filter “ngi”: 3")


@pytest.mark.promise("VIEW-16")
@driven()
async def test_news_while_it_ends_ask_for_nothing(on: Driver) -> None:
    """What is left for after the first picture comes too late then, and is let be."""
    await on.press("q")
    await on.until(lambda: not on.app.pane.is_attached)
    await on.app.complete()
