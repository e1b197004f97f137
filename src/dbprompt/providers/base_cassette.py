"""The cassette file: vcrpy's format 1 as JSON, each interaction with a `dbprompt` block that says where it is from.

vcrpy and pytest-recording read the file and ignore that block. (They do not ignore a top-level `metadata`:
pytest-recording 0.14 fails on it.)
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

from dbprompt.disk import write_whole
from dbprompt.errors import RecordingError
from dbprompt.messages import Json
from dbprompt.providers.base import Sending

__all__ = [
    "Cassette",
    "Headers",
    "Interaction",
    "Provenance",
    "Source",
    "check_writable",
    "key_of",
    "likeness",
    "load",
    "read",
    "what_changed",
    "write",
]

Provenance: TypeAlias = Literal["model", "authored"]
Headers: TypeAlias = Mapping[str, str]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Source:
    """Where a recording is from. `usage` is empty where the provider counted the tokens itself."""

    prompt: str = ""
    version: str = ""
    prompt_hash: str = ""
    schema_hash: str = ""
    section: str = ""
    provider: str = ""
    model: str = ""
    provenance: str = ""
    recorded_at: str = ""
    sdk: str = ""
    usage: str = ""

    def __str__(self) -> str:
        """`name@version (hash) section`, without what is unknown."""
        name = f"{self.prompt}@{self.version}" if self.version else self.prompt or "a request of unknown origin"
        mark = f" ({self.prompt_hash[:8]})" if self.prompt_hash else ""
        return f"{name}{mark}" + (f" {self.section}" if self.section else "")


@dataclass(frozen=True)
class Interaction:
    """One request and its final response."""

    method: str
    uri: str
    body: str
    status: int
    reason: str
    headers: Headers
    answer: str
    source: Source

    @cached_property
    def key(self) -> str:
        """What a request has to equal to be answered by this."""
        return key_of(self.method, self.uri, self.body)

    def to_json(self) -> str:
        """The interaction as it stands in the file, on one line for each of its parts."""
        request = {
            "method": self.method,
            "uri": self.uri,
            "body": self.body,
            "headers": {"content-type": ["application/json"]},
        }
        response = {
            "status": {"code": self.status, "message": self.reason},
            "headers": {name: [value] for name, value in self.headers.items()},
            "body": {"string": self.answer},
        }
        source = {name: value for name, value in asdict(self.source).items() if value}
        parts = {"request": request, "response": response, "dbprompt": source}
        lines = (f'  "{name}": {json.dumps(part, ensure_ascii=False)}' for name, part in parts.items())
        text = "{\n" + ",\n".join(lines) + "\n}"
        return text.encode("utf-8", "backslashreplace").decode()  # half of a letter, as JSON escapes it


def key_of(method: str, uri: str, body: str) -> str:
    """sha256 of method, path and canonical JSON body: no host, no headers."""
    path = uri.split("://", 1)[-1]
    path = path[path.find("/") :].split("?", 1)[0] if "/" in path else "/"
    return hashlib.sha256(f"{method.upper()}\n{path}\n{_canonical(body)}".encode("utf-8", "surrogatepass")).hexdigest()


@lru_cache(maxsize=128)
def _canonical(body: str) -> str:
    """The body as canonical JSON; a request that is worded as its recording is not read a second time."""
    with suppress(ValueError, RecursionError):
        return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return body


@dataclass(frozen=True, slots=True)
class Cassette:
    """A cassette file as it was read.

    Args:
        hash: 16 digits of the sha256 of the file.
        interactions: in the order of the file.
    """

    hash: str = ""
    interactions: tuple[Interaction, ...] = ()


def read(path: Path) -> tuple[Interaction, ...]:
    """The interactions of a cassette file; a `RecordingError` names what is wrong with it."""
    return load(path).interactions


def load(path: Path) -> Cassette:
    """A cassette file with its hash; a `RecordingError` names what is wrong with it."""
    try:
        content = path.read_bytes()
        data = json.loads(content.decode("utf-8"))
    except FileNotFoundError:
        raise RecordingError(f"There is no recording {path}: record one first (mode 'record').") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RecordingError(f"{path} is not readable as a recording: {error}") from error
    if not isinstance(data, dict) or data.get("version") != FORMAT or not isinstance(data.get("interactions"), list):
        raise RecordingError(f"{path} is not a cassette of format {FORMAT}: it needs `version` and `interactions`.")
    try:
        interactions = tuple(_interaction(item) for item in data["interactions"])
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise RecordingError(f"{path} holds an interaction without {error}; vcrpy's format 1 needs it.") from error
    except ValueError as error:
        raise RecordingError(f"{path} holds an interaction with a status that is no number: {error}") from error
    return Cassette(hashlib.sha256(content).hexdigest()[:16], interactions)


_KNOWN = frozenset(each.name for each in fields(Source))


def _interaction(item: dict[str, dict[str, Json]]) -> Interaction:
    request, response, told = item["request"], item["response"], item.get("dbprompt") or {}
    status, headers, body = response["status"], response["headers"], response["body"]
    if not (isinstance(status, dict) and isinstance(headers, dict) and isinstance(body, dict)):
        raise TypeError("status, headers and body as objects")
    return Interaction(
        method=str(request["method"]),
        uri=str(request["uri"]),
        body=str(request["body"] or ""),
        status=int(str(status["code"])),
        reason=str(status["message"] or ""),
        headers={name: str(value[0] if isinstance(value, list) else value) for name, value in headers.items()},
        answer=str(body["string"] or ""),
        source=Source(**{name: str(value) for name, value in told.items() if name in _KNOWN}),
    )


def write(path: Path, interactions: Iterable[str]) -> None:
    """Replace the file by these interactions (as `to_json` gives them) at once: all of it or nothing."""
    text = f'{{"version": {FORMAT}, "interactions": [\n' + ",\n".join(interactions) + "\n]}\n"
    try:
        write_whole(path, text)
    except OSError as error:
        raise RecordingError(f"{path} cannot be written: {error}") from error


def check_writable(path: Path) -> None:
    """Refuses a file that could not be written when the first answer was paid for; nothing is made."""
    from tempfile import TemporaryFile  # late: only who records needs it

    try:
        file = path.resolve()
        if file.exists() and not file.is_file():
            raise OSError(errno.EINVAL, "is there and is no file")
        with TemporaryFile(dir=next(each for each in file.parents if each.exists())):
            pass
    except OSError as error:
        raise RecordingError(f"{path} cannot be written: {error.strerror or error}") from error


def likeness(sending: Sending | None, source: Source) -> tuple[bool, ...]:
    """How near a recording is to what is being sent; the greatest is the nearest."""
    if sending is None:
        return ()
    origin = sending.origin
    return (
        source.prompt == origin.prompt,
        source.section == origin.section,
        source.model == sending.model,
        source.version == origin.version,
        source.prompt_hash == origin.prompt_hash,
        source.schema_hash == origin.schema_hash,
    )


def what_changed(sending: Sending | None, nearest: Interaction, body: str) -> str:
    """Which of prompt, schema, section and model differ, and the first place where the bodies do."""
    changed = []
    if sending is not None:
        origin, source = sending.origin, nearest.source
        pairs: dict[str, tuple[object, object]] = {
            "prompt": (
                origin.prompt + origin.version + origin.prompt_hash,
                source.prompt + source.version + source.prompt_hash,
            ),
            "schema": (origin.schema_hash, source.schema_hash),
            "section": (origin.section, source.section),
            "model": (f"{sending.provider}:{sending.model}", f"{source.provider}:{source.model}"),
        }
        changed = [f"the {name}" for name, (now, then) in pairs.items() if now != then]
    said = " and ".join(changed) or "the variables or the conversation"
    at = _first_difference(body, nearest.body)
    return f"{said} changed" + (f" (first at {at})" if at else "")


def _first_difference(wanted: str, recorded: str) -> str:
    try:
        return _difference(json.loads(wanted), json.loads(recorded), "")
    except (ValueError, RecursionError):
        return ""


def _difference(wanted: Json, recorded: Json, where: str) -> str:
    if isinstance(wanted, dict) and isinstance(recorded, dict):
        names = sorted({*wanted, *recorded})
        return next(filter(None, (_difference(wanted.get(n), recorded.get(n), f"{where}/{n}") for n in names)), "")
    if isinstance(wanted, list) and isinstance(recorded, list) and len(wanted) == len(recorded):
        pairs = enumerate(zip(wanted, recorded, strict=True))
        return next(filter(None, (_difference(a, b, f"{where}/{n}") for n, (a, b) in pairs)), "")
    if wanted == recorded:
        return ""
    if isinstance(wanted, str) and isinstance(recorded, str):
        at = next(
            (n for n, (a, b) in enumerate(zip(wanted, recorded, strict=False)) if a != b), len(min(wanted, recorded))
        )
        start = max(0, at - 20)
        wanted, recorded = wanted[start : at + 30], recorded[start : at + 30]
    return f"{where} is {_short(wanted)}, recorded was {_short(recorded)}"


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
