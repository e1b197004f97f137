"""What a job hands back: the design, its evidence and its cost; and the files that are written from them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from dbprompt.brief import Brief
from dbprompt.calls.trace import Trace
from dbprompt.capacity import Capacity
from dbprompt.errors import OutputError
from dbprompt.evidence import Evidence, Exhibit, Finding, Status, Verdict
from dbprompt.messages import Json, TurnUsage, Usage
from dbprompt.result.folder import MANIFEST, fingerprint, write_folder
from dbprompt.sections import SECTIONS, DatabaseDesign

if TYPE_CHECKING:  # the renderers are loaded by who renders, not by who only asks
    from dbprompt.render.background import Background

__all__ = ["Result", "TurnUsage", "evidence_from_json", "load_design"]


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """A design with the record of its proof.

    Args:
        design: the sections that were finished.
        evidence: findings and verdicts; their places are JSON pointers into the design.
        usage_by_turn: what each request cost, first asks and repairs.
        brief: what was asked, None if variables asked it.
        capacity: figures computed from the brief.
        provenance: where the answers came from.
        prompt: the template family and version that asked.
        as_of: the day that partitions are counted from.
        trace: every request and answer, if they are kept. It is in no file.
    """

    design: DatabaseDesign
    evidence: Evidence = field(default_factory=Evidence)
    usage_by_turn: tuple[TurnUsage, ...] = ()
    brief: Brief | None = None
    capacity: Capacity | None = None
    provenance: str = ""
    prompt: str = ""
    as_of: date = field(default_factory=date.today)
    trace: Trace | None = field(default=None, repr=False, compare=False)

    @property
    def usage(self) -> Usage:
        """What was spent in all."""
        return sum((turn.usage for turn in self.usage_by_turn), Usage())

    @property
    def repair_usage(self) -> Usage:
        """What was spent on repairs."""
        return sum((turn.usage for turn in self.usage_by_turn if turn.kind == "repair"), Usage())

    @property
    def version(self) -> int:
        """The server's major version that is written for."""
        from dbprompt.render.postgres import DEFAULT_VERSION

        return (self.brief.target.postgres_major if self.brief else None) or DEFAULT_VERSION

    def files(self) -> dict[str, str]:
        """Every file by its path in the folder. Nothing is written."""
        from dbprompt.render.folder import files_of
        from dbprompt.render.page import report_page
        from dbprompt.render.report import report_markdown

        about = self._background()
        files = {
            "README.md": report_markdown(self.design, self.evidence, about),
            "report.html": report_page(self.design, self.evidence, about),
            **files_of(self.design, about),
            "design.json": self.design.model_dump_json(indent=2, exclude_none=True) + "\n",
        }
        evidence = self._evidence_json() | {"files": {name: fingerprint(content) for name, content in files.items()}}
        return files | {MANIFEST: json.dumps(evidence, indent=2, ensure_ascii=False) + "\n"}

    def write(self, directory: str | Path) -> Path:
        """Writes all files into a folder, or none.

        A folder that dbprompt wrote before is replaced as a whole. One that holds anything else, or a file of ours
        that was changed by hand since, is left alone.

        Returns:
            The folder.

        Raises:
            OutputError: with the names of the files that stand in the way, or what the system said.
        """
        return write_folder(Path(directory), self.files())

    def _background(self) -> Background:
        from dbprompt.render.background import Background

        return Background(
            brief=self.brief,
            capacity=self.capacity,
            provenance=self.provenance,
            prompt=self.prompt,
            usage_by_turn=self.usage_by_turn,
            as_of=self.as_of,
            version=self.version,
        )

    def _evidence_json(self) -> dict[str, Json]:
        turns: list[Json] = [
            {
                "section": turn.section,
                "kind": turn.kind,
                "model": turn.model,
                "instead_of": list(turn.instead_of),
                **asdict(turn.usage),
            }
            for turn in self.usage_by_turn
        ]
        made: dict[str, Json] = {
            "provenance": self.provenance,
            "prompt": self.prompt,
            "as_of": self.as_of.isoformat(),
            "usage": dict(asdict(self.usage)),
            "usage_by_turn": turns,
        }
        return {**self.evidence.to_json(), "made": made}

    def _cost(self) -> str:
        usage, repair = self.usage, self.repair_usage
        (read, _, written), (read_again, _, written_again) = usage.token_texts, repair.token_texts
        spent = f"{usage.requests} requests, {read} input and {written} output tokens"
        spent += f" ({usage.cost_text})" if usage.cost_usd is not None else ""
        repairs = f"; of these for repair {repair.requests}, {read_again} and {written_again}"
        return f"{self.provenance or 'provenance unknown'}: {spent}{repairs if repair.requests else ''}"

    def _repr_html_(self) -> str:
        """For notebooks."""
        from dbprompt.render.html import result_html

        title = self.brief.app_name if self.brief else "Database design"
        return result_html(self.design, self.evidence, title=title, cost=self._cost())

    def _repr_markdown_(self) -> str:
        """For notebooks that show no HTML."""
        from dbprompt.render.evidence import evidence_summary
        from dbprompt.render.markdown import text

        title = self.brief.app_name if self.brief else "Database design"
        return f"**{text(title)}**\n\n{text(evidence_summary(self.evidence))}\n\n{text(self._cost())}\n"

    def __repr__(self) -> str:
        """Sections and counts; nothing of the user's."""
        from dbprompt.render.evidence import evidence_rows

        have = ", ".join(name for name in SECTIONS if self.design.section(name) is not None) or "no section"
        states = [row.status for row in evidence_rows(self.evidence)]
        open_ones = sum(status in (Status.INCONCLUSIVE, Status.NOT_CHECKED) for status in states)
        passed, failed = states.count(Status.PASSED), states.count(Status.FAILED)
        return f"Result({have}; {passed} passed, {failed} failed, {open_ones} not proven)"


def load_design(path: str | Path) -> DatabaseDesign:
    """Reads design.json, or the one in a folder.

    Raises:
        OutputError: the file cannot be read, or is no design.
    """
    file = Path(path)
    file = file / "design.json" if file.is_dir() else file
    try:
        return DatabaseDesign.model_validate_json(file.read_bytes())
    except OSError as error:
        raise OutputError(f"{file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise OutputError(f"{file} is no design: {_first_problems(error)}") from error


def evidence_from_json(source: str | bytes) -> Evidence:
    """Evidence back from the text of evidence.json.

    Raises:
        OutputError: the text is no evidence.
    """
    try:
        data = json.loads(source)
        findings = TypeAdapter(tuple[Finding, ...]).validate_python(data["findings"])
        verdicts = TypeAdapter(tuple[Verdict, ...]).validate_python(data["verdicts"])
        exhibits = tuple(Exhibit(**exhibit) for exhibit in data.get("exhibits", ()))
        ignored = TypeAdapter(tuple[Finding, ...]).validate_python(data.get("ignored", ()))
    except ValidationError as error:
        raise OutputError(f"the text is no evidence: {_first_problems(error)}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError("the text is no evidence: it is JSON with findings and verdicts") from error
    return Evidence(findings, verdicts, exhibits, ignored)


def _first_problems(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False)
    shown = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in found[:3])
    return shown + (f"; {len(found) - 3} more" if len(found) > 3 else "")
