"""The house keeps its floors: a file imports its own folder and lower floors; files and functions stay short."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import camml

SOURCE = Path(camml.__file__).parent
FLOORS = [
    [
        "arrays",
        "boxes",
        "chat_api",
        "control",
        "devices",
        "durable",
        "errors",
        "images",
        "json_values",
        "layouts",
        "likeness",
        "packages",
        "passages",
        "pillow",
        "plugins",
        "progress",
        "prompts",
        "ranking",
        "refusals",
        "remote",
        "sizes",
        "tokens",
        "turning",
        "types",
        "words",
    ],
    ["running", "weights"],
    ["encoders", "formats", "stores"],
    ["matching"],
    ["datastore", "evidence", "neighbors", "searches"],
    ["retriever"],
    ["model"],
    ["features"],
    ["factpix"],
    ["answering", "data", "ownpix", "reading"],
    ["assistant"],
    ["distributed", "evaluation", "mcp_server", "serving", "training"],
    ["_registration", "cli"],
    ["__init__", "__main__"],
]
FLOOR = {package: number for number, packages in enumerate(FLOORS) for package in packages}
LONGEST_FILE, LONGEST_FUNCTION = 400, 50
FILES = sorted(SOURCE.rglob("*.py"))


def package_of(file: Path) -> str:
    """The folder in `camml` a file is in, or its own name if it is in none."""
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def packages_imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and package of every import of ours; names from `camml` itself are packages too."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import hides where it leads"
            module = node.module or ""
            names = [f"camml.{alias.name}" for alias in node.names] if module == "camml" else [module]
        for name in names:
            if name.startswith("camml."):
                yield node.lineno, name.split(".")[1]


def climbs(package: str, tree: ast.AST) -> list[str]:
    """What a file of `package` imports and should not."""
    results = []
    for line, other in packages_imported(tree):
        stranger = FLOOR.get(other, 0) >= FLOOR[package] and FLOOR[package] > 0
        upward = FLOOR.get(other, 0) > FLOOR[package]
        if other != package and (upward or stranger):
            results.append(f"line {line}: {package} (floor {FLOOR[package]}) imports {other}")
    return results


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
class TestEveryFile:
    def test_stands_on_a_floor_and_looks_down_only(self, file: Path) -> None:
        package = package_of(file)
        assert package in FLOOR, f"{package} has no floor: give it one here"
        assert climbs(package, ast.parse(file.read_text())) == []

    def test_is_short(self, file: Path) -> None:
        text = file.read_text()
        assert len(text.splitlines()) <= LONGEST_FILE
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                docstring = ast.get_docstring(node, clean=False) or ""
                assert lines - docstring.count("\n") <= LONGEST_FUNCTION, f"{node.name} is {lines} lines long"

    def test_says_what_it_is(self, file: Path) -> None:
        tree = ast.parse(file.read_text())
        assert ast.get_docstring(tree), "a file begins with what it is for"
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{node.name} has no docstring"


@pytest.mark.parametrize(
    ("package", "text"),
    [
        ("model", "from camml.retriever import Retriever\nfrom camml.answering import load"),
        ("stores", "import camml.encoders"),
        ("encoders", "from camml import datastore"),
        ("types", "def f():\n    from camml.model import x"),
    ],
)
def test_an_upward_or_sideways_import_is_found(package: str, text: str) -> None:
    assert climbs(package, ast.parse(text))


@pytest.mark.parametrize(
    ("package", "text"), [("model", "from camml.types import Sample"), ("types", "from camml.errors import InputError")]
)
def test_a_downward_import_is_fine(package: str, text: str) -> None:
    assert climbs(package, ast.parse(text)) == []
