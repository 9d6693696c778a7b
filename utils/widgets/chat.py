"""Talk with a model from the page: a prompt, Send, Stop, the answer as it is written, and what was said before.

It knows a backend by its contract only. Nothing starts before a click, and one answer runs at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import ipywidgets

from utils.core import Backend, Message, Options, as_messages, named
from utils.errors import BackendError
from utils.widgets.growing import Growing
from utils.widgets.panel import Panel, badge, button, note, pre, text

_DOUBLE_CLICK_S = 0.5
_NAME = "color:var(--jp-ui-font-color1);font-size:var(--jp-ui-font-size1)"
_YOU = f"{_NAME};font-weight:600;white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.5"


class Chat(Panel):
    """A conversation with `backend`, begun with the words of `prompt` in the box. `clock` returns seconds.

    With `remember` the model reads what was said before; without, every question stands alone.
    """

    def __init__(
        self,
        backend: Backend,
        options: Options | None = None,
        *,
        prompt: str = "",
        remember: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.backend, self.options, self._clock = backend, options or Options(), clock
        self._who = named(backend.model, backend.name)
        self.turns: list[tuple[str, str, bool]] = []  # before the last: question, answer, whether it is whole
        self.job: threading.Thread | None = None
        self._asked = ""  # the question of the answer below, as long as it is not among the turns
        self._whole = False  # whether the answer below ended without an error: half an answer is not read again
        self._started = float("-inf")
        self._stop = threading.Event()
        self._build(prompt, remember)

    def _build(self, prompt: str, remember: bool) -> None:
        self.prompt = ipywidgets.Text(
            value=prompt,
            description="Prompt",
            placeholder="Write a question, then press Enter or Send",
            layout={"flex": "1 1 auto", "width": "auto"},
            style={"description_width": "initial"},
        )
        self.prompt.on_msg(self._on_key)
        self.send_button = button("Send", self.send, "Ask the model", button_style="primary")
        self.stop_button = button("Stop", self.stop, "Stop the answer", disabled=True)
        self.retry_button = button("Retry", self.retry, "Ask the last question again", disabled=True)
        self.clear_button = button("Clear", self.clear, "Begin a new conversation", disabled=True)
        self.remember = ipywidgets.Checkbox(remember, description="the model reads what was said before", indent=False)
        self.remember.layout.width = "auto"
        who = f'{badge(self.backend.source)} <span style="{_NAME}">{text(self._who)}</span>'
        self._before = ipywidgets.VBox()
        self.question, self.view, self.status = ipywidgets.HTML(), Growing(self._clock), ipywidgets.HTML()
        self.status.value = note("Nothing asked yet.")
        row = ipywidgets.HBox([self.prompt, self.send_button, self.stop_button])
        more = ipywidgets.HBox([self.retry_button, self.clear_button, self.remember], layout={"flex_flow": "row wrap"})
        parts = [ipywidgets.HTML(who), self._before, self.question, self.view.box, self.status, row, more]
        self.box = ipywidgets.VBox(parts)

    def __str__(self) -> str:
        return f"Chat with {self._who} ({self.backend.source.upper()}). Run this cell to ask it something."

    @property
    def answer(self) -> str:
        """The answer so far."""
        return self.view.text

    def send(self) -> None:
        """Start an answer to what stands in the prompt box. A second click while it runs does nothing."""
        if self._busy() or self._clock() - self._started < _DOUBLE_CLICK_S:
            return
        if not self.prompt.value.strip():
            self.status.value = note("Write a question first.")
            return
        self._keep()
        self._ask(self.prompt.value)

    def retry(self) -> None:
        """Ask the last question again; where tokens are drawn, with other dice."""
        if not self._busy() and self._asked:
            self.options = replace(self.options, seed=(self.options.seed + 1) % 2**31)
            self._ask(self._asked, before=self.answer)

    def edit(self, number: int) -> None:
        """Take question `number`, from 0, back into the prompt box; it and what came after it are forgotten."""
        if not self._busy():
            self._keep()
            self.prompt.value = self.turns[number][0]
            self.turns = self.turns[:number]
            self._forget_last()

    def clear(self) -> None:
        """Forget the whole conversation."""
        if not self._busy():
            self.turns = []
            self._forget_last()

    def stop(self) -> None:
        """End the running answer after its next piece; what is written stays."""
        if self._busy():
            self.status.value = note("Stopping ...")
        self._stop.set()

    def close(self) -> None:
        """Stop, and take the widget off the page. The backend stays open: it is not ours."""
        self.stop()
        self.box.close()

    def _on_key(self, widget: object, content: dict[str, object], buffers: object) -> None:
        if content.get("event") == "submit":  # what the page sends for Enter
            self.send()

    def _ask(self, prompt: str, before: str = "") -> None:
        self._started, self._stop, self._asked = self._clock(), threading.Event(), prompt
        self.question.value = f'<div style="{_YOU}">{text(prompt)}</div>'
        self.view.clear()
        self._lock(True)
        self.status.value = note("Answering ...")
        self.job = threading.Thread(target=self._run, args=(prompt, self._stop, before), daemon=True)
        self.job.start()

    def _run(self, prompt: str, stop: threading.Event, before: str) -> None:
        self._whole = False
        try:
            said, self._whole = self._stream(prompt, stop), True
        except BackendError as error:
            said = str(error)
        except Exception as error:  # a thread has no cell to report to: say it here, in words
            said = f"The model stopped with an unexpected {type(error).__name__}. Restart the kernel and try again."
        self.view.flush()
        if self._whole and before == self.answer and before and self.options.greedy:
            said += " The same answer: at temperature 0 the likeliest token is always taken."
        self._lock(False)
        self.status.value = note(said)

    def _stream(self, prompt: str, stop: threading.Event) -> str:
        """Write the answer piece by piece and say how it ended."""
        tokens, reason = None, None
        stream = self.backend.stream(self._messages(prompt), self.options)
        for chunk in stream:
            self.view.add(chunk.text)
            tokens, reason = chunk.tokens or tokens, chunk.finish_reason or reason
            if stop.is_set():
                getattr(stream, "close", lambda: None)()  # generators free their model at once
                return "Stopped."
        return _ending(tokens, reason)

    def _messages(self, prompt: str) -> list[Message]:
        before: list[Message] = []
        for question, answer, whole in self.turns if self.remember.value else ():
            if answer and whole:
                before += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return as_messages([*before, {"role": "user", "content": prompt}])

    def _keep(self) -> None:
        """The answer that was being written joins what was said before."""
        if self._asked:
            self.turns.append((self._asked, self.answer, self._whole))
            self._asked = ""
        self._show()

    def _forget_last(self) -> None:
        self._asked, self.question.value = "", ""
        self.view.clear()
        self.status.value = note("Nothing asked yet.")
        self._show()
        self._lock(False)

    def _show(self) -> None:
        """What was said before, each question with a button to change it."""
        rows = []
        for number, (question, answer, _) in enumerate(self.turns):
            asked = ipywidgets.HTML(f'<div style="{_YOU}">{text(question)}</div>', layout={"flex": "1 1 auto"})
            edit = button("Edit", partial(self.edit, number), f"Change question {number + 1}; later ones are forgotten")
            rows += [ipywidgets.HBox([asked, edit]), ipywidgets.HTML(pre(answer))]
        self._before.children = rows

    def _busy(self) -> bool:
        return self.job is not None and self.job.is_alive() and threading.current_thread() is not self.job

    def _lock(self, busy: bool) -> None:
        self.send_button.disabled, self.stop_button.disabled = busy, not busy
        self.retry_button.disabled = busy or not self._asked
        self.clear_button.disabled = busy or not (self._asked or self.turns)


def _ending(tokens: int | None, reason: str | None) -> str:
    count = "Done." if tokens is None else f"Done: {tokens} tokens."
    if reason is None:
        return "The answer is incomplete: the server did not say that it was done."
    return f"{count} Cut off at the limit (max_tokens)." if reason == "length" else count
