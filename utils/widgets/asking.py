"""What is asked in the compare widget: a prompt or one of the examples, a system prompt, pictures, options."""

from __future__ import annotations

import datetime
import tomllib
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import ipywidgets

from utils.core import Message, Options, Part, as_messages
from utils.widgets.kept import plain
from utils.widgets.panel import button, note

GALLERY = Path(__file__).parent.parent / "data" / "gallery.toml"
WIDE = {"description_width": "90px"}
WRAP = {"flex_flow": "row wrap", "align_items": "center"}


class Asking:
    """`box` goes on the page; `asked` gives what stands in it."""

    def __init__(self, prompt: str, system: str, options: Options) -> None:
        self._options = options
        self._examples = {one["name"]: one for one in tomllib.loads(GALLERY.read_text(encoding="utf-8"))["prompt"]}
        full: dict[str, Any] = {"layout": {"width": "auto"}, "style": WIDE}
        self.examples = ipywidgets.Dropdown(options=["", *self._examples], description="Examples", **full)
        self.examples.observe(lambda change: self._example(change["new"]), "value")
        self.prompt = ipywidgets.Textarea(value=prompt, description="Prompt", rows=2, **full)
        self.system = ipywidgets.Textarea(
            value=system, description="System", placeholder="no system prompt", rows=1, **full
        )
        self.tokens = ipywidgets.BoundedIntText(
            options.max_tokens, min=1, max=4096, description="Max tokens", style=WIDE, layout={"width": "180px"}
        )
        self.temperature = ipywidgets.BoundedFloatText(  # a slider has no name that a screen reader could say
            options.temperature,
            min=0,
            max=2,
            step=0.1,
            description="Temperature",
            style=WIDE,
            layout={"width": "170px"},
        )
        self.pictures = ipywidgets.FileUpload(accept="image/*", multiple=True, description="Pictures")
        self.shown = ipywidgets.HTML()
        self.no_pictures = button("Remove pictures", self._clear, "Ask without pictures")
        self.pictures.observe(lambda change: self._name(), "value")
        row = [self.tokens, self.temperature, self.pictures, self.no_pictures, self.shown]
        self.box = ipywidgets.VBox([self.examples, self.prompt, self.system, ipywidgets.HBox(row, layout=WRAP)])
        self._name()

    def asked(self) -> tuple[list[Message], Options]:
        """The conversation and the options. Raises BadInput."""
        shown: list[Part] = [{"type": "image", "image": bytes(file["content"])} for file in self.pictures.value]
        text: Part = {"type": "text", "text": self.prompt.value}
        messages: list[Message] = [{"role": "user", "content": [*shown, text] if shown else self.prompt.value}]
        if self.system.value.strip():
            messages.insert(0, {"role": "system", "content": self.system.value})
        options = asdict(self._options) | {"max_tokens": self.tokens.value, "temperature": self.temperature.value}
        return as_messages(messages), Options(**options)

    def kept(self, options: Options) -> dict[str, Any]:
        """What stands there as plain data; of a picture its name and the beginning of its SHA-256."""
        asked = {"prompt": self.prompt.value, "system": self.system.value, "pictures": self._pictures()}
        return asked | {"options": plain(options)}

    def again(self, kept: dict[str, Any]) -> None:
        """What was asked once stands there again; pictures only if they still do."""
        self.prompt.value, self.system.value = kept["prompt"], kept["system"]
        self._options = Options(**kept["options"])
        self.tokens.value, self.temperature.value = self._options.max_tokens, self._options.temperature
        if self._pictures() != kept["pictures"]:
            self._clear()

    def _pictures(self) -> list[str]:
        return [f"{file['name']} ({sha256(file['content']).hexdigest()[:12]})" for file in self.pictures.value]

    def _clear(self) -> None:
        self.pictures.value = ()

    def _name(self) -> None:
        names = ", ".join(file["name"] for file in self.pictures.value)
        self.shown.value = note(names)
        self.no_pictures.layout.display = "" if names else "none"

    def _example(self, name: str) -> None:
        if name:
            chosen = self._examples[name]
            self.prompt.value, self.system.value = chosen["prompt"], chosen.get("system", "")
            self.pictures.value = tuple(_file(words) for words in chosen.get("pictures", ()))


def _file(words: str) -> dict[str, Any]:
    """A picture of the gallery as the page would upload it: "red circle, blue square", drawn by this course's code."""
    from utils.pocket import pictures  # here: who asks without pictures needs no Pillow

    third = pictures.SIDE / 3
    marks = []
    for number, thing in enumerate(words.split(", ")):
        colour, kind = thing.split()
        x, y = third * (0.5 + 2 * (number % 2)), third * (0.5 + 2 * (number // 2))
        marks.append(pictures.shape(kind, x, y, 10, colour))
    data = pictures.png(pictures.Picture(pictures.PAPER[0], tuple(marks)).draw())
    at = datetime.datetime.now(datetime.UTC)
    return {"name": f"{words}.png", "type": "image/png", "size": len(data), "content": data, "last_modified": at}
