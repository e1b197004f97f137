"""Counts what a real model got right, at once and after repair: python evals/raw_and_repaired.py

Replays `evals/recordings/model/` (see record_model.py): each section as it came, then with each repair that was
recorded; and the same first request through the bare SDK, whose answer is read into the same pydantic model.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import openai
from pydantic import ValidationError
from record_authored import CASES
from record_model import FOLDER, MODEL, SERVER, START, most_tokens

from dbprompt import AskError, Brief, Client, TruncatedError
from dbprompt.providers.tape import Tape
from dbprompt.result import Result
from dbprompt.sections import SECTIONS

__all__ = ["Row", "rows"]

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))


@dataclass(frozen=True, slots=True)
class Row:
    """One section of one brief.

    Args:
        errors: how many were left after the first answer, and after each repair; None where none came whole.
        bare: whether pydantic takes what the bare SDK got.
    """

    case: str
    section: str
    errors: tuple[int | None, ...]
    bare: bool

    @property
    def end(self) -> str:
        """When it was right."""
        if 0 not in self.errors:
            return "never"
        return "at once" if self.errors[0] == 0 else f"after repair {self.errors.index(0)}"

    def __str__(self) -> str:
        told = ", ".join("no answer" if one is None else str(one) for one in self.errors)
        return f"| {self.case} | {self.section} | {'yes' if self.bare else 'no'} | {told} | {self.end} |"


def rows() -> Iterator[Row]:
    """Every recorded section, in the order of the cases."""
    for case in CASES:
        for section in START:
            path = FOLDER / f"{case}.{section}.json"
            if path.is_file():
                rounds = len(Tape.open(path).interactions)
                errors = tuple(_replayed(case, section, path, attempts) for attempts in range(rounds))
                yield Row(case, section, errors, _bare(section, path))


def _replayed(case: str, section: str, path: Path, attempts: int) -> int | None:
    """The errors that are left after so many repairs; None if no answer came."""
    from answers import design

    most = most_tokens(case, section)
    with Client(
        f"openai:{MODEL}", base_url=SERVER, recording=path, attempts=attempts, max_output_tokens=most
    ) as client:
        try:
            result = client.design(Brief.load(CASES[case]), sections=[section], start=design(case, *START[section]))
        except AskError as error:
            if isinstance(error, TruncatedError) or not isinstance(error.partial, Result):
                return None
            result = error.partial
    return len(result.evidence.errors)


def _bare(section: str, path: Path) -> bool:
    """The recorded first request, sent by the SDK itself; what the server answered to it is handed back."""
    first = Tape.open(path).interactions[0]
    body = json.loads(first.body)

    def answer(request: httpx2.Request) -> httpx2.Response:
        if json.loads(request.content) != body:
            raise ValueError(f"the SDK sends another request than {path} holds")
        return httpx2.Response(first.status, headers=dict(first.headers), content=first.answer)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    with openai.OpenAI(base_url=SERVER, api_key="none", http_client=http) as client:
        text = client.chat.completions.create(**body).choices[0].message.content or ""
    try:
        SECTIONS[section].model_validate_json(text)
    except ValidationError:
        return False
    return True


def main() -> None:
    told = list(rows())
    print("| brief | section | pydantic takes it | errors at once, after repair 1, 2 | right |")
    print("| --- | --- | --- | --- | --- |")
    for row in told:
        print(row)
    ends = [row.end for row in told]
    repaired, never = sum(end.startswith("after") for end in ends), ends.count("never")
    taken = [row for row in told if row.bare]
    print(f"\n{len(told)} sections of {len({row.case for row in told})} briefs: {ends.count('at once')} right at once,")
    print(
        f"{repaired} after repair, {never} never. pydantic takes {len(taken)} of the first answers from the bare SDK;"
    )
    print(f"{sum(row.errors[0] == 0 for row in taken)} of those are right.")


if __name__ == "__main__":
    main()
