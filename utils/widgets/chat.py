"""Ask a model from the page: a prompt, Send, Stop, and the answer as it is written.

It knows a backend by its contract only. Nothing starts before a click, one answer runs at a time, and every question
stands alone: the model sees no earlier one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import ipywidgets

from utils.core import Backend, Options, as_messages
from utils.errors import BackendError
from utils.widgets.panel import Panel, badge, note, pre, text

_REDRAW_S = 0.05  # 20 redraws a second: faster costs much and shows nothing more
_DOUBLE_CLICK_S = 0.5
_NAME = "color:var(--jp-ui-font-color1);font-size:var(--jp-ui-font-size1)"


class Chat(Panel):
    """A prompt box for `backend`. `clock` returns seconds."""

    def __init__(
        self,
        backend: Backend,
        options: Options | None = None,
        *,
        prompt: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.backend, self.options, self._clock = backend, options or Options(), clock
        self.answer = ""  # the answer so far
        self.job: threading.Thread | None = None
        self._started = float("-inf")
        self._stop = threading.Event()
        self._build(prompt)

    def _build(self, prompt: str) -> None:
        self.prompt = ipywidgets.Text(
            value=prompt,
            description="Prompt",
            placeholder="Write a question, then press Enter or Send",
            layout={"flex": "1 1 auto", "width": "auto"},
            style={"description_width": "initial"},
        )
        self.prompt.on_msg(self._on_key)
        self.send_button = ipywidgets.Button(description="Send", button_style="primary", tooltip="Ask the model")
        self.send_button.on_click(lambda button: self.send())
        self.stop_button = ipywidgets.Button(description="Stop", tooltip="Stop the answer", disabled=True)
        self.stop_button.on_click(lambda button: self.stop())
        who = f'{badge(self.backend.source)} <span style="{_NAME}">{text(_who(self.backend))}</span>'
        self.view, self.status = ipywidgets.HTML(pre("")), ipywidgets.HTML(note("Nothing asked yet."))
        row = ipywidgets.HBox([self.prompt, self.send_button, self.stop_button])
        self.box = ipywidgets.VBox([ipywidgets.HTML(who), row, self.view, self.status])

    def __str__(self) -> str:
        return f"Chat with {_who(self.backend)} ({self.backend.source.upper()}). Run this cell to ask it something."

    def send(self) -> None:
        """Start an answer to what stands in the prompt box. A second click while it runs does nothing."""
        running = self.job is not None and self.job.is_alive()
        if running or self._clock() - self._started < _DOUBLE_CLICK_S:
            return
        if not self.prompt.value.strip():
            self.status.value = note("Write a question first.")
            return
        self._started, self._stop = self._clock(), threading.Event()
        self._busy(True)
        self.job = threading.Thread(target=self._run, args=(self.prompt.value, self._stop), daemon=True)
        self.job.start()

    def _on_key(self, widget: object, content: dict[str, object], buffers: object) -> None:
        if content.get("event") == "submit":  # what the page sends for Enter
            self.send()

    def stop(self) -> None:
        """End the running answer after its next piece; what is written stays."""
        self._stop.set()

    def close(self) -> None:
        """Stop, and take the widget off the page. The backend stays open: it is not ours."""
        self.stop()
        self.box.close()

    def _run(self, prompt: str, stop: threading.Event) -> None:
        self.answer = ""
        try:
            said = self._stream(prompt, stop)
        except BackendError as error:
            said = str(error)
        except Exception as error:  # a thread has no cell to report to: say it here, in words
            said = f"The model stopped with an unexpected {type(error).__name__}. Restart the kernel and try again."
        self.view.value = pre(self.answer)
        self._busy(False)
        self.status.value = note(said)

    def _stream(self, prompt: str, stop: threading.Event) -> str:
        """Write the answer piece by piece and say how it ended."""
        drawn, tokens, reason = float("-inf"), None, None
        stream = self.backend.stream(as_messages(prompt), self.options)
        for chunk in stream:
            self.answer += chunk.text
            tokens, reason = chunk.tokens or tokens, chunk.finish_reason or reason
            if self._clock() - drawn >= _REDRAW_S:
                self.view.value, drawn = pre(self.answer), self._clock()
            if stop.is_set():
                getattr(stream, "close", lambda: None)()  # generators free their model at once
                return "Stopped."
        return _ending(tokens, reason)

    def _busy(self, busy: bool) -> None:
        self.send_button.disabled, self.stop_button.disabled = busy, not busy
        if busy:
            self.view.value, self.status.value = pre(""), note("Answering ...")


def _who(backend: Backend) -> str:
    return f"{backend.model} on {backend.name}"


def _ending(tokens: int | None, reason: str | None) -> str:
    count = "Done." if tokens is None else f"Done: {tokens} tokens."
    if reason is None:
        return "The answer is incomplete: the server did not say that it was done."
    return f"{count} Cut off at the limit (max_tokens)." if reason == "length" else count
