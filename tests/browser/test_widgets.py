"""The tokenizer explorer, the next-token explorer and the chat as a learner meets them, in light and dark."""

import re

import lab
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.skipif(lab.chromium() is None, reason="no chromium or Chrome on this machine: install one")

HOSTILE = '<img src="/planted.png" onerror="window.planted = 1">'
LOOK = "lambda: [N(name='Ollama', status='missing', detail='not here', fix='Run `ollama serve && \"<b>\"` first.')]"
CELLS = [
    "import utils\nfrom types import SimpleNamespace as N\nfrom utils.widgets import Chat, Doctor, Sampling, Tokens\n"
    "model = utils.connect('onnx', mode='offline')",
    f"Doctor({LOOK})",
    "Tokens('The hut is open.')",
    "Sampling(model, 'The hut is')",
    "Chat(model, prompt='What is a token?')",
]


NOTEBOOKS = {"widgets": CELLS}


def test_the_widgets_answer_to_the_learner(address, shots):
    with lab.page(address, "widgets.ipynb") as tab:
        asked = lab.run_heard(tab)
        copies_a_command(tab)
        cuts_text(tab)
        rolls_dice(tab)
        talks(tab)
        lab.themes(tab, shots / "widgets")
        assert tab.evaluate("window.planted") is None
        assert not [url for url in asked if "planted.png" in url]


def copies_a_command(tab):
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    copy = tab.get_by_role("button", name="Copy the command for Ollama")
    copy.click()
    expect(copy).to_have_text("Copied")
    assert tab.evaluate("navigator.clipboard.readText()") == 'ollama serve && "<b>"'


def cuts_text(tab):
    """As it is typed; what is typed stays text."""
    box = tab.get_by_role("textbox", name="Text").first
    counted = tab.get_by_text(re.compile(r"^\d+ tokens for \d+ characters"))
    before = counted.inner_text()
    box.fill(f"厨房在哪里？ {HOSTILE}")
    tab.get_by_text(f"for {8 + len(HOSTILE) - 1} characters").wait_for()
    tab.get_by_label("in the chat template").check()
    tab.locator("span", has_text="<|user|>").first.wait_for()
    tab.get_by_text("The same sentence in six languages").click()
    assert tab.get_by_role("cell", name="Wo ist die Küche?").is_visible()
    assert counted.inner_text() != before


def rolls_dice(tab):
    """A token by its probability, the sliders by keyboard, a token of one's own, and back."""
    tab.get_by_role("button", name="Roll the dice").click()
    tab.get_by_text("1 token taken.").wait_for()
    tab.locator(".widget-hslider", has_text="Temperature").get_by_role("slider").focus()
    for _ in range(12):
        tab.keyboard.press("ArrowLeft")
    tab.get_by_role("cell", name="100.0%").wait_for()  # at temperature 0 one token has it all
    pick = tab.get_by_label("Or pick")
    for _ in range(2):  # the same one can be picked again
        expect(pick.locator("option:checked")).to_have_text("a token")
        pick.select_option(index=2)
        tab.get_by_text("2 tokens taken.").wait_for()
        tab.get_by_role("button", name="One back").click()
        tab.get_by_text("1 token taken.").wait_for()


def talks(tab):
    tab.get_by_role("textbox", name="Prompt").press("Enter")
    tab.get_by_text(re.compile(r"^Done: \d+ tokens")).wait_for()
    tab.get_by_role("textbox", name="Prompt").fill(HOSTILE)
    tab.wait_for_timeout(600)  # two clicks within half a second count as one
    tab.get_by_role("button", name="Send").click()
    tab.get_by_role("button", name="Edit").wait_for()
    tab.get_by_text(re.compile(r"^Done: \d+ tokens")).wait_for()
    tab.get_by_role("button", name="Edit").click()
    expect(tab.get_by_role("textbox", name="Prompt")).to_have_value("What is a token?")
