"""How a text becomes tokens: the pieces in colours, their ids and bytes, and what the same sentence costs elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets

from utils import pocket
from utils.token_bytes import gpt2, sentencepiece
from utils.widgets.panel import PRE, Panel, note, plain_table, table, text

LANGUAGES: Mapping[str, str] = {
    "English": "Where is the kitchen?",
    "German": "Wo ist die Küche?",
    "French": "Où est la cuisine ?",
    "Spanish": "¿Dónde está la cocina?",
    "Chinese": "厨房在哪里？",
    "Japanese": "キッチンはどこですか。",
}
COLOURS = ("#F0E442", "#9ad0f5", "#ffc38a", "#a6e3c8", "#eab6d3")  # black on each: more than 9 to 1
SPECIAL = "#dddddd"


class Tokens(Panel):
    """A box to type in. `model`: whose tokenizer, a pocket model's name or a folder with a tokenizer.json."""

    def __init__(self, start: str = "What is a small language model?", *, model: str = "pocket-phi-3-mini") -> None:
        from tokenizers import Tokenizer  # here: a lesson that has no such widget starts without it

        home = pocket.folder(model) if model in pocket.NAMES else model
        self._tokenizer: Any = Tokenizer.from_file(f"{home}/tokenizer.json")
        added = self._tokenizer.get_added_tokens_decoder()
        self._special = {number: token.content for number, token in added.items()}
        self._byte_level = "ByteLevel" in str(self._tokenizer.decoder)
        self.text = ipywidgets.Textarea(
            value=start, description="Text", rows=2, layout={"width": "auto"}, style={"description_width": "60px"}
        )
        self.template = ipywidgets.Checkbox(description="as a question, in the chat template", indent=False)
        self.template.layout.width = "auto"
        for control in (self.text, self.template):
            control.observe(lambda change: self._draw(), "value")
        self.view, self.table, self.count = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        costs = ipywidgets.HTML(table(("language", "sentence", "tokens", "tokens per character"), self.costs()))
        more = ipywidgets.Accordion([self.table, costs], titles=("Ids and bytes", "The same sentence in six languages"))
        self.box = ipywidgets.VBox([self.text, self.template, self.view, self.count, more])
        self._draw()

    def __str__(self) -> str:
        rows = [(str(number), repr(piece), of) for number, piece, of in self.pieces()]
        return plain_table(("id", "piece", "bytes"), rows, widths=(6, 24, 40))

    def pieces(self) -> list[tuple[int, str, str]]:
        """Of each token its id, its text, and its bytes in hexadecimal digits."""
        made = self._tokenizer.encode(self._text(), add_special_tokens=False)
        found = []
        for number in made.ids:
            token = self._special.get(number) or self._tokenizer.id_to_token(number)
            data = token.encode() if number in self._special else self._bytes(token)
            found.append((number, _shown(data), data.hex(" ")))
        return found

    def _bytes(self, token: str) -> bytes:
        data = gpt2(token) if self._byte_level else None
        return sentencepiece(token) if data is None else data

    def costs(self) -> list[tuple[str, str, str, str]]:
        """What one sentence costs in tokens: each language with its sentence, tokens, and tokens per character."""
        counts = {
            name: len(self._tokenizer.encode(said, add_special_tokens=False).ids) for name, said in LANGUAGES.items()
        }
        return [(name, said, str(counts[name]), f"{counts[name] / len(said):.2f}") for name, said in LANGUAGES.items()]

    def _text(self) -> str:
        value = self.text.value.encode("utf-8", "replace").decode("utf-8")
        return f"<|user|>\n{value}<|end|>\n<|assistant|>\n" if self.template.value else value

    def _draw(self) -> None:
        found = self.pieces()
        spans = [
            _span(piece, SPECIAL if number in self._special else COLOURS[i % len(COLOURS)], number)
            for i, (number, piece, _) in enumerate(found)
        ]
        self.view.value = f'<div style="{PRE}">{"".join(spans)}</div>'
        characters, data = len(self._text()), len(self._text().encode())
        self.count.value = note(f"{len(found)} tokens for {characters} characters, {data} bytes.")
        rows = [(str(number), piece, of) for number, piece, of in found]
        self.table.value = table(("id", "piece", "bytes"), rows)


def _shown(data: bytes) -> str:
    """The text of these bytes, or if they are only part of a character, their digits."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "".join(f"‹{byte:02x}›" for byte in data)


def _span(piece: str, colour: str, number: int) -> str:
    shown = text(piece).replace("\n", "⏎\n")
    style = f"background:{colour};color:#1a1a1a;border-radius:2px;margin-right:1px"
    return f'<span style="{style}" title="id {number}">{shown}</span>'
