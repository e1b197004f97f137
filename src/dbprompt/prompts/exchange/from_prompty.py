"""A `.prompty` file as a prompt folder: ours restored to the same hash, others' translated as far as that goes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml
from jinja2 import Environment, TemplateSyntaxError
from pydantic import ValidationError

from dbprompt.brief.strict_yaml import StrictLoader
from dbprompt.errors import PromptError
from dbprompt.prompts.exchange.portable import ROLE_LINE
from dbprompt.prompts.exchange.prompty import FORMAT, body_of
from dbprompt.prompts.folder import PromptFolder, Settings, VariableSettings
from dbprompt.prompts.prompt import Prompt
from dbprompt.prompts.settings_toml import settings_toml

__all__ = ["Imported", "edited_body", "from_prompty"]

MAX_FILE = 2_000_000
_FRONT = re.compile(r"\A\s*---[ \t]*\n(.*?)\n---[ \t]*\n(.*)\Z", re.DOTALL)
_PATH = re.compile(r"(?:[a-z0-9_]+/){0,3}[a-z0-9_]+\.md\.j2")
_TYPES = {"string": "string", "integer": "integer", "number": "number", "float": "number", "boolean": "boolean"}
_LEXER = Environment(autoescape=False)  # noqa: S701  it only takes text apart


@dataclass(frozen=True, slots=True)
class Imported:
    """The files of a prompt folder, by path, and whether they are a prompt of ours, restored."""

    name: str
    version: str
    files: Mapping[str, str]
    restored: bool


def from_prompty(text: str, *, body_only: bool = False) -> Imported:
    """Reads a `.prompty` file.

    Args:
        text: its content.
        body_only: take the body, even if the file holds a whole prompt of dbprompt.

    Raises:
        PromptError: it is no such file, or holds something that a prompt here cannot.
    """
    front, body = _parts(text)
    metadata = front.get("metadata")
    ours = metadata.get("dbprompt") if isinstance(metadata, Mapping) else None
    if isinstance(ours, Mapping) and not body_only:
        return _restored(ours)
    return _translated(front, body, metadata if isinstance(metadata, Mapping) else {})


def edited_body(text: str, prompt: Prompt) -> bool:
    """Whether the body says something else than the prompt that the file holds: it was edited in another tool."""
    return _parts(text)[1].strip() != body_of(prompt).strip()


def _parts(text: str) -> tuple[Mapping[str, object], str]:
    if len(text) > MAX_FILE:
        raise PromptError(f"the file has {len(text):,} characters; at most {MAX_FILE:,} are read")
    found = _FRONT.match(text.replace("\r\n", "\n"))
    if not found:
        raise PromptError("this is no .prompty file: it begins with settings between two lines of ---")
    try:
        front = yaml.load(found[1], Loader=StrictLoader) or {}  # noqa: S506  a SafeLoader that refuses more
    except (yaml.YAMLError, RecursionError) as error:
        raise PromptError(f"the settings are no YAML: {error}") from error
    if not isinstance(front, Mapping):
        raise PromptError("the settings are no mapping")
    return front, found[2]


def _restored(ours: Mapping[str, object]) -> Imported:
    files = ours.get("files")
    if ours.get("format") != FORMAT or not isinstance(files, Mapping):
        raise PromptError(f"metadata.dbprompt has format {ours.get('format')!r}; this dbprompt reads {FORMAT}")
    wrong = [
        path
        for path, text in files.items()
        if not (isinstance(path, str) and _PATH.fullmatch(path)) or not isinstance(text, str)
    ]
    if wrong:
        raise PromptError(f"metadata.dbprompt.files: {str(wrong[0])[:80]!r} is no path of a template")
    try:
        settings = Settings.model_validate(ours.get("settings"))
    except ValidationError as error:
        raise PromptError(f"metadata.dbprompt.settings: {error.errors(include_url=False)[0]['msg']}") from error
    templates = {str(path): str(text) for path, text in files.items()}
    if PromptFolder(settings, templates).hash != ours.get("hash"):
        raise PromptError("metadata.dbprompt was edited: its hash does not fit; take the body alone (--body)")
    return Imported(settings.name, settings.version, {"prompt.toml": settings_toml(settings), **templates}, True)


def _translated(front: Mapping[str, object], body: str, metadata: Mapping[str, object]) -> Imported:
    said = str(front.get("name") or "imported")
    name = re.sub(r"[^a-z0-9]+", "_", said.lower()).strip("_") or "imported"
    name = name if name[0].isalpha() else f"p_{name}"
    version = str(metadata.get("version", ""))
    inputs = dict(_inputs(front))
    names = {given: _upper(given) for given in inputs}
    if len(set(names.values())) < len(names):
        raise PromptError(f"two inputs have one name in upper case: {', '.join(sorted(names))}")
    table: dict[str, object] = {
        "name": name[:60],
        "version": version if re.fullmatch(r"\d{1,4}\.\d{1,4}\.\d{1,4}", version) else "1.0.0",
        "title": str(front.get("displayName") or said)[:200],
        "description": str(front.get("description") or f"Imported from a .prompty file called {said}.")[:2000],
        "hints": _hints(front),
        "variables": [_variable(names[given], entry) for given, entry in inputs.items()],
    }
    try:
        settings = Settings.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise PromptError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    trusted = {entry.name for entry in settings.variables if entry.variable().trusted}
    system, user = _roles(body)
    templates = {"system.md.j2": _renamed(system, names, None), "context.md.j2": _renamed(user, names, trusted)}
    files = {path: text for path, text in templates.items() if text.strip()}
    return Imported(settings.name, settings.version, {"prompt.toml": settings_toml(settings), **files}, False)


def _inputs(front: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Inputs stand as a list with names, or by name, in full or as their example alone."""
    given = front.get("inputs") or {}
    if isinstance(given, Mapping):
        for name, entry in given.items():
            yield str(name), entry if isinstance(entry, Mapping) else {"example": entry}
    elif isinstance(given, list):
        for entry in given:
            if not isinstance(entry, Mapping) or not entry.get("name"):
                raise PromptError("inputs: every entry of the list has a name")
            yield str(entry["name"]), entry


def _variable(name: str, entry: Mapping[str, object]) -> VariableSettings:
    kind = str(entry.get("kind") or entry.get("type") or "string")
    example = entry.get("example", entry.get("sample"))
    choices = entry.get("enumValues") or entry.get("enum") or []
    fields = _field_entries(entry) if kind in {"array", "object"} else []
    if kind not in {*_TYPES, "array", "object"} or (kind == "object" and not fields):
        raise PromptError(f"input {name} is of kind {kind!r}, which a prompt here cannot hold")
    default, required = entry.get("default"), bool(entry.get("required")) and entry.get("default") is None
    made: dict[str, object] = {
        "name": name,
        "type": "enum" if choices else "list" if kind == "array" else _TYPES.get(kind, kind),
        "description": str(entry.get("description") or f"Input {name} of the imported file.")[:500],
        "required": required,
        "default": default if isinstance(default, str | int | float | bool | list) else None,
        "examples": _examples(example),
        "choices": [str(choice) for choice in choices] if isinstance(choices, list) else [],
        "fields": fields,
    }
    try:
        return VariableSettings.model_validate(made)
    except ValidationError as error:
        raise PromptError(f"input {name}: {error.errors(include_url=False)[0]['msg']}") from error


def _field_entries(entry: Mapping[str, object]) -> list[VariableSettings]:
    items = entry.get("items")
    owner = items if isinstance(items, Mapping) else entry
    given = owner.get("properties") or []
    named = [{"name": name, **item} for name, item in given.items()] if isinstance(given, Mapping) else given
    return [_variable(str(item["name"]), item) for item in named] if isinstance(named, list) else []


def _examples(example: object) -> list[str]:
    if isinstance(example, list) and all(isinstance(item, str | int | float) for item in example):
        return [", ".join(map(str, example))]
    return [str(example)] if isinstance(example, str | int | float) and str(example).strip() else []


def _hints(front: Mapping[str, object]) -> dict[str, int]:
    model = front.get("model")
    options = model.get("options") if isinstance(model, Mapping) else None
    most = options.get("maxOutputTokens") if isinstance(options, Mapping) else None
    return {"max_output_tokens": most} if isinstance(most, int) and not isinstance(most, bool) else {}


def _roles(body: str) -> tuple[str, str]:
    """The text of the system part and of the user part; what stands before the first marker is the system's."""
    parts = ROLE_LINE.split(body)
    spoken = [
        ("system", parts[0]),
        *((role.lower(), text) for role, text in zip(parts[1::2], parts[2::2], strict=True)),
    ]
    others = sorted({role for role, text in spoken if text.strip()} - {"system", "developer", "user"})
    if others:
        raise PromptError(f"the body speaks as {', '.join(others)}; a prompt here has a system part and a user part")
    system = [text.strip() for role, text in spoken if role != "user" and text.strip()]
    return "\n\n".join(system), "\n\n".join(text.strip() for role, text in spoken if role == "user")


def _upper(name: str) -> str:
    """`firstName` and `first-name` are FIRST_NAME."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    made = re.sub(r"[^A-Za-z0-9]+", "_", spaced).strip("_").upper()
    return made if made[:1].isalpha() else f"V_{made}"


def _renamed(text: str, names: Mapping[str, str], trusted: set[str] | None) -> str:
    """The template with the variables' new names; outside the system part, printed text of users gets its fence."""
    try:
        _LEXER.parse(text)
        tokens = [(kind, value) for _, kind, value in _LEXER.lex(text)]
    except TemplateSyntaxError as error:
        raise PromptError(f"the body, line {error.lineno}: {error.message}") from error
    made: list[str] = []
    begin = 0
    for at, (kind, value) in enumerate(tokens):
        after_dot = at > 0 and tokens[at - 1][1] == "."
        made.append(names.get(value, value) if kind == "name" and not after_dot else value)
        if kind == "variable_begin":
            begin = at
        if kind == "variable_end" and trusted is not None:
            inside = [made[i] for i in range(begin + 1, at) if tokens[i][0] != "whitespace"]
            if len(inside) == 1 and inside[0] in names.values() and inside[0] not in trusted:
                made[begin : at + 1] = [
                    "",
                    f'{{{{ {inside[0]} | fenced("{inside[0].lower()[:40]}") }}}}',
                    *[""] * (at - begin - 1),
                ]
    return "".join(made).strip() + "\n" if text.strip() else ""
