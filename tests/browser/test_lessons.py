"""Each lesson in JupyterLab from top to bottom, in light and dark; and what is played with in them."""

import re

import lab
import pytest

pytestmark = pytest.mark.skipif(lab.chromium() is None, reason="no chromium or Chrome on this machine: install one")

LESSONS = [file.name for file in sorted(lab.LESSONS.glob("*.ipynb")) if not file.name.startswith("00")]  # has its own
TRAINING = """
import time
from utils.pocket.nano import Step
from utils.widgets import Calculator, Training

def work(on_step, stopped):
    done = 0
    while done < 2000 and not stopped():
        done += 1
        time.sleep(0.05)
        on_step(Step(done, 2000, 8 / done, done / 20, done))
    return done
"""
CELLS = [
    TRAINING,
    "print('steps', await Training(work, 'reading').run())",
    "print('steps', await Training(work, 'again').run())",
    "Calculator(lambda size, bits: f'{size * bits / 8:,.1f} GB <b>', size=(1, 4, 40), bits=[16, 8, 4])",
]
NOTEBOOKS = {"training": CELLS}
# lesson: an exercise in it, a wrong answer with what is said of it, and the right one
EXERCISES = {
    "01": ("language.memory", "needed = 15.28", "These are gigabits", "needed = 1.91"),
    "02": ("learning.untrained", "loss = 12.32", "This is in bits", "loss = 8.54"),
    "03": ("choosing.month", "dollars = 0.45", "This is for one day", "dollars = 13.5"),
    "04": ("family.attention", "parameters = 9_437_184", "This is one matrix", "parameters = 37_748_736"),
    "05": ("cloud.tokens", "tokens = 5500", "The last answer of each turn is written", "tokens = 4700"),
}


@pytest.mark.parametrize("lesson", LESSONS)
def test_it_runs_from_top_to_bottom(address, lesson, shots):
    with lab.page(address, lesson) as tab:
        lab.run_all(tab)
        assert lab.errors(tab) == []
        assert tab.get_by_text(": to do. Nothing to check yet").count() >= 2  # exercises wait for the learner
        broken = "it => [...it.querySelectorAll('img')].filter(i => !i.naturalWidth || !i.alt).map(i => i.src)"
        assert tab.locator(".jp-Notebook").evaluate(broken) == []
        wide = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.innerText.slice(0, 80))"
        assert tab.locator(".jp-OutputArea-output").evaluate_all(wide) == []  # as wide as the page
        does_an_exercise(tab, *EXERCISES[lesson[:2]])
        lab.themes(tab, shots / f"lesson {lesson[:2]}")


def does_an_exercise(tab, exercise, wrong, words, right):
    """Wrong first: the learner reads what is off, and a hint; then right."""
    cell = tab.locator(".jp-CodeCell", has=tab.locator(".cm-content", has_text=f'check("{exercise}"'))
    for source, said in ((wrong, f"not yet. {words}"), (wrong, "Hint 2 of 3"), (right, "passed.")):
        cell.locator(".cm-content").click()
        tab.keyboard.press("ControlOrMeta+a")
        tab.keyboard.insert_text(f'{source}\ncheck("{exercise}", {source.split()[0]})')
        tab.keyboard.press("Control+Enter")
        cell.get_by_text(said).wait_for()


def test_a_training_stops_and_a_calculator_answers(address):
    with lab.page(address, "training.ipynb") as tab:
        lab.menu(tab, "Run", "Run All Cells")
        stops_by_button(tab)
        stops_by_interrupt(tab)
        lab.idle(tab)
        assert lab.errors(tab) == []
        calculates_by_keyboard(tab)


def stops_by_button(tab):
    """While the cell runs: the click reaches the kernel beside it."""
    tab.get_by_text(re.compile(r"reading: learning; step \d+ of 2,000")).wait_for()
    tab.get_by_role("button", name="Stop").first.click()
    tab.get_by_text(re.compile(r"reading: stopped; step \d+ of 2,000")).wait_for(timeout=10_000)
    tab.get_by_text(re.compile(r"^steps \d+")).first.wait_for()


def stops_by_interrupt(tab):
    """The kernel's own interrupt does the same, and the cell ends well."""
    tab.get_by_text(re.compile(r"again: learning; step \d+ of 2,000")).wait_for()
    lab.menu(tab, "Kernel", "Interrupt Kernel")
    tab.get_by_text(re.compile(r"again: stopped; step \d+ of 2,000")).wait_for(timeout=10_000)


def calculates_by_keyboard(tab):
    tab.get_by_text("8.0 GB <b>").wait_for()
    tab.get_by_role("slider").focus()
    tab.keyboard.press("ArrowRight")
    tab.get_by_text("10.0 GB <b>").wait_for()
    tab.get_by_label("bits").select_option("4")
    tab.get_by_text("2.5 GB <b>").wait_for()
