"""Many requests at once go over many small pools, and come back to them."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from dbprompt.providers import base_spread
from dbprompt.providers.base_spread import SIDE_BY_SIDE, AsyncSpread


class Below(httpx2.AsyncBaseTransport):
    """Answers when it is told to; says how many it has under way."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.closed = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """An answer whose body takes a moment."""
        if request.url.path == "/refused":
            raise httpx2.ConnectError("refused")
        self.now += 1
        self.most = max(self.most, self.now)
        return httpx2.Response(200, stream=Body(self))

    async def aclose(self) -> None:
        """It was closed."""
        self.closed = True


class Body(httpx2.AsyncByteStream):
    def __init__(self, below: Below) -> None:
        self._below = below

    async def __aiter__(self):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0.01)
        yield b"{}"

    async def aclose(self) -> None:
        """Read, or given up."""
        self._below.now -= 1


@pytest.fixture
def made() -> list[Below]:
    """The transports that were made."""
    return []


@pytest.fixture
def spread(made: list[Below]) -> AsyncSpread:
    """One over transports that are written down."""

    def make() -> Below:
        made.append(Below())
        return made[-1]

    return AsyncSpread(make)


def test_no_part_has_more_than_its_share(spread: AsyncSpread, made: list[Below]) -> None:
    """Twenty requests at once are three parts, and twenty more use the same three."""

    async def run() -> None:
        async with httpx2.AsyncClient(transport=spread) as client:
            for _ in range(2):
                answers = await asyncio.gather(*(client.get("http://x/") for _ in range(20)))
                assert [one.text for one in answers] == ["{}"] * 20

    asyncio.run(run())
    assert [one.most for one in made] == [SIDE_BY_SIDE, SIDE_BY_SIDE, 20 - 2 * SIDE_BY_SIDE]
    assert all(one.closed and not one.now for one in made)


def test_a_failed_or_cancelled_request_gives_its_place_back(spread: AsyncSpread, made: list[Below]) -> None:
    """Neither an error nor a cancellation uses a place up: a hundred of them need no second part."""

    async def run() -> None:
        async with httpx2.AsyncClient(transport=spread) as client:
            for _ in range(50):
                with pytest.raises(httpx2.ConnectError):
                    await client.get("http://x/refused")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.get("http://x/"), 0.001)

    asyncio.run(run())
    assert len(made) == 1


def test_a_part_that_nobody_needs_any_more_is_closed(
    spread: AsyncSpread, made: list[Below], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crowd has gone, its connections go too."""
    monkeypatch.setattr(base_spread, "UNUSED_S", 0.0)

    async def run() -> None:
        client = httpx2.AsyncClient(transport=spread)
        await asyncio.gather(*(client.get("http://x/") for _ in range(20)))
        for _ in range(3):
            await client.get("http://x/")
        assert [one.closed for one in made] == [False, True, True]
        await client.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("trouble", [OSError("gone"), asyncio.CancelledError()])
def test_a_close_that_fails_takes_no_answer_with_it(
    spread: AsyncSpread, made: list[Below], monkeypatch: pytest.MonkeyPatch, trouble: BaseException
) -> None:
    """Whatever happens while an unused part is closed: no answer is left open, and no place stays taken."""
    monkeypatch.setattr(base_spread, "UNUSED_S", 0.0)

    async def fails() -> None:
        raise trouble

    async def run() -> None:
        client = httpx2.AsyncClient(transport=spread)
        await asyncio.gather(*(client.get("http://x/") for _ in range(SIDE_BY_SIDE + 1)))
        monkeypatch.setattr(made[-1], "aclose", fails)
        if isinstance(trouble, Exception):
            assert (await client.get("http://x/")).text == "{}"
        else:
            with pytest.raises(asyncio.CancelledError):
                await client.get("http://x/")
        assert [one.now for one in made] == [0, 0]
        assert [part.busy for part in spread._parts] == [0]
        await client.aclose()

    asyncio.run(run())
