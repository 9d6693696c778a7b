"""Lesson 00 as a learner meets it: JupyterLab in chromium, all cells run, the widgets used by keyboard and by mouse."""

import re
from urllib.parse import urlsplit

import lab
import pytest

pytestmark = pytest.mark.skipif(lab.chromium() is None, reason="no chromium or Chrome on this machine: install one")

NOTEBOOK = "00_start_here.ipynb"
PLANTED = '<img src="/planted.png" onerror="window.planted = 1"><script>window.planted = 1</script>'
BACKEND = f"""
import time
from utils import Chunk, complete
from utils.checks import Verdict
from utils.widgets import Chat

class Planted:
    name, model, source = "test", "<b>bold</b>", "pocket"
    def __init__(self, length):
        self.length = length
    def stream(self, messages, options):
        for count in range(1, self.length + 1):
            time.sleep(0.05)
            reason = "stop" if count == self.length else None
            yield Chunk({PLANTED!r} if count == 1 else ".", tokens=count, finish_reason=reason)
    def close(self): pass
"""
CELLS = [
    BACKEND,
    "Chat(Planted(20), prompt='Hi')",
    "complete(Planted(20), 'Hi')",
    f"Verdict('a.b', 'not yet', {PLANTED!r})",
]
CONTRAST = """kind => {
    const rgb = text => text.match(/[\\d.]+/g).map(Number);
    const light = text => rgb(text).slice(0, 3).map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const here = document.querySelector(kind);
    let behind = here;
    while ((rgb(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
    const pair = [getComputedStyle(here).color, getComputedStyle(behind).backgroundColor].map(light);
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}"""


NOTEBOOKS = {"planted": CELLS, "endless": [BACKEND, "Chat(Planted(100_000), prompt='Hi')"]}


def test_a_learner_goes_through_the_lesson(address, shots):
    with lab.page(address, NOTEBOOK) as tab:
        hosts = set()
        tab.on("request", lambda sent: hosts.add(urlsplit(sent.url).netloc))
        lab.run_all(tab)
        assert lab.errors(tab) == []
        numbers = [int(prompt.strip("[]:")) for prompt in lab.prompts(tab)]
        assert numbers == sorted(numbers) and len(numbers) > 10
        asks_by_keyboard(tab)
        takes_the_quiz(tab)
        assert tab.locator(".slm-badge", has_text="POCKET").count() >= 1
        lab.themes(tab, shots / "lesson 00", lambda: can_be_read(tab))
        assert {host for host in hosts if host not in address} <= {""}  # "": pictures inside the page (data:)


def contrasts(tab):
    """The contrast of text against what lies behind it (WCAG, 1 to 21), for each kind of text in the widgets."""
    kinds = (".slm-badge", ".widget-html-content pre", "td", "[role=status]")
    return {kind: tab.evaluate(CONTRAST, kind) for kind in kinds}


def can_be_read(tab):
    assert contrasts(tab) and min(contrasts(tab).values()) >= 4.5, contrasts(tab)


def asks_by_keyboard(tab):
    """Ask in the chat widget with the keyboard only."""
    box = tab.get_by_role("textbox", name="Prompt")
    box.fill("How much is a cup of tea?")
    box.press("Enter")
    tab.get_by_text(re.compile(r"^Done: \d+ tokens\.")).wait_for()
    answer = chat_of(tab).locator(".slm-growing")
    assert answer.inner_text().strip()
    tab.wait_for_timeout(600)
    box.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Send"
    tab.keyboard.press("Enter")
    tab.get_by_text(re.compile(r"^Done: \d+ tokens\.")).wait_for()


def chat_of(tab):
    return tab.locator(".jp-OutputArea-output", has=tab.get_by_role("button", name="Send"))


def takes_the_quiz(tab):
    """Every choice of the first question: one is right, the others are explained."""
    quiz = tab.locator(".jp-OutputArea-output", has=tab.get_by_role("button", name="Start over"))
    quiz.get_by_role("button", name="Start over").click()
    quiz.get_by_text(re.compile(r"^0 of \d right")).wait_for()
    said = []
    for number in range(3):
        quiz.get_by_role("radio").nth(number).check()
        quiz.get_by_role("button", name="Check").first.click()
        tab.wait_for_timeout(300)
        said.append(quiz.get_by_role("status").first.inner_text())
    assert sum(text.startswith("✓ Right.") for text in said) == 1
    assert sum(text.startswith("✗ Not quite.") for text in said) == 2
    assert all(len(text) > 20 for text in said)
    quiz.get_by_text(re.compile(r"^1 of \d right")).wait_for()


def test_text_of_a_model_stays_text(address):
    with lab.page(address, "planted.ipynb") as tab:
        asked = lab.run_heard(tab)
        tab.get_by_role("button", name="Send").dblclick()
        tab.get_by_text("Done: 20 tokens.").wait_for()
        assert tab.get_by_text('onerror="window.planted').count() >= 3  # chat, completion and verdict show it as it is
        assert tab.evaluate("window.planted") is None
        assert not [url for url in asked if "planted.png" in url]
        assert chat_of(tab).locator("b, img, script").count() == 0


def test_stop_keeps_what_is_written(address):
    with lab.page(address, "endless.ipynb") as tab:
        lab.run_all(tab)
        tab.get_by_role("button", name="Send").click()
        tab.get_by_text("</script>..").wait_for()  # it shows what is written while more is coming
        tab.get_by_role("button", name="Stop").click()
        tab.get_by_text("Stopped.").wait_for()
        written = chat_of(tab).locator(".slm-growing").inner_text()
        tab.wait_for_timeout(500)
        assert chat_of(tab).locator(".slm-growing").inner_text() == written
