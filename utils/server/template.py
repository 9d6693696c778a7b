"""Ollama's prompt templates, as far as a conversation of texts needs them.

https://docs.ollama.com/modelfile#template. They are Go templates; known here are {{ .System }}, {{ .Prompt }},
{{ .Response }}, {{ if .X }}, {{ else }} and {{ end }}, with or without the dashes that eat white space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from utils.core import Message
from utils.errors import BadInput, TooLong, Unsupported

LONGEST, PROMPT = 20_000, 20_000_000  # characters of a template, and of what it makes
CUT = "\0"  # where an answer begins: it is taken out of all that is given


def conversation(template: str, messages: Sequence[Message]) -> str:
    """The prompt for `messages`, each exchange in the template, the last one up to its answer.

    Raises BadInput or TooLong.
    """
    text, told, template = "", _told(), template.replace(CUT, "")
    for message in messages:
        content = _text(message)
        if message["role"] == "assistant":
            text += _exchange(template, told, content)
            told = _told()
            _check(len(text))
        elif content:
            told["System" if message["role"] == "system" else "Prompt"].append(content)
    return text + _exchange(template, told, CUT).partition(CUT)[0]


def _told() -> dict[str, list[str]]:
    return {"System": [], "Prompt": []}


def _exchange(template: str, told: Mapping[str, list[str]], response: str) -> str:
    """Several messages of a role in a row are one, as in Ollama."""
    values = {name: "\n\n".join(texts) for name, texts in told.items()}
    return render(template, {**values, "Response": response})


def render(template: str, values: Mapping[str, str]) -> str:
    """The template with its values. Raises BadInput for what it does not know, or TooLong."""
    if len(template) > LONGEST:
        raise BadInput(f"The template is {len(template):,} characters long. Use at most {LONGEST:,}.")
    parts, size = list[str](), 0
    shown = [True]  # and, for each block that is open, whether its condition holds
    for kind, what in _steps(template):
        if kind == "if":
            shown.append(bool(_value(what, values)))
        elif kind in ("else", "end") and len(shown) == 1:
            raise BadInput(f"The template has an {{{{ {kind} }}}} too many.")
        elif kind == "else":
            shown[-1] = not shown[-1]
        elif kind == "end":
            shown.pop()
        elif all(shown):
            parts.append(what if kind == "text" else _value(what, values))
            size += len(parts[-1])
            _check(size)
    if len(shown) > 1:
        raise BadInput("The template lacks an {{ end }}.")
    return "".join(parts)


def _steps(template: str) -> Iterator[tuple[str, str]]:
    """("text", text), ("if", name), ("else", ""), ("end", "") or ("value", name), one after the other."""
    at, eaten = 0, False
    while (begin := template.find("{{", at)) >= 0 and (end := template.find("}}", begin)) >= 0:
        action, text = template[begin + 2 : end], template[at:begin]
        text = text.lstrip() if eaten else text
        yield "text", text.rstrip() if action.startswith("-") else text
        name = action.removeprefix("-").removesuffix("-").strip()
        first, _, rest = name.partition(" ")
        yield (first, rest.strip()) if first in ("if", "else", "end") else ("value", name)
        at, eaten = end + 2, action.endswith("-")
    yield "text", template[at:].lstrip() if eaten else template[at:]


def _check(characters: int) -> None:
    if characters > PROMPT:
        raise TooLong(f"The template makes a prompt of more than {PROMPT:,} characters. Shorten it.")


def _value(name: str, values: Mapping[str, str]) -> str:
    if name.removeprefix(".") not in values or not name.startswith("."):
        known = ", ".join(f".{known}" for known in values)
        raise BadInput(f"The course server's templates know {known}, if, else and end, but not {name!r:.60}.")
    return values[name[1:]]


def _text(message: Message) -> str:
    content = message["content"]
    if not isinstance(content, str):
        if any(part["type"] == "image" for part in content):
            raise Unsupported("A model with a template of its own cannot look at pictures here. Send text only.")
        content = "".join(part.get("text", "") for part in content)
    return content.replace(CUT, "")
