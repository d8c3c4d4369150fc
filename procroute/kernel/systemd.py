"""What is asked of a systemd manager over D-Bus: slices and scopes (org.freedesktop.systemd1(5)).

Each call is a short connection of its own, and bounded in time. To be imported only where there is systemd:
that takes long.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from procroute.errors import ProcrouteError
from procroute.kernel.faults import passed

SYSTEM_BUS: Final = "unix:path=/run/dbus/system_bus_socket"
_NAME: Final = "org.freedesktop.systemd1"
_MANAGER: Final = "org.freedesktop.systemd1.Manager"
_UNIT: Final = "org.freedesktop.systemd1.Unit"
_TOP: Final = "/org/freedesktop/systemd1"
_GONE: Final = frozenset({"org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.DBus.Error.UnknownObject"})
_EXISTS: Final = "org.freedesktop.systemd1.UnitExists"
_AWAY: Final = frozenset(
    f"org.freedesktop.DBus.Error.{name}"
    for name in ("NoReply", "NameHasNoOwner", "ServiceUnknown", "Disconnected")
)
"""What the bus says for a manager that is not on it, as while it is reexecuted."""
_PAUSE: Final = 0.02
_SOON: Final = 0.002
_SECONDS: Final = 10.0
"""So long may a call or a job take. A manager that is reexecuted answers within one second."""

_START_SECONDS: Final = 4.0
"""So long it is waited for units that are amid a start in a slice that is taken away."""

_T = TypeVar("_T")


class RefusedError(ProcrouteError):
    """A manager said no. name: the D-Bus name of the error."""

    def __init__(self, name: str, text: str, what: str) -> None:
        super().__init__("systemd-refused", f"systemd refused to {what}: {text or name}")
        self.name = name


class Manager:
    """A systemd manager, behind the bus at this address."""

    def __init__(self, address: str = SYSTEM_BUS) -> None:
        self._address = address

    def start_slice(self, name: str) -> str:
        """Start a slice, which may be active already; its cgroup, from the root that systemd itself sees.

        Not as a transient unit: after a daemon-reload systemd remembers the file of one that is gone, and
        then takes the slice, which needs none, for missing (seen on 252 and 257).

        Raises ProcrouteError systemd-refused or systemd-silent.
        """

        async def work(bus: _Bus) -> str:
            await bus.job("StartUnit", "ss", [name, "replace"])
            return await bus.control_group(name, "Slice")

        return self._do(work, f"start {name}")

    def start_scope(self, name: str, slice_: str, pid: int, description: str, ends_with: str = "") -> str:
        """Make a scope of one process in a slice; its cgroup, from the root that systemd itself sees.

        pid: it is in the scope when this returns. ends_with: a unit with which it is stopped.
        Raises ProcrouteError systemd-refused or systemd-silent.
        """

        asked = False

        async def work(bus: _Bus) -> str:
            nonlocal asked
            properties = [
                ("Description", "s", description),
                ("Slice", "s", slice_),
                ("PIDs", "au", [pid]),
                ("CollectMode", "s", "inactive-or-failed"),
                *([("BindsTo", "as", [ends_with])] if ends_with else []),
            ]
            again, asked = asked, True
            try:
                await bus.job("StartTransientUnit", "ssa(sv)a(sa(sv))", [name, "fail", properties, []])
            except RefusedError as e:
                if not again or e.name != _EXISTS:
                    raise
                # It was made before the manager went away, which then could not say so.
                await bus.job("StartUnit", "ss", [name, "fail"])
            return await bus.control_group(name, "Scope")

        return self._do(work, f"start {name}")

    def stop(self, name: str) -> None:
        """Stop a unit; one that is gone is fine. Raises ProcrouteError systemd-refused or systemd-silent."""

        async def work(bus: _Bus) -> None:
            with _gone_is_fine():
                await bus.job("StopUnit", "ss", [name, "fail"])

        self._do(work, f"stop {name}")

    def stop_slice(self, name: str) -> bool:
        """Stop a slice, unless units are active in it, which would be stopped with it; whether it is gone.

        Raises ProcrouteError systemd-refused or systemd-silent.
        """

        async def work(bus: _Bus) -> bool:
            with _gone_is_fine():
                if any([await bus.active(unit) for unit in await bus.requiring(name)]):
                    return False
                await bus.job("StopUnit", "ss", [name, "fail"])
            return True

        return self._do(work, f"stop {name}")

    def end_starts(self, slice_: str, anchor: str) -> None:
        """Kill a slice's anchor that has been started, and wait until the manager knows: from then on a unit
        that requires it waits for another. Then wait, for a while, for units in the slice amid a start.

        No stop of the anchor: that would be one of all that require it.

        Raises ProcrouteError systemd-refused or systemd-silent.
        """

        async def work(bus: _Bus) -> None:
            if await bus.state(anchor) == "active":
                with _gone_is_fine():
                    await bus.call(_TOP, _MANAGER, "KillUnit", "ssi", [anchor, "all", signal.SIGKILL])
            until = time.monotonic() + _START_SECONDS
            while (state := await bus.state(anchor)) == "active" or time.monotonic() < until:
                waits = state == "activating"  # and each start that is asked for waits for it
                others = {*await bus.requiring(slice_)} - {anchor}
                if state != "active" and not any([await bus.starts(one, waits=waits) for one in others]):
                    break
                await asyncio.sleep(_SOON)

        self._do(work, f"kill {anchor}")

    def _do(self, work: Callable[[_Bus], Awaitable[_T]], what: str) -> _T:
        async def connected() -> _T:
            async with _connect(self._address, what) as bus:
                return await work(bus)

        async def answered() -> _T:
            async with asyncio.timeout(_SECONDS):
                while True:
                    try:
                        return await connected()
                    except RefusedError as e:
                        if e.name not in _AWAY:
                            raise
                    await asyncio.sleep(_PAUSE)

        try:
            return passed("systemd", what, lambda: asyncio.run(answered()))
        except TimeoutError as e:
            raise ProcrouteError(
                "systemd-silent", f"systemd did not {what} within {_SECONDS:.0f} s", "see systemctl list-jobs"
            ) from e
        except (OSError, EOFError) as e:
            raise ProcrouteError(
                "systemd-silent",
                f"systemd cannot be asked to {what}: no D-Bus at {self._address} ({e})",
                "is dbus.service running?",
            ) from e


class _Bus:
    """An open connection. what: what it is for, as words for people."""

    def __init__(self, bus: MessageBus, what: str) -> None:
        self._bus = bus
        self._what = what
        self._ended: dict[str, str] = {}
        self._news = asyncio.Event()
        bus.add_message_handler(self._hear)

    def _hear(self, message: Any) -> None:
        if message.member == "JobRemoved":
            self._ended[message.body[1]] = message.body[3]
            self._news.set()

    async def call(self, path: str, interface: str, member: str, signature: str = "", body: Any = ()) -> Any:
        """Call a method of the manager; its reply's values. Raises RefusedError."""
        return await self._call(_NAME, path, interface, member, signature, body)

    async def _call(self, to: str, path: str, interface: str, member: str, signature: str, body: Any) -> Any:
        message = Message(
            destination=to,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        reply = await self._bus.call(message)
        assert reply is not None
        if reply.message_type is MessageType.ERROR:
            text = str(reply.body[0]) if reply.body else ""
            raise RefusedError(reply.error_name or "", text, self._what)
        return reply.body

    async def listen(self) -> None:
        """Have the ends of jobs told; the match stands before any job is asked for."""
        match = f"type='signal',sender='{_NAME}',interface='{_MANAGER}',member='JobRemoved'"
        bus = "org.freedesktop.DBus"
        await self._call(bus, "/org/freedesktop/DBus", bus, "AddMatch", "s", [match])
        await self.call(_TOP, _MANAGER, "Subscribe")

    async def job(self, member: str, signature: str, body: Sequence[Any]) -> None:
        """Ask for a job and wait for its end. Raises RefusedError, also when the job was not done."""
        (path,) = await self.call(_TOP, _MANAGER, member, signature, _with_variants(body))
        while path not in self._ended:
            self._news.clear()
            await self._news.wait()
        if (result := self._ended[path]) != "done":
            raise RefusedError(result, f"the job ended as {result}", self._what)

    async def control_group(self, unit: str, kind: str) -> str:
        """The cgroup of an active unit."""
        (path,) = await self.call(_TOP, _MANAGER, "GetUnit", "s", [unit])
        return str(await self._get(path, f"{_NAME}.{kind}", "ControlGroup"))

    async def requiring(self, unit: str) -> list[str]:
        """The units that would be stopped with one: those in a slice require it (systemd.slice(5))."""
        (path,) = await self.call(_TOP, _MANAGER, "GetUnit", "s", [unit])
        return list(await self._get(path, _UNIT, "RequiredBy"))

    async def active(self, unit: str) -> bool:
        """Whether a unit is there, and neither inactive nor failed."""
        return await self.state(unit) not in ("inactive", "failed")

    async def state(self, unit: str) -> str:
        """As systemd calls it; of one that is not there: inactive."""
        with _gone_is_fine():
            (path,) = await self.call(_TOP, _MANAGER, "GetUnit", "s", [unit])
            return str(await self._get(path, _UNIT, "ActiveState"))
        return "inactive"

    async def starts(self, unit: str, *, waits: bool) -> bool:
        """Whether a unit is amid a start or stop, or about to be. waits: what is only asked for does."""
        with _gone_is_fine():
            (path,) = await self.call(_TOP, _MANAGER, "GetUnit", "s", [unit])
            state, more, (job, _) = [
                await self._get(path, _UNIT, name) for name in ("ActiveState", "SubState", "Job")
            ]
            amid = state.endswith("ing") and not more.startswith("auto-restart")
            return amid or (job != 0 and not waits)
        return False

    async def _get(self, path: str, interface: str, name: str) -> Any:
        properties = "org.freedesktop.DBus.Properties"
        (value,) = await self.call(path, properties, "Get", "ss", [interface, name])
        return value.value


def _with_variants(body: Sequence[Any]) -> list[Any]:
    """Properties, which are given as (name, type, value), as D-Bus has them."""

    def plain(value: Any) -> Any:
        return [[n, Variant(t, v)] for n, t, v in value] if isinstance(value, list) else value

    return [plain(value) for value in body]


@contextlib.contextmanager
def _gone_is_fine() -> Iterator[None]:
    """Nothing is raised where there is no such unit."""
    try:
        yield
    except RefusedError as e:
        if e.name not in _GONE:
            raise


@contextlib.asynccontextmanager
async def _connect(address: str, what: str) -> AsyncIterator[_Bus]:
    connected = MessageBus(bus_address=address)
    try:
        await connected.connect()
        bus = _Bus(connected, what)
        await bus.listen()
        yield bus
    finally:
        connected.disconnect()
