"""Progress of a design: each section as it is asked, checked, repaired."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self, assert_never

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape

from dbprompt.brief import Brief
from dbprompt.capacity import capacity_of
from dbprompt.client.base_stream import ItemDone
from dbprompt.client.streams import DesignStream
from dbprompt.evidence import Finding, Status
from dbprompt.prompts.prompt import Prompt
from dbprompt.render.markdown import count
from dbprompt.result import Result
from dbprompt.session import Ask, Check, Done, GaveUp, Step

__all__ = ["Progress"]

WIDTH = 14
_MARKS = {Status.PASSED: "[green]✓[/]", Status.FAILED: "[red]✗[/]"}
_NAMES = ("name", "id", "engine", "table")


class Progress:
    """Prints a line a step, and a spinner with what is being waited for where there is a terminal."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._status = screen.status("")
        self._rounds: dict[str, int] = {}
        self._since: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Starts the spinner."""
        self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stops it."""
        self.close()

    def close(self) -> None:
        """Stops the spinner."""
        self._status.stop()

    def start(self, brief: Brief, prompt: Prompt, provenance: str) -> None:
        """Says what is about to be done."""
        figures = capacity_of(brief)
        self._screen.print(
            f"[bold]{escape(brief.app_name)}[/]  {brief.target.primary} {brief.target.version}, ", end=""
        )
        self._screen.print(
            f"{len(brief.entities)} entities, {len(brief.queries)} queries, "
            f"{figures.size_now_gb:.3g} GB of rows now, {figures.projected_3y_gb:.3g} GB in three years"
        )
        self._screen.print(f"prompt  {prompt}\nanswers {escape(provenance)}\n", highlight=False)

    def watch(self, section: str, step: Step[BaseModel]) -> None:
        """Told each step by the driver."""
        match step:
            case Ask(findings=()):
                self._say(section, "asked")
            case Ask(findings=findings):
                self._wrong(section, findings)
            case Check(candidate=candidate):
                left_out = len(candidate.misshapen)
                self._status.update(f"{section}: checking")
                self._say(section, "answered, checking" + (f" ({left_out} misshapen left out)" if left_out else ""))
            case Done(report=report):
                seconds = time.monotonic() - self._since.get(section, time.monotonic())
                rest, rounds = len(report.findings), self._rounds.get(section, 0)
                notes = f", {rest} warning{'s' if rest != 1 else ''} or advice" if rest else ""
                self._say(section, f"[green]proven[/] after {count(rounds, 'repair')}{notes} ({seconds:.1f} s)")
            case GaveUp(reason=reason, report=report):
                self._list(report.errors)
                self._say(section, f"[red]{reason}[/]")
            case _:
                assert_never(step)

    def follow(self, stream: DesignStream) -> Result:
        """Reads a stream to its end, and prints its items as they come."""
        for event in stream:
            if isinstance(event, ItemDone):
                mark = _MARKS.get(event.status, "[dim]·[/]")
                name = next((str(told) for key in _NAMES if (told := getattr(event.value, key, None))), "")
                line = f"{event.section:{WIDTH}} {mark} [dim]{escape(event.where)}[/] {escape(name)}"
                self._screen.print(line, highlight=False)
        return stream.result()

    def _wrong(self, section: str, findings: tuple[Finding, ...]) -> None:
        self._rounds[section] = self._rounds.get(section, 0) + 1
        self._list(findings)
        self._say(section, f"[yellow]repair {self._rounds[section]}[/]: only what is wrong is asked for again")

    def _list(self, findings: tuple[Finding, ...]) -> None:
        for finding in findings:
            self._screen.print(
                f"{'':{WIDTH}} [red]✗[/] {finding.code} [dim]{escape(finding.where)}[/]", highlight=False
            )
            self._screen.print(f"{'':{WIDTH}}   {escape(_short(finding.message))}", highlight=False)

    def _say(self, section: str, what: str) -> None:
        self._since.setdefault(section, time.monotonic())
        self._status.update(f"{section}: {what.partition(',')[0]}")
        self._screen.print(f"[bold]{section or 'answer':{WIDTH}}[/] {what}", highlight=False)


def _short(message: str) -> str:
    return message if len(message) <= 240 else message[:237] + "..."
