"""What the documents say exists, exists: commands, files, links, variables, and a reason for every dependency."""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from utils import catalog, cli
from utils.__main__ import COMMANDS, FIRST_LESSON
from utils.packages import requirements, tools_for_tests

REPO = Path(__file__).parents[2]
FOLDERS = ("lessons", "utils/pocket", "utils/server")
PAGES = [
    REPO / "README.md",
    REPO / "CONTRIBUTING.md",
    REPO / "lessons/glossary.md",
    *(REPO / folder / "README.md" for folder in FOLDERS),
]
NOTEBOOKS = sorted(REPO.glob("lessons/**/*.ipynb"))
# never imported by our code, but needed by what is: the model builder, Jupyter, torch
ELSEWHERE = {None, "HF_HOME", "HF_HUB_CACHE"}  # Hugging Face's own, for those who have moved its cache
INDIRECT = {"onnx", "onnx-ir", "onnxscript", "jupyterlab", "jupyter-server", "jsonschema", "ipykernel"}


def name(path: Path) -> str:
    return path.relative_to(REPO).as_posix()


def read(path: Path) -> str:
    """A page's text; a notebook's markdown."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def blocks(text: str) -> list[str]:
    return re.findall(r"^```[^\n]*\n(.*?)^```", text, re.M | re.S)


def anchors(text: str) -> set[str]:
    """The #anchors of a page's headings, as code hosts make them."""
    titles = re.findall(r"^#+ +(.+?) *$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def tree(block: str) -> Iterator[str]:
    """The paths of a file tree drawn with indentation: "utils/" and below it "  core.py   what it is"."""
    above: list[tuple[int, str]] = []
    for line in filter(str.strip, block.splitlines()):
        bare = line.lstrip("│├└─ \u00a0")
        indent = len(line) - len(bare)
        above = [(depth, path) for depth, path in above if depth < indent]
        path = (above[-1][1] if above else "") + bare.split()[0]
        above.append((indent, path if path.endswith("/") else f"{path}/"))
        yield path


def test_a_tree_is_read_as_it_is_drawn() -> None:
    drawn = ["b/", "b/c.py", "b/d/", "b/d/e", "f"]
    assert list(tree("b/     text\n  c.py  text\n\n  d/\n    e\nf\n")) == drawn
    assert list(tree("b/\n├── c.py\n└── d/\n    └── e\nf\n")) == drawn


def test_the_commands_we_list_are_the_commands_there_are() -> None:
    assert set(COMMANDS) == {"lab", "setup", "test", *cli.COMMANDS}
    assert (REPO / FIRST_LESSON).is_file()


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=name)
def test_commands_exist(page: Path) -> None:
    assert set(re.findall(r"\bpython3? -m utils ([a-z]+)", read(page))) <= set(COMMANDS)


def test_the_readme_shows_the_two_commands() -> None:
    code = "\n".join(blocks(read(REPO / "README.md")))
    assert "python -m utils lab" in code and "python -m utils test" in code


def test_the_readmes_file_tree_is_true() -> None:
    trees = [block for block in blocks(read(REPO / "README.md")) if re.search(r"^\W*utils/", block, re.M)]
    assert len(trees) == 1
    paths = list(tree(trees[0]))
    assert len(paths) > 10 and [path for path in paths if not list(REPO.glob(path.rstrip("/")))] == []


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    text = read(page)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    for target in re.findall(r"\]\(<?([^)\s>]+)", prose) + re.findall(r'(?:src|href)="([^"]+)"', prose):
        if re.match(r"[a-z]+:", target):
            assert target.startswith(("https://", "mailto:")), target
            continue
        file, _, anchor = target.partition("#")
        found = page.parent / file if file else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(read(found)), target


def test_every_variable_can_be_found_in_the_example() -> None:
    rows = catalog.load()
    named = {route.endpoint_variable for route in rows.routes.values()} | {*rows.keys} - {None}
    for file in REPO.glob("utils/**/*.py"):
        named |= set(re.findall(r'\bvariable\("([A-Z_]+)"', read(file)))
    example = set(re.findall(r"^# ([A-Z_]+)=", (REPO / ".env.example").read_text(encoding="utf-8"), re.M))
    assert {"SLM_MODE", "SLM_CACHE"} <= named - {None} and named - example - ELSEWHERE == set()


def test_every_dependency_has_a_reason_and_a_floor() -> None:
    *lines, last = (REPO / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert last.startswith("-e .")
    assert [line for line in lines if not re.match(r"[\w-]+(==|>=|<)[\d.]+(b\d+)? +# (\S+ ){3}", line)] == []
    assert "- -r requirements.txt" in (REPO / "environment.yml").read_text(encoding="utf-8")


def test_every_dependency_is_used_and_every_import_is_listed() -> None:
    imported: set[str] = set()
    for file in [*REPO.glob("utils/**/*.py"), *REPO.glob("lessons/*.py"), *NOTEBOOKS]:
        for node in ast.walk(ast.parse(code_of(file))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    imported = {{"azure": "azure_ai_inference", "PIL": "pillow"}.get(name, name) for name in imported}
    outside = {module.replace("_", "-") for module in imported - sys.stdlib_module_names - {"utils"}}
    listed = {re.split(r"[<>=]", line)[0].replace("_", "-") for line in requirements()}
    came_with = {"nbformat", "nbclient", "IPython", "traitlets", "huggingface-hub"}  # JupyterLab's, transformers' own
    came_with |= {"openvino", "openvino-tokenizers", "h11", "ml-dtypes"}  # of what is listed
    came_with |= {"pydantic-core", "referencing"}  # pydantic's reader of JSON; what jsonschema follows a $ref with
    optional = {re.split(r"[<>=\[]", line)[0] for line in tools_for_tests()}
    assert outside - listed - came_with - optional == set()
    assert listed - outside - INDIRECT == set()


def code_of(file: Path) -> str:
    if file.suffix != ".ipynb":
        return read(file)
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def test_the_tools_for_tests_are_named_in_the_projects_file() -> None:
    assert {"pytest", "nbval", "ruff", "mypy"} <= {re.split(r"[<>=]", line)[0] for line in tools_for_tests()}


@pytest.mark.parametrize(("system", "there"), [("linux", True), ("win32", False)])
def test_tools_for_one_system_are_asked_for_on_no_other(
    system: str, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", system)
    assert ("mlx[cpu]>=0.32" in tools_for_tests()) is there
