"""What is asked of the kernel's WireGuard, and what its answers mean."""

from __future__ import annotations

import errno
import struct
from collections.abc import Collection

import pytest

from procroute.errors import ProcrouteError
from procroute.kernel import wireguard

pytestmark = pytest.mark.promise("OVER-08")
FAMILY = 31
DEVICE = bytes.fromhex("00010000") + bytes.fromhex("080001000a000000")  # a header, and ifindex 10


class Kernel:
    """It answers as WireGuard does of device 10. there: it has that family."""

    def __init__(self, *, there: bool = True, mark: int = 0xCA6C) -> None:
        self.there = there
        self.mark = mark
        self.asked: list[tuple[int, bytes, bool]] = []

    def ask(
        self, protocol: int, kind: int, body: bytes, *, dump: bool, nothing: Collection[int]
    ) -> list[bytes]:
        assert protocol == 16
        self.asked.append((kind, body, dump))
        if kind == 16:
            assert b"wireguard\0" in body
            if not self.there:
                assert errno.ENOENT in nothing
                return []
            return [bytes(4) + struct.pack("=HHHxx", 6, 1, FAMILY)]
        assert kind == FAMILY
        if not dump:
            return []
        first = struct.pack("=HHHxxHHI", 6, 6, 51820, 8, 7, self.mark)
        return [DEVICE + first, DEVICE + struct.pack("=HHI", 8, 99, 0)]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(wireguard, "ask", made.ask)
    return made


def test_its_port(kernel: Kernel) -> None:
    assert wireguard.port(10) == 51820
    assert kernel.asked[-1] == (FAMILY, DEVICE, True)


def test_to_look_anew_its_mark_is_set_to_what_it_is(kernel: Kernel) -> None:
    wireguard.forget_ways(10)
    kind, body, dump = kernel.asked[-1]
    assert (kind, dump) == (FAMILY, False)
    assert body == bytes.fromhex("01010000") + DEVICE[4:] + struct.pack("=HHI", 8, 7, 0xCA6C)


def test_a_kernel_without_it_says_so(kernel: Kernel) -> None:
    kernel.there = False
    with pytest.raises(ProcrouteError) as caught:
        wireguard.port(10)
    assert caught.value.code == "kernel-option"
    assert caught.value.message == "this kernel has no WireGuard"


def test_a_device_that_is_gone_is_a_refusal(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(protocol: int, kind: int, body: bytes, **more: object) -> list[bytes]:
        if kind == FAMILY:
            raise OSError(errno.ENODEV, "No such device")
        return kernel.ask(protocol, kind, body, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(wireguard, "ask", gone)
    with pytest.raises(ProcrouteError, match="No such device"):
        wireguard.forget_ways(10)
