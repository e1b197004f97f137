"""What handles each fault, and how it is taken away: at least one mutation for every row of the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from table import ROWS

__all__ = ["MUTATIONS", "Mutation"]


@dataclass(frozen=True, slots=True)
class Mutation:
    """A small change that takes some handling away.

    Args:
        what: what is gone.
        file: where; a path under `src`, or in an installed package.
        old: the code that handles it, which stands there once.
        new: what stands there instead.
        rows: the faults that are not handled any more.
        once: whether one call is enough to see: the others would take as much time and memory.
    """

    what: str
    file: str
    old: str
    new: str
    rows: tuple[str, ...]
    once: bool = False


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}, {often}" for name in names for often in ("once", "for ever"))


def _rows(*beginnings: str) -> tuple[str, ...]:
    return tuple(row.name for row in ROWS if row.name.startswith(beginnings))


SHAPE, SESSION, ERRORS = "dbprompt/shape.py", "dbprompt/session.py", "dbprompt/errors.py"
MAPPING = "dbprompt/providers/base_errors.py"
GUARD, HTTP, STREAM = (f"dbprompt/providers/base_{name}.py" for name in ("guard", "http", "stream"))
CLAUDE, GPT = "dbprompt/providers/anthropic.py", "dbprompt/providers/openai.py"


def _said() -> Iterator[Mutation]:
    yield Mutation(
        "an answer that cannot be read is asked for again",
        SESSION,
        "            return self._ask_again(answer)\n        if self._asked",
        '            return self._failed("refused", answer.code, answer.message)\n        if self._asked',
        (*_both("not JSON", "an empty answer", "an answer without content", "Infinity"), "two JSON objects"),
    )
    yield Mutation(
        "items off schema are kept out and sent back",
        SESSION,
        "self._candidate.shape_report + self._candidate.relocate(report)",
        "self._candidate.relocate(report)",
        _both("one item off schema"),
    )
    yield Mutation(
        "an answer off schema is sent back",
        SESSION,
        "        return self._repair_or_give_up(Report(shaped), None)",
        '        return GaveUp("refused", Report(shaped))',
        _both("nothing on schema"),
    )
    yield Mutation(
        "the JSON is taken out of what stands around it",
        SHAPE,
        "    bare = _bare(body)\n",
        "    bare = body\n",
        ("JSON in a code fence", "JSON in a fence, words around it", "JSON with words around it"),
    )
    yield Mutation(
        "an answer whose checks fail is no answer",
        SESSION,
        "        if not report.errors:",
        "        if report is not None:",
        _rows("valid JSON with wrong SQL"),
    )
    yield Mutation(
        "an answer that was cut off is never read",
        SESSION,
        "if reply.stop is StopReason.TRUNCATED:",
        "if reply.stop is None:",
        _rows("cut off"),
    )
    yield Mutation(
        "a refusal is told from an answer",
        SESSION,
        "if reply.stop is StopReason.REFUSED:",
        "if reply.stop is None:",
        ("a refusal",),
    )
    yield Mutation(
        "each key is read once",
        SHAPE,
        "catch_duplicate_keys=True",
        "catch_duplicate_keys=False",
        _both("one key twice in an object"),
    )
    yield Mutation("NaN is not JSON", SHAPE, "allow_inf_nan=False", "allow_inf_nan=True", _both("NaN"))
    yield Mutation(
        "a reader that stops at 200 levels and at half letters",
        SHAPE,
        'jiter.from_json(data, allow_inf_nan=False, cache_mode="keys", catch_duplicate_keys=True)',
        '__import__("json").loads(body)',
        (*_both("20,000 brackets deep"), "half of a letter (a lone surrogate)"),
    )
    yield Mutation(
        "a number that became infinite is refused",
        SHAPE,
        " and _has_infinity(value):",
        " and False:",
        ("a number beyond any float",),
    )
    yield Mutation(
        "integers are read in full",
        SHAPE,
        "    data = body.encode()\n",
        '    data = __import__("re").sub(rb"\\d{19,}", lambda n: b"%.1f" % float(n[0]), body.encode())\n',
        ("a number beyond int64",),
    )
    yield Mutation(
        "a lost letter is refused", SHAPE, 'if "\\ufffd" in body:', "if not body:", ("a byte that is no UTF-8",)
    )


def _answered() -> Iterator[Mutation]:
    yield Mutation(
        "an SDK's errors are turned into ours",
        MAPPING,
        "    except Exception as error:\n        ours = failure",
        "    except ZeroDivisionError as error:\n        ours = failure",
        ("400", "401", "403", "413", "422"),
    )
    yield Mutation(
        "a refused schema is told in words",
        "dbprompt/calls/in_words.py",
        "any(word in str(error).lower() for word in _BLAMES)",
        "False",
        _both("400 that blames the schema"),
    )
    yield Mutation(
        "a 404 that names no model is about the address",
        MAPPING,
        "if kind is UnknownModelError and not _NO_SUCH_MODEL.search(detail):",
        "if False:",
        ("404",),
    )
    yield Mutation(
        "a 404 that names the model is about the model",
        MAPPING,
        "if kind is UnknownModelError and not _NO_SUCH_MODEL.search(detail):",
        "if kind is UnknownModelError:",
        ("404: no such model",),
    )
    yield Mutation(
        "statuses below 500 that pass",
        MAPPING,
        "    if status in _PASSING:\n        return ServerError",
        "    if status in _PASSING:\n        return RequestError",
        ("408, once", "409, once"),
    )
    yield Mutation(
        "Retry-After is read",
        MAPPING,
        'for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):',
        "for name, unit in ():",
        (
            "429, Retry-After in seconds, once",
            "429, Retry-After as a date, once",
            "429, Retry-After: 30 under a shorter deadline",
        ),
    )
    yield Mutation(
        "a rate limit is worth another try",
        ERRORS,
        '    """Too many requests for now."""\n\n    retryable = True',
        '    """Too many requests for now."""\n\n    retryable = False',
        ("429 without Retry-After, once", "429 without Retry-After, for ever"),
    )
    yield Mutation(
        "a used-up quota is told from a rate limit",
        MAPPING,
        "if status in (400, 402, 403, 429) and _OUT_OF_CREDIT.search(detail):",
        "if False:",
        ("429: quota used up",),
    )
    yield Mutation(
        "a provider's own failure is worth another try",
        ERRORS,
        '    """The provider failed on its side."""\n\n    retryable = True',
        '    """The provider failed on its side."""\n\n    retryable = False',
        (
            *_rows("fails, 500", "a gateway's page", "unavailable", "overloaded"),
            *("an error event before the first piece, once", "an empty body, once", "an empty body, for ever"),
        ),
    )
    yield Mutation(
        "a prompt does not follow a redirect",
        HTTP,
        "    if not 300 <= response.status_code < 400:",
        "    if response.status_code:",
        ("a redirect",),
    )


def _carried() -> Iterator[Mutation]:
    yield Mutation(
        "a broken connection is worth another try",
        ERRORS,
        '    """The connection failed or broke off."""\n\n    retryable = True',
        '    """The connection failed or broke off."""\n\n    retryable = False',
        (
            "nobody listens",
            *_rows("reset before", "closed before", "reset in the body", "closed in the body"),
        ),
    )
    yield Mutation(
        "the error of a broken stream holds what was finished",
        "dbprompt/client/base_stream.py",
        "            error.partial = self.course.answer.unfinished(self.usage())",
        "            pass",
        (
            "cut off at the limit, some items finished",
            *_rows(
                "reset in the body", "closed in the body", "a stall", "an error event in the middle", "a rate limit in"
            ),
        ),
    )
    yield Mutation(
        "a stream without its last event broke off",
        GPT,
        "        if not self.ended:",
        "        if False:",
        ("a stream that ends without its last event",),
    )
    yield Mutation(
        "timeout_s is what the user said",
        HTTP,
        "    seconds = settings.seconds()\n",
        "    seconds = 0.03\n",
        ("a slow first byte, within timeout_s",),
    )
    yield Mutation(
        "a silent server is given up",
        HTTP,
        "    seconds = settings.seconds()\n",
        "    seconds = 600.0\n",
        ("a first byte slower than timeout_s", "a stall in the middle, longer than timeout_s"),
    )
    yield Mutation(
        "each step on the socket is bounded by the deadline",
        GUARD,
        "        here = time_left()\n",
        "        return timeout\n        here = time_left()\n",
        ("a body that trickles past the deadline", "headers that trickle past the deadline"),
    )
    yield Mutation(
        "an error event is no event like others",
        CLAUDE,
        '            case "error":',
        '            case "no error":',
        ("an error event in the middle of a stream", "a rate limit in the middle of a stream"),
    )


def _bodies() -> Iterator[Mutation]:
    yield Mutation(
        "a packed body is unpacked",
        GUARD,
        "headers=headers if packed else response.headers",
        "headers=response.headers",
        ("gzip",),
    )
    for row in ("an answer of 50 MB", "gzip that unpacks to 64 MB"):
        yield Mutation(
            "an answer has a largest size",
            MAPPING,
            "_HEAD_BYTES = 1024 * 1024",
            "_HEAD_BYTES = 1024**4",
            (row,),
            once=True,
        )
    yield Mutation(
        "bytes are put together before they are read as letters",
        "httpx2/_decoders.py",
        '        self.decoder = codecs.getincrementaldecoder(encoding)(errors="replace")',
        "        self.decode = lambda data: data.decode(encoding, 'replace')\n        self.flush = lambda: ''",
        ("letters split across chunks",),
    )
    yield Mutation(
        "what is not the API's is the provider's failure",
        MAPPING,
        "    return ServerError  # a body",
        "    return RequestError  # a body",
        ("a web page with status 200",),
    )
    yield Mutation(
        "a stream says that it is one",
        STREAM,
        "    if kind not in (PLAIN, AMAZON):",
        "    if False:",
        ("the right body as text/plain",),
    )
    yield Mutation(
        "an unknown reason for the end is judged by what was said",
        CLAUDE,
        "STOPS.get(stop, StopReason.COMPLETE)",
        "STOPS[stop]",
        ("an unknown stop reason",),
    )
    yield Mutation(
        "usage may be missing",
        GPT,
        'usage=_usage(part(body, "usage"))',
        'usage=_usage(body["usage"])',
        ("no usage",),
    )
    yield Mutation(
        "unknown events are passed over",
        CLAUDE,
        '            case "error":',
        "            case _:",
        ("unknown fields and events",),
    )


def _ours() -> Iterator[Mutation]:
    yield Mutation(
        "a date is compared with the provider's own clock",
        MAPPING,
        "(time.time() if math.isnan(start) else start)",
        "time.time()",
        ("the wall clock jumps a day ahead, and back",),
    )
    yield Mutation(
        "a prompt that cannot be written down is a wrong request",
        MAPPING,
        "(*wrong_address, UnicodeEncodeError)",
        "wrong_address",
        ("half of a letter in the prompt",),
    )


MUTATIONS: tuple[Mutation, ...] = (*_said(), *_answered(), *_carried(), *_bodies(), *_ours())
