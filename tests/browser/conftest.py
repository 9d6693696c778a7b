"""One JupyterLab for each file of tests, with the lessons and with the notebooks that the file brings in NOTEBOOKS."""

import lab
import pytest


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def address(request, home):
    with lab.lab(home) as where:
        for name, cells in request.module.NOTEBOOKS.items():
            lab.write_notebook(home / "work" / f"{name}.ipynb", cells)
        yield where


@pytest.fixture
def shots(tmp_path_factory):
    return lab.shots(tmp_path_factory.getbasetemp())
