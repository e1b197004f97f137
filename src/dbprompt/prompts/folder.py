"""A prompt version on disk: `prompt.toml` and its templates, read from any Traversable."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from dbprompt.errors import PromptError, VariableError
from dbprompt.prompts.variables import CLOSED_TYPES, MAX_LENGTH, OPEN_TYPES, Variable, parse_variables

__all__ = ["SUFFIX", "PromptFolder", "Settings", "read_folder"]

SUFFIX = ".md.j2"
MAX_FILE = 100_000
_SLUG = r"^[a-z][a-z0-9_]*$"
Scalar: TypeAlias = str | int | float | bool


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VariableSettings(_Strict):
    """One `[[variables]]` entry."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=60)]
    type: str
    description: Annotated[str, Field(min_length=1, max_length=500)]
    required: bool = False
    default: Scalar | list[Scalar] | None = None
    examples: list[str] = []
    choices: list[str] = []
    fields: list[VariableSettings] = []
    unit: str = ""
    pattern: str = ""
    trusted: bool | None = None
    max_length: Annotated[int, Field(ge=0, le=50_000)] = 0

    @model_validator(mode="after")
    def _whole(self) -> VariableSettings:
        if self.type not in OPEN_TYPES + CLOSED_TYPES:
            raise ValueError(f"no type {self.type!r}; there are {', '.join(OPEN_TYPES + CLOSED_TYPES)}")
        if self.required and self.default is not None:
            raise ValueError("a required variable has no default")
        if (self.type == "enum") != bool(self.choices):
            raise ValueError("an enum has choices, and nothing else has")
        if self.type == "object" and not self.fields:
            raise ValueError("an object has fields")
        if self.trusted and self.type in {"list", "object"}:
            raise ValueError("a list or object cannot be trusted")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern is no regular expression: {error}") from error
        return self

    def variable(self) -> Variable:
        """The variable; closed types are trusted, for what is printed is ours, open ones only if the file says so."""
        closed = self.type in CLOSED_TYPES
        plain = Variable(
            name=self.name,
            type=self.type,
            description=self.description,
            required=self.required,
            examples=tuple(self.examples),
            choices=tuple(self.choices),
            fields=tuple(field.variable() for field in self.fields),
            unit=self.unit,
            pattern=self.pattern,
            trusted=closed if self.trusted is None else self.trusted,
            max_length=self.max_length or (MAX_LENGTH if self.type == "string" else 0),
        )
        if self.default is None:
            return plain
        default = parse_variables(f"default of {self.name}", [plain], {self.name: self.default})[self.name]
        return Variable(**{name: getattr(plain, name) for name in Variable.__slots__} | {"default": default})


class Settings(_Strict):
    """`prompt.toml`."""

    name: Annotated[str, StringConstraints(pattern=_SLUG, max_length=60)]
    version: Annotated[str, StringConstraints(pattern=r"^\d{1,4}\.\d{1,4}\.\d{1,4}$")]
    title: Annotated[str, Field(min_length=1, max_length=200)]
    description: Annotated[str, Field(min_length=1, max_length=2_000)]
    sections: list[Annotated[str, StringConstraints(pattern=_SLUG, max_length=60)]] = []
    hints: dict[str, Scalar] = {}
    variables: list[VariableSettings] = []

    @model_validator(mode="after")
    def _once(self) -> Settings:
        for what, names in (("section", self.sections), ("variable", [v.name.upper() for v in self.variables])):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]} is there twice")
        lower = [v.name for v in self.variables if v.name != v.name.upper()]
        if lower:
            raise ValueError(f"variable {lower[0]}: write names in upper case; callers may use lower case")
        return self


@dataclass(frozen=True, slots=True)
class PromptFolder:
    """What stands in a version's folder: its settings and the text of each template by its path."""

    settings: Settings
    templates: Mapping[str, str]
    _turn_hashes: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def file_hashes(self) -> dict[str, str]:
        """sha256 of each part: templates as text with LF endings, settings as canonical JSON without defaults."""
        parts = {"prompt.toml": self._settings(), **self.templates}
        return {path: _sha256(parts[path]) for path in sorted(parts)}

    def _settings(self, without: frozenset[str] = frozenset()) -> str:
        kept = self.settings.model_dump(mode="json", exclude_defaults=True, exclude=set(without))
        return json.dumps(kept, sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """sha256 over all parts: settings, every template and every shared partial."""
        return _sha256(json.dumps(self.file_hashes, sort_keys=True))

    def turn_hash(self, section: str) -> str:
        """sha256 over all that one section's turn is made of: everything but the other sections' own templates."""
        if section not in self._turn_hashes:
            self._turn_hashes[section] = self._hashed_turn(section)
        return self._turn_hashes[section]

    def _hashed_turn(self, section: str) -> str:
        others = {f"sections/{name}{SUFFIX}" for name in self.settings.sections if name != section}
        parts = {path: text for path, text in self.templates.items() if path not in others}
        while named := {path for path in others - set(parts) if any(path in text for text in parts.values())}:
            parts |= {path: self.templates[path] for path in named}  # a section that includes another one's template
        settings = self._settings(frozenset({"sections"}))
        return _sha256(json.dumps({"prompt.toml": settings, **parts}, sort_keys=True))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_folder(folder: Traversable) -> PromptFolder:
    """Reads a version's folder.

    Raises:
        PromptError: a file is missing, too large, no UTF-8, or `prompt.toml` is wrong; all wrong keys are named.
    """
    text = _text(folder / "prompt.toml", "prompt.toml")
    try:
        settings = Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise PromptError(f"{folder}/prompt.toml: {error}") from error
    except ValidationError as error:
        raise PromptError(f"{folder}/prompt.toml: {_wrong(error)}") from error
    except VariableError as error:
        raise PromptError(f"{folder}/prompt.toml: {error}") from error
    return PromptFolder(settings, dict(_templates(folder, "", 0)))


def _templates(folder: Traversable, prefix: str, depth: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        path = prefix + entry.name
        if entry.is_dir() and depth < 3:
            found += _templates(entry, path + "/", depth + 1)
        elif entry.name.endswith(SUFFIX):
            found.append((path, _text(entry, path)))
    return found


def _text(file: Traversable, path: str) -> str:
    try:
        data = file.read_bytes()
        if len(data) > MAX_FILE:
            raise PromptError(f"{path} has {len(data):,} bytes; at most {MAX_FILE:,} are read")
        return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{file} cannot be read: {error}") from error


def _wrong(error: ValidationError) -> str:
    items: list[Any] = error.errors(include_url=False)
    lines = [".".join(map(str, item["loc"])) + ": " + str(item["msg"]).removeprefix("Value error, ") for item in items]
    return "; ".join(lines)
