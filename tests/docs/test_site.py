"""The documentation has one order, its drawings are whole, and what is said twice is the same."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

import camml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def pages(nav: list[Any]) -> list[str]:
    """Return the pages of the navigation, in its order."""
    listed: list[str] = []
    for entry in nav:
        for target in entry.values():
            listed += pages(target) if isinstance(target, list) else [target]
    return listed


def test_the_navigation_leads_to_each_page_once() -> None:
    listed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])
    assert len(listed) == len(set(listed))
    assert {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - set(listed) == set()


@pytest.mark.parametrize("name", ["model", "retrieval"])
def test_drawings_say_in_words_what_they_show(name: str) -> None:
    root = ET.parse(DOCS / "images" / f"{name}.svg").getroot()
    space = {"svg": "http://www.w3.org/2000/svg"}
    assert root.findtext("svg:title", namespaces=space)
    assert len(root.findtext("svg:desc", "", space)) > 100


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == camml.__version__
    assert citation["preferred-citation"]["year"] == 2024


def test_contributing_points_to_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for path in re.findall(r"`((?:src|tests)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
    for row in re.findall(r"^\| a.*", text, re.MULTILINE):
        _, _, folder, _, examples, *_ = (cell.strip() for cell in row.split("|"))
        for example in re.findall(r"`(\w+\.py)`", examples):
            assert (ROOT / folder.strip("`") / example).is_file(), example


def test_continuous_integration_calls_targets_that_make_has() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^(\w+ \?=)", makefile, re.MULTILINE))
    for file in (ROOT / ".github" / "workflows" / "ci.yml", ROOT / ".ci" / "run", ROOT / "CONTRIBUTING.md"):
        words = {
            word
            for line in re.findall(r"(?:^|run: |^ +)make ([\w =-]+)", file.read_text("utf-8"), re.MULTILINE)
            for word in line.split()
        }
        given = {f"{word.partition('=')[0]} ?=" for word in words if "=" in word}
        called = {word for word in words if "=" not in word}
        assert called
        assert called <= targets, f"{file}: {called - targets}"
        assert given <= variables, f"{file}: {given - variables}"
