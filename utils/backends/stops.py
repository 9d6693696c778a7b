"""Ends a text before the first of some stop texts, as it comes in pieces."""

from __future__ import annotations


class Stops:
    """`stopped` says that one was found; `held` is the end of the text, which may be the beginning of one."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.stopped, self.held, self._texts = False, "", texts

    def clip(self, piece: str) -> str:
        """What can be told of the text so far and was not before."""
        if not self._texts:
            return piece
        text = self.held + piece
        found = [at for at in map(text.find, self._texts) if at >= 0]
        if found:
            self.stopped, self.held = True, ""
            return text[: min(found)]
        keep = max((n for s in self._texts for n in range(1, len(s)) if text.endswith(s[:n])), default=0)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        """What was held back and turned out to be text."""
        text, self.held = self.held, ""
        return text
