"""A store written from docs/extending.md alone, with the methods listed there, is held to the contract and works."""

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from camml import stores
from camml.cli import main
from camml.datastore import Datastore, verify
from camml.errors import StoreError
from camml.types import Sample
from tests.colors import Colors, sample

FOLDER = Path(__file__).with_name("strangers")
EXTENDING = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture
def strangers() -> Iterator[None]:
    stores.__path__.append(str(FOLDER))
    yield
    stores.__path__.remove(str(FOLDER))
    sys.modules.pop("camml.stores.plain", None)


def test_the_lists_of_methods_are_those_of_the_protocols() -> None:
    for protocol, methods in ((stores.FileStore, stores.IN_FILES), (stores.ServedStore, stores.SERVED)):
        defined = {
            name
            for kind in (stores.VectorStore, protocol)
            for name, value in vars(kind).items()
            if inspect.isfunction(value) or isinstance(value, classmethod)
        }
        inherited = {"__init__", "__subclasshook__", "__init_subclass__", "_no_init_or_replace_init"}
        assert defined - inherited == set(methods)


def test_the_documentation_lists_all_methods() -> None:
    [text] = re.findall(r"\*\*A new vector store is one file\*\*.*?contract", EXTENDING.read_text(), re.DOTALL)
    named = set(re.findall(r"`(\w+)`", text))
    assert {*stores.IN_FILES, *stores.SERVED, "location", "dim"} <= named


@pytest.mark.long
def test_it_is_held_to_the_contract() -> None:
    contract = Path(__file__).with_name("test_contract.py")
    command = [sys.executable, "-m", "pytest", contract, "-q", "-k", "plain", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, env=os.environ | {"CAMML_TEST_STORES": str(FOLDER)}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.usefixtures("strangers")
def test_a_datastore_lives_with_it(tmp_path: Path) -> None:
    samples = [sample(f"s{n}", f"{'red ' * n}{'green ' * (9 - n)}") for n in range(10)]
    store = Datastore.build(tmp_path / "store", samples, Colors(), store="plain")
    for n in range(10, 40):
        store.add([sample(f"s{n}", f"{'blue ' * n} red")])
    store.remove([f"s{n}" for n in range(0, 40, 2)])
    opened = Datastore.open(tmp_path / "store", Colors())
    assert [item.id for item in opened] == [f"s{n}" for n in range(1, 40, 2)]
    same = Datastore.build(tmp_path / "same", list(opened), Colors())
    for words in ("red", "green red", "blue"):
        vectors = Colors().embed_texts([words])
        [result], [expected] = opened.search(vectors, "text", 5), same.search(vectors, "text", 5)
        assert [hit.score for hit in result] == pytest.approx([hit.score for hit in expected], abs=1e-5)
    assert verify(tmp_path / "store") == []


@pytest.mark.usefixtures("strangers")
def test_a_store_that_lacks_a_method_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    half = stores.kind("plain")
    for method in ("first", "holds"):
        monkeypatch.delattr(half, method)
    with pytest.raises(StoreError, match=r"'plain' lacks holds, first; a store needs __len__, add, "):
        Datastore.build(tmp_path / "store", [Sample("a", "red", None, {})], Colors(), store="plain")
    (tmp_path / "s.jsonl").write_text('{"id": "a", "text": "red"}\n')
    build = ["store", "build", str(tmp_path / "s.jsonl"), "--out", str(tmp_path / "store"), "--encoder", "hashed"]
    assert main([*build, "--store", "plain"]) == 2
    assert "lacks holds, first" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
