"""Docstrings are written as the field writes them: functions begin with a verb, classes say what they are.

Variables are called by what they hold.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import camml

SOURCE = Path(camml.__file__).parent
RIDDLES = frozenset({"How", "Of", "That", "What", "When", "Where", "Whether", "Which", "Who", "Why"})
"""No docstring begins like this: the reader must guess what the sentence is about."""
NOUNS = frozenset(
    {
        "A",
        "All",
        "An",
        "As",
        "At",
        "By",
        "Each",
        "Every",
        "For",
        "If",
        "In",
        "It",
        "Its",
        "None",
        "Not",
        "Nothing",
        "Some",
    }
    | {"The", "Those", "Two", "Up"}
)
"""A function's docstring begins with what it does, not with what it gives."""
VAGUE = frozenset({"found", "it", "kept", "one", "room", "settled", "sought", "stuff", "tmp"})
"""Variables with such a name could hold anything."""
FILES = sorted(SOURCE.rglob("*.py"))

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def is_property(node: ast.AST) -> bool:
    """Return True for a property, which may be described by a noun."""
    decorators = getattr(node, "decorator_list", [])
    return any(ast.unparse(decorator).endswith("property") for decorator in decorators)


def riddles(tree: ast.AST) -> Iterator[str]:
    """Yield the name and the beginning of every docstring that should begin otherwise."""
    for node in ast.walk(tree):
        if not isinstance(node, Definition | ast.Module):
            continue
        docstring = ast.get_docstring(node)
        if not docstring:
            continue
        first, name = docstring.split()[0].rstrip(".,:"), getattr(node, "name", "the file")
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_property(node)
        if first in RIDDLES or (function and (first in NOUNS or not first[0].isupper())):
            yield f"{name}: {docstring.splitlines()[0]}"


def vague_names(tree: ast.AST) -> Iterator[str]:
    """Yield the vague names that are assigned to, or that are parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in VAGUE:
            yield f"line {node.lineno}: {node.id}"
        elif isinstance(node, ast.arg) and node.arg in VAGUE:
            yield f"line {node.lineno}: {node.arg}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_docstrings_begin_plainly_and_variables_say_what_they_hold(file: Path) -> None:
    tree = ast.parse(file.read_text())
    assert list(riddles(tree)) == []
    assert list(vague_names(tree)) == []


@pytest.mark.parametrize("text", ["found = 1", "[one for one in range(3)]", "def f(room): ...", "(it, a) = 1, 2"])
def test_a_vague_name_is_noticed(text: str) -> None:
    assert len(list(vague_names(ast.parse(text)))) == 1


@pytest.mark.parametrize(
    "text",
    [
        '"""What an encoder is."""',
        'class A:\n    """How it is told."""',
        'def f():\n    """The names."""',
        'def f():\n    """Whether it is there."""',
        'def f():\n    """float32[N, D]: vectors."""',
        'async def f():\n    """`record[key]`."""',
        'class A:\n    @property\n    def f(self):\n        """What it is."""',
    ],
)
def test_a_riddle_is_noticed(text: str) -> None:
    assert len(list(riddles(ast.parse(text)))) == 1


@pytest.mark.parametrize(
    "text",
    [
        '"""Encoders and how they are loaded."""',
        'class A:\n    """The names."""',
        'def f():\n    """Return the names."""',
        'class A:\n    @property\n    def f(self):\n        """The names."""',
        "def f():\n    pass",
    ],
)
def test_plain_sentences_pass(text: str) -> None:
    assert list(riddles(ast.parse(text))) == []
