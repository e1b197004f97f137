"""A prompt folder as it stands, whole or damaged: what can be read of it is read, so that the other rules still run."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable

from pydantic import ValidationError

from dbprompt.errors import PromptError, VariableError
from dbprompt.prompts.folder import MAX_FILE, SUFFIX, Settings, VariableSettings
from dbprompt.prompts.lint.base import Fault, line_of
from dbprompt.prompts.prompt import ALONE, CONTEXT, REPAIR, SYSTEM, Prompt
from dbprompt.prompts.templates import Audit, Templates
from dbprompt.prompts.variables import Variable

__all__ = ["NO_TEMPLATE", "TOML", "Draft", "read_draft"]

TOML = "prompt.toml"
NO_TEMPLATE = "no turn has a template, so there is nothing to look at"
_INPUTS = frozenset({"section", "design_so_far", "items"})
_UNTRUSTED_INPUTS = frozenset({"design_so_far", "items"})


@dataclass(frozen=True, slots=True)
class Draft:
    """What could be read of a folder.

    Args:
        toml: the text of `prompt.toml`; empty if it cannot be read.
        table: its raw content; empty if it is no TOML.
        variables: those of its variables that have a name, as far as they are understood.
        templates: every template that can be read.
        unreadable: files that cannot be read, and why.
        settings_faults: what is wrong with `prompt.toml`.
        audits: of each template that is asked for by itself, what it uses, or why it cannot be read.
        prompt: the prompt, if it loads.
        refusal: why it does not.
    """

    toml: str
    table: Mapping[str, object]
    variables: tuple[Variable, ...]
    templates: Mapping[str, str]
    unreadable: tuple[Fault, ...]
    settings_faults: tuple[Fault, ...]
    audits: Mapping[str, Audit | PromptError]
    prompt: Prompt | None
    refusal: str

    @property
    def sections(self) -> tuple[str, ...]:
        """The sections that `prompt.toml` names."""
        named = self.table.get("sections")
        return tuple(name for name in named if isinstance(name, str)) if isinstance(named, list) else ()

    @property
    def title(self) -> str:
        """`name@version` as `prompt.toml` says it; empty if it says nothing."""
        name, version = self.table.get("name"), self.table.get("version")
        return f"{name}@{version}" if isinstance(name, str) and isinstance(version, str) else ""

    @property
    def understood(self) -> dict[str, Audit]:
        """The audits of the templates that can be read."""
        return {path: audit for path, audit in self.audits.items() if isinstance(audit, Audit)}

    @property
    def broken(self) -> tuple[str, ...]:
        """The templates that cannot be read."""
        return tuple(path for path, audit in self.audits.items() if not isinstance(audit, Audit))

    def line(self, variable: str) -> int:
        """Where `prompt.toml` names a variable."""
        return line_of(self.toml, rf'^\s*name\s*=\s*"{re.escape(variable)}"')


def read_draft(folder: Traversable) -> Draft:
    """Reads what can be read; nothing in a folder makes this fail."""
    files, unreadable = _files(folder)
    toml = files.pop(TOML, "")
    table, settings_faults = _settings(toml, bool(toml) or any(fault.path == TOML for fault in unreadable))
    variables = tuple(_variables(table))
    try:
        prompt, refusal = Prompt.read(folder), ""
    except PromptError as error:
        prompt, refusal = None, str(error)
    audits = _audits(files, tuple(_texts(table.get("sections"))), variables)
    return Draft(toml, table, variables, files, unreadable, settings_faults, audits, prompt, refusal)


def _files(folder: Traversable) -> tuple[dict[str, str], tuple[Fault, ...]]:
    texts: dict[str, str] = {}
    faults: list[Fault] = []
    for path, file in _walk(folder, "", 0):
        try:
            data = file.read_bytes()
            texts[path] = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
            if len(data) > MAX_FILE:
                faults.append(Fault(path, 0, f"has {len(data):,} bytes; at most {MAX_FILE:,} are read"))
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            faults.append(Fault(path, line, f"is not UTF-8 ({error.reason}); save it as UTF-8"))
        except OSError as error:
            faults.append(Fault(path, 0, f"cannot be read: {error.strerror or error}"))
    return texts, tuple(faults)


def _walk(folder: Traversable, prefix: str, depth: int) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name) if folder.is_dir() else ():
        path = prefix + entry.name
        if entry.is_dir() and depth < 3:
            yield from _walk(entry, path + "/", depth + 1)
        elif path == TOML or entry.name.endswith(SUFFIX):
            yield path, entry


def _settings(toml: str, there: bool) -> tuple[dict[str, object], tuple[Fault, ...]]:
    if not toml:
        return {}, () if there else (Fault(TOML, 0, "there is no such file"),)
    try:
        table: dict[str, object] = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        return {}, (Fault(TOML, int(line[1]) if line else 0, str(error)),)
    try:
        for entry in Settings.model_validate(table).variables:
            entry.variable()
    except ValidationError as error:
        return table, tuple(_fault(item["loc"], item["msg"], toml) for item in error.errors(include_url=False))
    except VariableError as error:
        return table, tuple(Fault(TOML, 0, str(problem)) for problem in error.problems)
    return table, ()


def _fault(loc: tuple[int | str, ...], told: str, toml: str) -> Fault:
    """A wrong key with the line of its entry: the n-th `[[variables]]`, or the key itself."""
    message = f"{'.'.join(map(str, loc))}: {told.removeprefix('Value error, ')}".removeprefix(": ")
    if len(loc) > 1 and loc[0] == "variables" and isinstance(loc[1], int):
        starts = [at for at, line in enumerate(toml.splitlines(), 1) if line.strip() == "[[variables]]"]
        return Fault(TOML, starts[loc[1]] if loc[1] < len(starts) else 0, message)
    return Fault(TOML, line_of(toml, rf"^\s*{re.escape(str(loc[0]))}\s*=") if loc else 0, message)


def _variables(table: Mapping[str, object]) -> Iterator[Variable]:
    """The variables; of one that is wrong, its name and what else is plain. Unknown is untrusted."""
    listed = table.get("variables")
    for entry in listed if isinstance(listed, list) else ():
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            continue
        try:
            yield VariableSettings.model_validate(entry).variable()
        except (ValidationError, VariableError):
            yield Variable(
                name=entry["name"],
                type="string",
                description=str(entry.get("description", "")),
                examples=tuple(_texts(entry.get("examples"))),
                unit=str(entry.get("unit", "")),
            )


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _audits(
    templates: Mapping[str, str], sections: tuple[str, ...], variables: tuple[Variable, ...]
) -> dict[str, Audit | PromptError]:
    untrusted = frozenset(v.name for v in variables if not v.trusted) | _UNTRUSTED_INPUTS
    asks = [f"sections/{section}{SUFFIX}" for section in sections]
    audits: dict[str, Audit | PromptError] = {}
    for path in dict.fromkeys((SYSTEM, CONTEXT, ALONE, REPAIR, *asks)):
        if path not in templates:
            continue
        try:
            audit = Templates(templates.get).audit(path, untrusted)
            audits[path] = Audit(audit.names - _INPUTS, audit.leaks)
        except PromptError as error:
            audits[path] = error
    return audits
