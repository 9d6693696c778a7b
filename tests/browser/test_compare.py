"""The compare widget as a learner meets it: real models and planted ones, by keyboard and by mouse, light and dark."""

import re
import time

import lab
import psutil
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.skipif(lab.chromium() is None, reason="no chromium or Chrome on this machine: install one")

HOSTILE = (
    '<img src="/planted.png" onerror="window.planted = 1"><script>window.planted = 1</script> '
    "![x](/planted.png) [here](javascript:window.planted=1)"
)
PLANTED = f"""
import os, pathlib, subprocess, sys, time, utils
from utils.errors import NotRunning

class Planted:
    source, hostile = "pocket", {HOSTILE!r}
    def __init__(self, route, model, mode=None):
        self.name, self.model = route, model
    def stream(self, messages, options):
        if self.model == "gone":
            raise NotRunning("It is not running. Start it with: go")
        if self.model == "stuck":
            time.sleep(3600)
        if self.model == "parent":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
            pathlib.Path("processes.txt").write_text(f"{{os.getpid()}} {{child.pid}}")
        long = {{"fast": 5_000, "slow": 5_000, "parent": 5_000}}.get(self.model)
        count = 8 if options.max_tokens == 8 else long or 20  # 8: to warm up
        begun, rate = time.perf_counter(), 5_000 if self.model == "fast" else 20
        for number in range(1, count + 1):
            while long and time.perf_counter() - begun < number / rate:
                time.sleep(0.0005)
            text = self.hostile if number == 1 and not long else "word "
            yield utils.Chunk(text, tokens=number, finish_reason="stop" if number == count else None)
    def close(self):
        pass
"""
NOTEBOOKS = {
    "real": ["import utils", "utils.Compare(['onnx', 'onnx/pocket-phi-3.5-mini', 'llama.cpp'], 'What is an SLM?')"],
    "hostile": [PLANTED, "utils.Compare(['onnx/<b>one</b>', 'onnx/two', 'onnx/gone'], opened=Planted)"],
    "fast": [PLANTED, "utils.Compare(['onnx/fast'] * 4, opened=Planted)"],
    "slow": [PLANTED, "utils.Compare(['onnx/slow', 'onnx/two'], opened=Planted)"],
    "stuck": [PLANTED, "utils.Compare(['onnx/stuck', 'onnx/two'], opened=Planted)"],
    "parent": [PLANTED, "utils.Compare(['onnx/parent'], opened=Planted)"],
}
FRAMES = """() => { window.frames_seen = []; let last = performance.now();
    const look = now => { window.frames_seen.push(now - last); last = now; requestAnimationFrame(look); };
    requestAnimationFrame(look); }"""


def done(tab):
    tab.get_by_text(re.compile("^Done. ")).wait_for()


def run(tab):
    return tab.get_by_role("button", name="Run", exact=True).last


def tab_to(tab, name):
    """With the keyboard alone, from where it is."""
    for _ in range(40):
        tab.keyboard.press("Tab")
        if (
            tab.evaluate("document.activeElement.textContent || document.activeElement.labels?.[0]?.textContent")
            == name
        ):
            return
        if tab.evaluate("document.activeElement.labels?.[0]?.textContent") == name:
            return
    raise AssertionError(f"Tab never came to {name}")


def test_a_newcomer_compares_two_runtimes(address, home, shots):
    with lab.page(address, "real.ipynb") as tab:
        lab.run_all(tab)
        assert lab.errors(tab) == []
        asks_by_keyboard(tab)
        assert tab.locator(".slm-badge", has_text="POCKET").count() == 3
        assert tab.get_by_text("tokens/s after the first").is_visible()
        tab.get_by_label("Mark differences").check()
        tab.locator("mark").first.wait_for()
        measures_memory(tab)
        lab.themes(tab, shots / "compare, after a run")
        votes_blind(tab, shots)
        keeps_its_runs(tab, home)
        looks_back_by_keyboard(tab)
        lab.themes(tab, shots / "compare, from a file")
        tab.set_viewport_size({"width": 700, "height": 1200})
        tab.wait_for_timeout(500)
        tab.screenshot(path=shots / "compare, narrow.png")


def asks_by_keyboard(tab):
    """From the prompt to Run with Tab alone."""
    box = tab.get_by_role("textbox", name="Prompt")
    box.fill("A story about Maria and a little garden")
    tab_to(tab, "Run")
    tab.keyboard.press("Enter")
    done(tab)


def measures_memory(tab):
    tab.get_by_role("button", name="Measure memory").click()
    tab.get_by_text("Memory measured.").wait_for()
    assert tab.get_by_text(re.compile(r"peak memory \d+ MB in a process of its own")).count() == 3
    assert tab.get_by_text("MB of memory at the peak").is_visible()


def votes_blind(tab, shots):
    """From the checkbox to the vote with the keyboard alone."""
    tab.get_by_label("Blind vote").focus()
    tab.keyboard.press("Space")
    run(tab).focus()
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="B is best").wait_for()
    assert tab.locator(".slm-badge").count() == 0
    assert tab.get_by_label("History").is_disabled()
    lab.picture(tab, shots / "compare, a blind vote.png")
    tab.get_by_label("Blind vote").focus()
    tab_to(tab, "B is best")
    tab.keyboard.press("Enter")
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


def looks_back_by_keyboard(tab):
    tab.get_by_label("History").focus()
    tab.keyboard.press("1")
    tab.get_by_text(re.compile(r"^Run 1, of .*: at most 128 tokens, temperature 0\.")).wait_for()


def test_text_of_a_model_stays_text(address, shots):
    with lab.page(address, "hostile.ipynb") as tab:
        asked = lab.run_heard(tab)
        tab.get_by_label("Mark differences").check()
        run(tab).dblclick()
        done(tab)
        assert tab.get_by_text('onerror="window.planted').count() >= 2
        assert tab.get_by_role("alert").get_by_text("It is not running. Start it with: go").is_visible()
        tab.wait_for_timeout(500)
        lab.themes(tab, shots / "compare, an error")
        assert tab.evaluate("window.planted") is None
        assert not [url for url in asked if "planted.png" in url]
        output = tab.locator(".jp-OutputArea-output").last
        assert output.locator("b, img, script, a").count() == 0


def test_models_are_picked_by_keyboard_and_every_control_has_a_name(address):
    with lab.page(address, "hostile.ipynb") as tab:
        lab.run_all(tab)
        tab.get_by_label("Route 1").focus()
        tab.keyboard.press("l")  # the browser goes to the first that begins with it
        tab.keyboard.press("Tab")
        model = tab.get_by_label("Model 1")
        expect(model).to_be_focused()
        expect(model).to_have_value("")  # of another route
        expect(model).to_have_attribute("placeholder", "usual")
        tab.keyboard.type("pocket-phi-3-medium")
        tab.keyboard.press("Tab")
        expect(tab.get_by_label("Precision 1")).to_be_focused()
        tab.keyboard.press("q")
        run(tab).focus()
        tab.keyboard.press("Enter")
        done(tab)
        assert tab.get_by_role("heading", name="pocket-phi-3-medium:q8_0 on llama.cpp").is_visible()
        assert tab.get_by_role("spinbutton", name="Temperature").is_visible()
        controls = tab.locator(".jp-OutputArea-output").last.locator("input:not([type=file]), select, textarea")
        named = controls.evaluate_all("them => them.map(it => it.labels?.[0]?.textContent.trim() ?? '')")
        assert all(named) and len(named) == len(set(named)) >= 17, named


def test_a_picture_comes_and_goes(address, tmp_path):
    from utils.pocket import pictures

    file = tmp_path / "red.png"
    file.write_bytes(
        pictures.png(pictures.Picture((255, 255, 255), (pictures.shape("circle", 42, 42, 10, "red"),)).draw())
    )
    with lab.page(address, "slow.ipynb") as tab:
        lab.run_all(tab)
        for _ in range(2):  # the same file may come again
            with tab.expect_file_chooser() as chooser:
                tab.get_by_role("button", name="Pictures (0)").click()
            chooser.value.set_files(file)
            tab.get_by_text("red.png", exact=True).wait_for()
            tab.get_by_role("button", name="Remove pictures").click()
            expect(tab.get_by_text("red.png", exact=True)).to_have_count(0)
        tab.get_by_label("Examples").select_option("A picture, for a vision model")
        tab.get_by_text("red circle, yellow star, blue square.png").wait_for()


def test_stop_by_keyboard_keeps_what_is_written(address):
    """It is shown while more is coming; after Stop nothing comes any more."""
    with lab.page(address, "slow.ipynb") as tab:
        lab.run_all(tab)
        run(tab).focus()
        tab.keyboard.press("Enter")
        first = tab.locator(".slm-growing").first
        expect(first).to_have_text(re.compile("word word"))
        assert (
            tab.get_by_label("Route 1").is_disabled()
            and tab.get_by_role("button", name="Load", exact=True).is_disabled()
        )
        tab_to(tab, "Stop")
        tab.keyboard.press("Enter")
        tab.get_by_text("Stopped.", exact=True).first.wait_for()
        written = first.inner_text()
        assert 2 <= written.count("word") < 5000
        tab.wait_for_timeout(500)
        assert first.inner_text() == written
        expect(run(tab)).to_be_enabled()


def test_stop_waits_for_no_model(address):
    """This one would be silent for an hour."""
    with lab.page(address, "stuck.ipynb") as tab:
        lab.run_all(tab)
        run(tab).click()
        tab.get_by_text("Answering ...", exact=True).first.wait_for()
        tab.get_by_role("button", name="Stop").click()
        tab.get_by_text("Stopped.", exact=True).first.wait_for(timeout=10_000)
        expect(run(tab)).to_be_enabled()


def test_a_restart_leaves_no_process_behind(address, home):
    """In the middle of an answer; then the widget answers again."""
    with lab.page(address, "parent.ipynb") as tab:
        lab.run_all(tab)
        run(tab).click()
        expect(tab.locator(".slm-growing")).to_have_text(re.compile("word word"))
        before = [int(number) for number in (home / "work" / "processes.txt").read_text().split()]
        assert all(map(alive, before))
        lab.run_all(tab)
        end = time.monotonic() + 20
        while any(map(alive, before)) and time.monotonic() < end:
            time.sleep(0.1)
        assert not any(map(alive, before))
        assert tab.locator(".slm-growing").inner_text().strip() == ""
        run(tab).click()
        expect(tab.locator(".slm-growing")).to_have_text(re.compile("word word"))
        lab.run_all(tab)


def alive(number):
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_four_fast_columns_leave_the_page_alive(address):
    """4 x 5,000 tokens a second: the page keeps drawing, and all of the text arrives, as fast as it is made."""
    with lab.page(address, "fast.ipynb") as tab:
        lab.run_all(tab)
        tab.get_by_label("Order").select_option("together: all at once")
        tab.evaluate(FRAMES)
        run(tab).click()
        done(tab)
        gaps = sorted(tab.evaluate("window.frames_seen"))
        middle, late, most = gaps[len(gaps) // 2], gaps[len(gaps) * 95 // 100], gaps[-1]
        # On two idle cores: 17, 50 and 220 ms. A machine that has other work to do is slower; a frozen page is worse.
        assert len(gaps) > 20 and middle < 100 and late < 300 and most < 2000, f"{middle}, {late}, {most} ms"
        texts = tab.locator(".slm-growing").all_inner_texts()
        assert [text.count("word") for text in texts] == [5000] * 4
        said = " ".join(tab.get_by_role("status").all_inner_texts())
        rates = [int(found.replace(",", "")) for found in re.findall(r"then ([\d,]+) tokens/s", said)]
        assert len(rates) == 4 and min(rates) > 2500, rates  # 5,000 are sent
