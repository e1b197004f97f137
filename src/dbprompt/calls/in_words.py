"""The same question with the schema in words: by wish, or as the way out when an API refuses the schema itself.

Providers compile a schema to a grammar, and refuse one that grows too large ("The compiled grammar is too large") with
limits that are not documented. The answer is judged against the schema here in any case.
"""

from __future__ import annotations

import json
from dataclasses import replace

from dbprompt.errors import NoRecordingError, RequestError
from dbprompt.messages import Message, Request, Role

__all__ = ["in_words", "refuses_schema"]

_BLAMES = ("grammar", "output_config", "text.format", "json_schema", "response_format")


def refuses_schema(error: Exception, request: Request, *, offline: bool) -> bool:
    """Whether this refusal is about the schema, so that asking in words may help.

    A recording holds no refusals: there the request that was refused is the one that is not found.
    """
    if not request.native:
        return False
    if isinstance(error, NoRecordingError):
        return offline
    return isinstance(error, RequestError) and any(word in str(error).lower() for word in _BLAMES)


def in_words(request: Request) -> Request:
    """The request with its schema as the last thing that is said, and none for the provider; if it is not so yet."""
    if not request.native:
        return request
    schema = json.dumps(request.output.schema, ensure_ascii=False, separators=(",", ":"))
    said = f"Answer with one JSON object, without a code fence, that fits this JSON Schema:\n{schema}"
    return replace(request, messages=(*request.messages, Message(Role.USER, said)), native=False)
