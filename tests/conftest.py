"""No test reaches the network: only loopback and unix sockets may be connected to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

import pytest


class NetworkError(AssertionError):
    """A test tried to reach something that is not on this machine."""


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Refuses connections to other machines for the whole run."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            host = address[0] if isinstance(address, tuple) else ""
            if not _loopback(str(host)):
                raise NetworkError(f"a test tried to connect to {host}")
        real(self, address)  # type: ignore[arg-type]

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", connect)
    yield
    patch.undo()


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses internet sockets altogether, loopback too."""

    def refuse(self: socket.socket, address: object) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            raise NetworkError(f"a socket was opened to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
