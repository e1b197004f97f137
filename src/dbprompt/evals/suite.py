"""A suite: the briefs that a prompt is judged by, in one YAML file that is a pydantic-evals dataset too.

Each case names a brief by its path beside the suite; the expectations stand in that file and reach no model.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from dbprompt.brief.problems import problems_of
from dbprompt.brief.strict_yaml import StrictLoader
from dbprompt.errors import BriefError, MissingExtraError, OutputError, Problem
from dbprompt.evals.base import SuiteError, digest
from dbprompt.evals.cases import Case, load_case
from dbprompt.evals.scorers import not_scored
from dbprompt.result import load_design
from dbprompt.sections import SECTIONS, SectionName
from dbprompt.sections.schema import Schema

if TYPE_CHECKING:
    from pydantic_evals import Dataset

__all__ = ["Suite", "SuiteCase", "load_suite", "pydantic_dataset", "suite_schema"]

SCHEMA_FILE = "suite.schema.json"
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=80)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Inputs(_Row):
    """What a case gives to the model: the brief, and nothing else of that file."""

    brief: Annotated[str, Field(description="path of the brief with its expectations, from the suite's folder")]


class Metadata(_Row):
    """What a case says besides."""

    sections: Annotated[
        tuple[str, ...], Field(description="only these sections are asked for; by default all that the prompt knows")
    ] = ()
    gold: Annotated[
        str, Field(description="path of a design.json that a person made; likeness to its schema is reported")
    ] = ""


class CaseRow(_Row):
    """One case of the file."""

    name: Annotated[Slug, Field(description="names the case's recordings and its folder in a run")]
    inputs: Inputs
    metadata: Metadata = Metadata()


class SuiteFile(_Row):
    """A suite as it stands on disk."""

    schema_: Annotated[str, Field(alias="$schema", description="this schema's file")] = ""
    name: Slug
    cases: Annotated[tuple[CaseRow, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class SuiteCase:
    """One case, ready to be asked.

    Args:
        name: of the case; also of its recordings and of its folder in a run.
        case: the brief and its expectations.
        path: of the brief.
        hash: of the brief and its expectations: a changed case is another case.
        sections: the only ones that are asked for; empty for all that the prompt knows.
        gold: the schema that a person made, if there is one.
    """

    name: str
    case: Case
    path: Path
    hash: str
    sections: tuple[SectionName, ...] = ()
    gold: Schema | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """A name and its cases; `path` is the file."""

    name: str
    cases: tuple[SuiteCase, ...]
    path: Path

    @property
    def recordings(self) -> Path:
        """Where this suite's recordings are by default: `../recordings/NAME` from its own folder."""
        return Path(os.path.normpath(self.path.parent / "../recordings" / self.name))  # relative stays relative

    def only(self, names: tuple[str, ...]) -> Suite:
        """The same suite with these cases.

        Raises:
            SuiteError: it has no such case.
        """
        have = [case.name for case in self.cases]
        strangers = [name for name in names if name not in have]
        if strangers:
            fix = f"write one of {', '.join(have)}"
            raise SuiteError(str(self.path), [Problem("case", repr(name), fix) for name in strangers])
        return Suite(self.name, tuple(case for case in self.cases if case.name in names), self.path)


def load_suite(path: str | Path) -> Suite:
    """Reads a suite with all its briefs.

    Raises:
        SuiteError: the file is no suite, a brief cannot be read, or an expectation cannot be scored yet.
    """
    file = Path(path)
    row = _file(file)
    problems: list[Problem] = []
    cases: list[SuiteCase] = []
    for at, one in enumerate(row.cases):
        where = f"cases[{at}] ({one.name})"
        if any(one.name == other.name for other in cases):
            problems.append(Problem(where, "", "this name is given twice; use one name once"))
        problems += [
            Problem(f"{where}.metadata.sections", repr(name), f"write one of {', '.join(SECTIONS)}")
            for name in one.metadata.sections
            if name not in SECTIONS
        ]
        try:
            cases.append(_case(file.parent, one))
        except (BriefError, OutputError, OSError) as error:
            problems.append(Problem(where, "", str(error)))
    problems += [
        Problem(f"{case.name}: expectation {one.id}", one.check, "cannot be scored yet; drop it from the case")
        for case in cases
        for one in not_scored(case.case.expectations)
    ]
    if problems:
        raise SuiteError(str(file), problems)
    return Suite(row.name, tuple(cases), file)


def _file(file: Path) -> SuiteFile:
    try:
        data = yaml.load(file.read_text(encoding="utf-8-sig"), Loader=StrictLoader)  # noqa: S506  a SafeLoader
    except OSError as error:
        raise SuiteError(str(file), [Problem("file", "", error.strerror or str(error))]) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise SuiteError(str(file), [Problem("file", "", f"is no YAML: {error}")]) from error
    if isinstance(data, dict) and data.get("evaluators"):
        told = "dbprompt scores by the expectations of each brief; take them out, or run them with pydantic-evals"
        raise SuiteError(str(file), [Problem("evaluators", "", told)])
    try:
        return SuiteFile.model_validate(data)
    except ValidationError as error:
        raise SuiteError(str(file), problems_of(error, SuiteFile)) from error


def _case(folder: Path, row: CaseRow) -> SuiteCase:
    path = folder / row.inputs.brief
    case = load_case(path)
    gold = load_design(folder / row.metadata.gold).schema if row.metadata.gold else None
    if row.metadata.gold and not isinstance(gold, Schema):
        raise OutputError(f"{row.metadata.gold} has no section schema")
    mark = digest(
        {
            "brief": case.brief.model_dump(mode="json", by_alias=True),
            "expectations": [one.model_dump(mode="json", by_alias=True) for one in case.expectations],
            "gold": gold.model_dump(mode="json") if isinstance(gold, Schema) else None,
        }
    )
    named = tuple(name for name in SECTIONS if name in row.metadata.sections)
    return SuiteCase(row.name, case, path, mark, named, gold if isinstance(gold, Schema) else None)


def suite_schema() -> str:
    """The JSON Schema of a suite, as `evals/suites/suite.schema.json` holds it."""
    schema = SuiteFile.model_json_schema(by_alias=True)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


def pydantic_dataset(suite: Suite) -> Dataset[Any, Any, Any]:
    """The suite for people who run pydantic-evals: `inputs` is the brief, and the evaluators are its expectations.

    A task of theirs takes a `dbprompt.Brief` and gives a `dbprompt.Result`.

    Raises:
        MissingExtraError: pydantic-evals is not installed.
    """
    try:
        from dbprompt.evals.pydantic_evaluator import dataset_of
    except ModuleNotFoundError as error:
        raise MissingExtraError("pydantic-evals", "evals") from error
    return dataset_of(suite.name, [(case.name, case.case) for case in suite.cases])
