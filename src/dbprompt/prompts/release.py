"""A new version from a changed prompt: its number from what changed, its folder, lock and changelog; all or nothing."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from dbprompt.disk import write_whole
from dbprompt.errors import OutputError, PromptError
from dbprompt.prompts.changes import Difference, Level, differences, level_of
from dbprompt.prompts.folder import SUFFIX
from dbprompt.prompts.lock import (
    DRAFT,
    LOCK_FILE,
    Entry,
    SchemaHash,
    check_lock,
    entry_of,
    exported_schema_hash,
    read_lock,
    versions_in,
    write_lock,
)
from dbprompt.prompts.prompt import Prompt

__all__ = ["CHANGELOG", "Plan", "plan_release", "release"]

CHANGELOG = "CHANGELOG.md"
_VERSION_LINE = re.compile(r'^version\s*=\s*"[^"\n]*"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a release would do.

    Args:
        root: the folder of the families.
        source: the folder of the changed prompt.
        prompt: the changed prompt.
        base: the version that it is compared with, if there is one.
        version: the number of the new version.
        level: how far the number moves; None for a family's first version.
        differences: what changed, each with what it breaks.
    """

    root: Path
    source: Path
    prompt: Prompt
    base: str
    version: str
    level: Level | None
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        """`name@version`."""
        return f"{self.prompt.name}@{self.version}"


def plan_release(
    root: Path, source: Path, level: Level | None = None, schema_hash: SchemaHash = exported_schema_hash
) -> Plan:
    """Decides the number of a new version.

    Args:
        root: the folder of the families.
        source: the folder of the changed prompt, such as `root/NAME/draft`.
        level: how far the number moves; None to tell it from what changed.
        schema_hash: where the output schemas' hashes come from.

    Raises:
        PromptError: the prompt does not load, nothing changed, a locked version was edited, the level is too low, or
            only a person can tell the level.
    """
    prompt = Prompt.read(source)
    held, folders = read_lock(root).versions, versions_in(root)
    locked = [name for name in folders if name.split("@")[0] == prompt.name and name in held]
    stands = next((name for name, folder in folders.items() if Path(str(folder)).resolve() == source.resolve()), "")
    if stands and stands not in locked[-1:]:
        way = (
            f"is locked; change a copy of it in {root / prompt.name / DRAFT}" if stands in held else "is not locked yet"
        )
        raise PromptError(f"{source} is the folder of a version, and {way}")
    if not locked:
        return Plan(root, source, prompt, "", prompt.version, None, ())
    base = locked[-1]
    found = _compared(root, base, prompt, schema_hash)
    if not found:
        raise PromptError(f"{source} has nothing that {base} has not; there is nothing to release")
    decided = _decide(found, level)
    return Plan(root, source, prompt, base, _bumped(base.split("@")[1], decided), decided, found)


def _compared(root: Path, base: str, prompt: Prompt, schema_hash: SchemaHash) -> tuple[Difference, ...]:
    entry = read_lock(root).versions.get(base)
    edited = [c for c in check_lock(root, schema_hash, only=base) if not c.part.startswith("output schema")]
    if edited:
        told = "; ".join(map(str, edited[:5]))
        raise PromptError(
            f"{base} is not as it was locked ({told}): move your changes to {root / prompt.name / DRAFT} and put the "
            "old text back, then release"
        )
    old = Prompt.read(versions_in(root)[base])
    held = entry or entry_of(old, schema_hash)
    return differences(old, prompt, held.schemas, entry_of(prompt, schema_hash).schemas)


def _decide(found: tuple[Difference, ...], asked: Level | None) -> Level:
    told = level_of(found)
    if asked is None:
        if told is None:
            open_ones = "; ".join(str(difference) for difference in found if difference.level is None)
            raise PromptError(
                f"only a person can tell whether this is wording or behaviour: {open_ones}. "
                "Give --level patch or --level minor"
            )
        return told
    least = max((d.level for d in found if d.level is not None), default=Level.PATCH)
    if asked < least:
        because = "; ".join(str(d) for d in found if d.level is not None and d.level > asked)
        raise PromptError(f"this is {least.word}, not {asked.word}: {because}")
    return asked


def _bumped(version: str, level: Level) -> str:
    major, minor, patch = map(int, version.split("."))
    match level:
        case Level.MAJOR:
            return f"{major + 1}.0.0"
        case Level.MINOR:
            return f"{major}.{minor + 1}.0"
        case Level.PATCH:
            return f"{major}.{minor}.{patch + 1}"


def release(
    plan: Plan, note: str = "", *, on: date, schema_hash: SchemaHash = exported_schema_hash
) -> tuple[Path, Entry]:
    """Writes the version's folder, the lock and the changelog; if one of them fails, none is left.

    Raises:
        PromptLockError: another published version was changed.
        OutputError: a file cannot be written.
    """
    family = plan.root / plan.prompt.name
    target = family / plan.version
    lock, log = plan.root / LOCK_FILE, family / CHANGELOG
    before = {path: path.read_bytes() if path.is_file() else None for path in (lock, log)}
    made = not family.exists()
    if target.exists():
        raise PromptError(f"{target} is there already; take it away, or lock it: dbprompt prompts lock")
    try:
        family.mkdir(parents=True, exist_ok=True)
        _copy(plan, target)
        written = write_lock(plan.root, schema_hash)
        write_whole(
            log, _entry(plan, note, on) if before[log] is None else _prepended(before[log] or b"", plan, note, on)
        )
    except BaseException as error:
        _undo(target, before, family if made else None)
        if isinstance(error, OSError):
            raise OutputError(f"{plan} was not released, and nothing was left: {error.strerror or error}") from error
        raise
    return target, written.versions[str(plan)]


def _copy(plan: Plan, target: Path) -> None:
    """Templates and settings, with the new number; in one step, so that no half version is ever seen."""
    staging = Path(tempfile.mkdtemp(prefix=".release-", dir=target.parent))
    try:
        for path in plan.prompt.folder.templates:
            if (plan.source / path).is_file() and path.endswith(SUFFIX):
                (staging / path).parent.mkdir(parents=True, exist_ok=True)
                write_whole(staging / path, (plan.source / path).read_text(encoding="utf-8"))
        toml = (plan.source / "prompt.toml").read_text(encoding="utf-8")
        write_whole(staging / "prompt.toml", _VERSION_LINE.sub(f'version = "{plan.version}"', toml, count=1))
        fresh = Prompt.read(staging)
        if fresh.version != plan.version:
            raise PromptError(f'{plan.source}/prompt.toml: write the version on a line of its own, version = "1.0.0"')
        staging.chmod(0o755)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _undo(target: Path, before: Mapping[Path, bytes | None], family: Path | None) -> None:
    for path, data in before.items():
        if data is None:
            path.unlink(missing_ok=True)
        elif path.read_bytes() != data:
            path.write_bytes(data)
    shutil.rmtree(target, ignore_errors=True)
    if family is not None:
        shutil.rmtree(family, ignore_errors=True)


def _entry(plan: Plan, note: str, on: date) -> str:
    return f"# {plan.prompt.title}\n\nEvery version of `{plan.prompt.name}`, newest first.\n\n{_log(plan, note, on)}"


def _prepended(old: bytes, plan: Plan, note: str, on: date) -> str:
    text = old.decode("utf-8")
    head, mark, rest = text.partition("\n## ")
    return f"{head.rstrip()}\n\n{_log(plan, note, on)}{mark}{rest}"


def _log(plan: Plan, note: str, on: date) -> str:
    """One entry. Texts come from prompt files: what could be markup or a new heading is made plain."""
    what = f"{plan.level.word}, after {plan.base.split('@')[1]}" if plan.level else "first version"
    said = [note, *map(str, plan.differences)] if note else [*map(str, plan.differences)]
    lines = [f"- {_plain(line)}" for line in said or ["First version."]]
    return "\n".join([f"## {plan.version} ({on.isoformat()}, {what})", "", *lines, ""])


def _plain(text: str) -> str:
    return re.sub(r"([\\`*\[\]<>#|])", r"\\\1", " ".join(text.split()))
