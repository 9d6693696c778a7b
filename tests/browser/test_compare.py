"""The compare widget as a learner meets it: real models and planted ones, by keyboard and by mouse, light and dark."""

import re

import lab
import pytest

pytestmark = pytest.mark.skipif(lab.chromium() is None, reason="no chromium or Chrome on this machine: install one")

HOSTILE = (
    '<img src="/planted.png" onerror="window.planted = 1"><script>window.planted = 1</script> '
    "![x](/planted.png) [here](javascript:window.planted=1)"
)
PLANTED = f"""
import time, utils
from utils.errors import NotRunning

class Planted:
    source, hostile = "pocket", {HOSTILE!r}
    def __init__(self, route, model, mode=None):
        self.name, self.model = route, model
    def stream(self, messages, options):
        if self.model == "gone":
            raise NotRunning("It is not running. Start it with: go")
        count = 5_000 if self.model == "fast" else 20
        begun = time.perf_counter()
        for number in range(1, count + 1):
            if self.model == "fast":
                while time.perf_counter() - begun < number / 5_000:
                    time.sleep(0.0005)
            text = self.hostile if number == 1 and self.model != "fast" else "word "
            yield utils.Chunk(text, tokens=number, finish_reason="stop" if number == count else None)
    def close(self):
        pass
"""
CELLS = {
    "real": ["import utils", "utils.Compare(['onnx', 'onnx/pocket-phi-3.5-mini', 'llama.cpp'], 'What is an SLM?')"],
    "hostile": [PLANTED, "utils.Compare(['onnx/<b>one</b>', 'onnx/two', 'onnx/gone'], opened=Planted)"],
    "fast": [PLANTED, "utils.Compare(['onnx/fast'] * 4, opened=Planted)"],
}
FRAMES = """() => { window.frames_seen = []; let last = performance.now();
    const look = now => { window.frames_seen.push(now - last); last = now; requestAnimationFrame(look); };
    requestAnimationFrame(look); }"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def address(home):
    with lab.lab(home) as where:
        for name, cells in CELLS.items():
            lab.write_notebook(home / "work" / f"{name}.ipynb", cells)
        yield where


def done(tab):
    tab.get_by_text(re.compile("^Done. ")).wait_for()


def test_a_newcomer_compares_two_runtimes(address, home, tmp_path_factory):
    shots = tmp_path_factory.getbasetemp() / "screenshots"
    shots.mkdir(exist_ok=True)
    with lab.page(address, "real.ipynb") as tab:
        lab.run_all(tab)
        assert lab.errors(tab) == []
        asks_by_keyboard(tab)
        assert tab.locator(".slm-badge", has_text="POCKET").count() == 3
        assert tab.get_by_text("tokens/s after the first").is_visible()
        votes_blind(tab)
        keeps_its_runs(tab, home)
        for theme in ("JupyterLab Light", "JupyterLab Dark"):
            lab.menu(tab, "Settings", "Theme", theme)
            tab.wait_for_timeout(1000)
            lab.picture(tab, shots / f"compare, {theme}.png")
        tab.set_viewport_size({"width": 700, "height": 1200})
        tab.wait_for_timeout(500)
        tab.screenshot(path=shots / "compare, narrow.png")


def asks_by_keyboard(tab):
    """From the prompt to Run with Tab alone."""
    box = tab.get_by_role("textbox", name="Prompt")
    box.fill("How much is a cup of tea?")
    for _ in range(12):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.textContent") == "Run":
            break
    assert tab.evaluate("document.activeElement.textContent") == "Run"
    tab.keyboard.press("Enter")
    done(tab)


def votes_blind(tab):
    tab.get_by_label("Blind vote").check()
    tab.get_by_role("button", name="Run", exact=True).last.click()
    tab.get_by_role("button", name="B is best").wait_for()
    assert tab.locator(".slm-badge").count() == 0
    tab.get_by_role("button", name="B is best").click()
    tab.get_by_role("columnheader", name="Elo").wait_for()
    assert tab.locator(".slm-badge").count() == 3
    tab.get_by_label("Blind vote").uncheck()


def keeps_its_runs(tab, home):
    """Saved, then taken up again by a new kernel."""
    tab.get_by_role("button", name="Save", exact=True).last.click()
    tab.get_by_text("Saved: comparison.json").wait_for()
    assert (home / "work" / "comparison.json").is_file()
    lab.run_all(tab)
    tab.get_by_role("button", name="Load", exact=True).click()
    tab.get_by_text("Loaded: comparison.json").wait_for()
    assert tab.get_by_text(re.compile(r"^Run 2, of ")).is_visible()


def test_text_of_a_model_stays_text(address):
    with lab.page(address, "hostile.ipynb") as tab:
        asked = lab.run_heard(tab)
        tab.get_by_label("Mark differences").check()
        tab.get_by_role("button", name="Run", exact=True).last.dblclick()
        done(tab)
        assert tab.get_by_text('onerror="window.planted').count() >= 2
        assert tab.get_by_role("alert").get_by_text("It is not running. Start it with: go").is_visible()
        tab.wait_for_timeout(500)
        assert tab.evaluate("window.planted") is None
        assert not [url for url in asked if "planted.png" in url]
        output = tab.locator(".jp-OutputArea-output").last
        assert output.locator("b, img, script, a").count() == 0


def test_four_fast_columns_leave_the_page_alive(address):
    """4 x 5,000 tokens a second: the page keeps drawing, and all of the text arrives."""
    with lab.page(address, "fast.ipynb") as tab:
        lab.run_all(tab)
        tab.get_by_label("Order").select_option("together: all at once")
        tab.evaluate(FRAMES)
        tab.get_by_role("button", name="Run", exact=True).last.click()
        done(tab)
        gaps = sorted(tab.evaluate("window.frames_seen"))
        assert len(gaps) > 20 and gaps[len(gaps) // 2] < 100, f"median {gaps[len(gaps) // 2]} ms between frames"
        texts = tab.locator(".slm-growing").all_inner_texts()
        assert [text.count("word") for text in texts] == [5000] * 4
