"""A prompt's templates in the Jinja that other tools speak: one text, no includes, no filter of ours.

Fences become their tags. What gets lost is said, not hidden: outside of dbprompt nothing breaks up a closing tag that
a user wrote, and nothing checks a variable's type.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from jinja2 import Environment

from dbprompt.errors import PromptError
from dbprompt.prompts.fence import TAG
from dbprompt.prompts.prompt import Prompt

__all__ = ["NOTICE", "ROLE_LINE", "message_templates", "portable"]

NOTICE = (
    "Exported by dbprompt. Text of users stands between tags, but outside of dbprompt nothing breaks up a closing tag "
    "that a user wrote, and no value is checked."
)
ROLE_LINE = re.compile(
    r"^\s*#?\s*(system|user|assistant|developer|tool)\s*(?:\[[^\]\n]*\])?\s*:\s*$", re.IGNORECASE | re.MULTILINE
)
_LEXER = Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701  it only takes text apart
_FENCED = re.compile(r'\|\s*fenced\s*\(\s*(["\'])(?P<label>[a-z][a-z0-9_ ]*)\1\s*\)\s*$')
_FILTER = re.compile(r'filter\s+fenced\s*\(\s*(["\'])(?P<label>[a-z][a-z0-9_ ]*)\1\s*\)\s*$')
_INCLUDE = re.compile(r'include\s+(["\'])(?P<path>[^"\']+)\1\s*$')
_TUPLE = re.compile(r"\bin\s*\(([^()]*,[^()]*)\)")
_IS = re.compile(r"\s+is\s+(?!(?:not\s+)?defined\b)")


@dataclass(slots=True)
class _Portable:
    templates: Mapping[str, str]
    lists: frozenset[str]
    objects: frozenset[str]
    fences: list[bool] = field(default_factory=list)

    def text(self, path: str) -> str:
        """A template with what it includes."""
        if path not in self.templates:
            raise PromptError(f"{path}: there is no such template")
        return "".join(self._piece(kind, inside, path) for kind, inside in _pieces(self.templates[path]))

    def _piece(self, kind: str, inside: str, path: str) -> str:
        match kind:
            case "variable":
                return self._printed(inside, path)
            case "block":
                return self._block(inside, path)
        return inside

    def _printed(self, inside: str, path: str) -> str:
        fenced = _FENCED.search(inside)
        if not fenced:
            if "fenced" in inside:
                raise PromptError(f"{path}: {{{{ {inside} }}}}: put `fenced` last, so that it can be written as tags")
            return f"{{{{ {_common(inside)} }}}}"
        name = inside[: fenced.start()].strip()
        if name in self.objects:
            raise PromptError(f"{path}: {name} holds mappings; loop over it inside of a fence")
        one = (
            f"{{% for item in {name} %}}- {{{{ item }}}}\n{{% endfor %}}"
            if name in self.lists
            else f"{{{{ {name} }}}}\n"
        )
        return f'<{TAG} name="{fenced["label"]}">\n{one}</{TAG}>'

    def _block(self, inside: str, path: str) -> str:
        included, fenced = _INCLUDE.match(inside), _FILTER.match(inside)
        if included:
            return self.text(included["path"])
        if inside.startswith("filter"):
            self.fences.append(bool(fenced))
            if not fenced and "fenced" in inside:
                raise PromptError(f"{path}: {{% {inside} %}}: write `filter fenced` alone")
            return f'<{TAG} name="{fenced["label"]}">\n' if fenced else f"{{% {inside} %}}"
        if inside == "endfilter" and self.fences.pop():
            return f"</{TAG}>"
        return f"{{% {_common(inside)} %}}"


def _common(inside: str) -> str:
    """What means the same in every Jinja: Nunjucks has no tuples, and knows an absent value as undefined, not none."""
    return _TUPLE.sub(r"in [\1]", _IS.sub(" | default(none) is ", inside))


def _pieces(source: str) -> Iterator[tuple[str, str]]:
    """Text, and the inside of each tag. Taken apart by Jinja, so blanks around tags are as we render them."""
    kind, inside = "", ""
    for _, token, value in _LEXER.lex(source):
        if token in {"variable_begin", "block_begin"}:
            kind, inside = token.removesuffix("_begin"), ""
        elif token in {"variable_end", "block_end"}:
            yield kind, inside.strip()
            kind = ""
        elif kind:
            inside += value
        elif token == "data":  # noqa: S105  a kind of token, no password
            yield "data", value


def portable(prompt: Prompt, path: str, **constants: str) -> str:
    """One template as plain Jinja. Constants, such as the section's name, are set at its start."""
    lists = [variable for variable in prompt.variables if variable.type == "list"]
    objects = frozenset(v.name for v in prompt.variables if v.fields)
    made = _Portable(prompt.folder.templates, frozenset(v.name for v in lists), objects).text(path)
    made = "".join(f'{{% set {name} = "{value}" %}}' for name, value in constants.items()) + made
    marker = ROLE_LINE.search(made)
    if marker:
        raise PromptError(f"{path}: {marker[0].strip()!r} would begin a message in another tool; write it otherwise")
    return made


def message_templates(prompt: Prompt) -> tuple[tuple[str, str], ...]:
    """Role and template of each message that `Prompt.render` makes."""
    asks = [portable(prompt, f"sections/{name}.md.j2", section=name, design_so_far="") for name in prompt.sections]
    templates = prompt.folder.templates
    alone = [portable(prompt, "alone.md.j2")] if asks and "alone.md.j2" in templates else []
    context = [("user", portable(prompt, "context.md.j2"))] if "context.md.j2" in templates else []
    last = [("user", "\n\n".join([*alone, *asks]))] if asks else []
    return (("system", portable(prompt, "system.md.j2")), *context, *last)
