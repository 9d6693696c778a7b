"""Skipped cells: a missing name says what to run, everything else is shown as always."""

import subprocess
import sys

import pytest
from IPython.core.interactiveshell import InteractiveShell

from utils import notebook
from utils.__main__ import lab_environment


@pytest.fixture
def shell(monkeypatch):
    made = InteractiveShell()
    monkeypatch.setattr("IPython.get_ipython", lambda: made)
    notebook.explain()
    return made


def shown(shell, capsys, cell):
    result = shell.run_cell(cell)
    said = capsys.readouterr()
    return result, said.out + said.err


def test_a_skipped_cell_is_told(shell, capsys):
    result, said = shown(shell, capsys, "x = 1\nmodel.stream(x)")
    assert isinstance(result.error_in_exec, NameError)
    assert "NameError in line 2: 'model' is not known yet. Run the cells above first" in said
    assert "Traceback" not in said


def test_a_name_that_is_misspelt_is_asked_about(shell, capsys):
    shell.run_cell("connect = 1")
    assert "Did you mean 'connect'?" in shown(shell, capsys, "conect + 1")[1]


@pytest.mark.parametrize(
    "cell", ["import textwrap\ntextwrap.wrap(3)", "def f():\n    a += 1\nf()", "1 / 0", "exec('b', {'__name__': 'c'})"]
)
def test_other_errors_are_shown_as_always(shell, capsys, cell):
    _, said = shown(shell, capsys, cell)
    assert "Error" in said and "not known yet" not in said


def test_the_next_cell_runs(shell, capsys):
    shown(shell, capsys, "nothing_here")
    assert shown(shell, capsys, "print(6 * 7)")[1] == "42\n"


def test_the_lab_begins_with_it(monkeypatch):
    monkeypatch.delenv("PYTHONSTARTUP", raising=False)
    file = lab_environment()["PYTHONSTARTUP"]
    assert subprocess.run([sys.executable, file], check=True, capture_output=True).stderr == b""
    monkeypatch.setenv("PYTHONSTARTUP", "my.py")
    assert lab_environment()["PYTHONSTARTUP"] == "my.py"
