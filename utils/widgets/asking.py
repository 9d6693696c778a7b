"""What is asked in the compare widget: a prompt or one of the examples, a system prompt, pictures, options."""

from __future__ import annotations

import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ipywidgets

from utils.core import Message, Options, Part, as_messages

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
        self.system = ipywidgets.Text(value=system, description="System", placeholder="no system prompt", **full)
        self.tokens = ipywidgets.BoundedIntText(
            options.max_tokens, min=1, max=4096, description="Max tokens", style=WIDE, layout={"width": "200px"}
        )
        self.temperature = ipywidgets.FloatSlider(
            options.temperature, min=0, max=2, step=0.1, description="Temperature", style=WIDE
        )
        self.pictures = ipywidgets.FileUpload(accept="image/*", multiple=True, description="Pictures")
        row = ipywidgets.HBox([self.tokens, self.temperature, self.pictures], layout=WRAP)
        self.box = ipywidgets.VBox([self.examples, self.prompt, self.system, row])

    def asked(self) -> tuple[list[Message], Options]:
        """The conversation and the options. Raises BadInput."""
        shown: list[Part] = [{"type": "image", "image": bytes(file["content"])} for file in self.pictures.value]
        text: Part = {"type": "text", "text": self.prompt.value}
        messages: list[Message] = [{"role": "user", "content": [*shown, text] if shown else self.prompt.value}]
        if self.system.value.strip():
            messages.insert(0, {"role": "system", "content": self.system.value})
        options = asdict(self._options) | {"max_tokens": self.tokens.value, "temperature": self.temperature.value}
        return as_messages(messages), Options(**options)

    def _example(self, name: str) -> None:
        if name:
            chosen = self._examples[name]
            self.prompt.value, self.system.value = chosen["prompt"], chosen.get("system", "")
