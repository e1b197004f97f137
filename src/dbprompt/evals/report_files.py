"""A run for other tools: one JSON line an expectation, and JUnit XML for the page of a CI system."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from dbprompt.evals.outcomes import Outcome
from dbprompt.evals.runs import Run
from dbprompt.messages import Json

__all__ = ["junit", "rows"]

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def rows(run: Run) -> str:
    """JSON lines: an object for each expectation, for each case that failed, and for each that is missing."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(run))


def _rows(run: Run) -> Iterator[dict[str, Json]]:
    about: dict[str, Json] = {"suite": run.manifest.suite, "prompt": run.manifest.prompt}
    for one in run.outcomes:
        usage = one.measures.usage if one.measures else None
        base: dict[str, Json] = {
            **about,
            "model": one.key.model,
            "case": one.key.case,
            "repeat": one.key.repeat,
            "state": one.state,
            "case_score": one.score,
            "input_tokens": usage.input_tokens if usage else None,
            "output_tokens": usage.output_tokens if usage else None,
        }
        for score in one.scores:
            met: dict[str, Json] = {"id": score.id, "check": score.check, "level": score.level, "met": score.passed}
            yield {**base, **met, "reason": score.reason}
        for name, section in one.not_asked.items():
            yield {**base, "id": name, "met": None, "reason": f"section {section} was not asked for"}
    for name in run.missing:
        yield {**about, "case": name, "state": "missing", "met": None}


def junit(run: Run) -> str:
    """JUnit XML: a test suite for each case, a test for each expectation.

    A `must` that is not met is a failure, a case that failed or is missing is an error. A `should` that is not met and
    whatever was not asked are skipped tests with the reason: they fail no build, and are not called passed.
    """
    root = ET.Element("testsuites", name=_clean(str(run)))
    for one in run.outcomes:
        _add_case(root, one)
    if run.missing:
        suite = ET.SubElement(root, "testsuite", name="missing")
        for name in run.missing:
            test = ET.SubElement(suite, "testcase", name=_clean(name), classname="missing")
            ET.SubElement(test, "error", type="missing", message="no recording, or not reached yet")
    for suite in root:
        _count(suite)
    _count(root)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _add_case(root: ET.Element, one: Outcome) -> None:
    seconds = f"{(one.measures.seconds or 0.0) if one.measures else 0.0:.3f}"
    suite = ET.SubElement(root, "testsuite", name=_clean(one.key.label), time=seconds, timestamp=one.finished_at)
    if one.state == "failed":
        test = ET.SubElement(suite, "testcase", name="design", classname=one.key.case)
        wrong = ET.SubElement(test, "error", type=_clean(one.kind), message=_clean(one.why.split("\n", 1)[0]))
        wrong.text = _clean(one.why)
    for score in one.scores:
        test = ET.SubElement(suite, "testcase", name=score.id, classname=f"{one.key.case}.{score.check}")
        if score.passed:
            continue
        kind = "failure" if score.level == "must" else "skipped"
        wrong = ET.SubElement(test, kind, message=_clean(f"{score.level}: {score.reason}"))
        wrong.text = _clean("\n".join([score.reason, *score.where]))
    for name, section in one.not_asked.items():
        test = ET.SubElement(suite, "testcase", name=name, classname=one.key.case)
        ET.SubElement(test, "skipped", message=f"section {section} was not asked for")


def _count(element: ET.Element) -> None:
    tests = list(element.iter("testcase"))
    element.set("tests", str(len(tests)))
    for plural, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(plural, str(sum(test.find(tag) is not None for test in tests)))


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold: a model may say anything."""
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)
