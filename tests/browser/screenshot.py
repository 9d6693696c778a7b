"""Take the README's picture of lesson 00:  python tests/browser/screenshot.py lessons/images/lesson-00.png"""

import re
import sys
import tempfile
from pathlib import Path

import lab


def take(file: Path) -> None:
    """Run the lesson, ask the chat widget something, and photograph the page from the tokens on."""
    with tempfile.TemporaryDirectory() as home, lab.lab(Path(home)) as at, lab.page(at, "00_start_here.ipynb") as tab:
        lab.menu(tab, "View", "Appearance", "Show Left Sidebar")
        lab.run_all(tab)
        tab.get_by_role("button", name="Send").click()
        tab.get_by_text(re.compile(r"^Done: \d+ tokens\.")).wait_for()
        tab.get_by_role("heading", name="One token at a time").evaluate("it => it.scrollIntoView()")
        tab.wait_for_timeout(500)
        tab.screenshot(path=file)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
