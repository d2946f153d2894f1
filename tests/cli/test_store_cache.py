"""`camml store cache`, and that answering uses what it left."""

import json
from pathlib import Path

import pytest

from camml import encoders
from camml.cli import main
from camml.datastore import Datastore
from camml.model import CamMLForConditionalGeneration
from tests import tiny


@pytest.fixture
def store(tmp_path: Path) -> Path:
    Datastore.build(tmp_path / "store", tiny.samples(tmp_path), encoders.load("hashed"))
    return tmp_path / "store"


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.long
def test_is_filled_once_and_used_by_ask(capsys, store: Path, camml_folder: Path, monkeypatch) -> None:
    asked = ("ask", "what", "--store", store, "--model", camml_folder, "--shots", 3, "--max-new-tokens", 4)
    plain = call(capsys, *asked)
    assert not (store / "cache").exists()
    cache = ("store", "cache", "--store", store, "--model", camml_folder)
    first = call(capsys, *cache)
    assert (first["samples"], first["computed"]) == (4, 4)
    assert first["bytes"] == sum(file.stat().st_size for file in (store / "cache").rglob("*.f16")) > 0
    assert call(capsys, *cache)["computed"] == 0
    monkeypatch.setattr(CamMLForConditionalGeneration, "encode_samples", None)
    assert call(capsys, *asked)["answer"] == plain["answer"]
    datastore = Datastore.open(store, encoders.load("hashed"))
    datastore.remove(["words"])  # a writer sweeps the folder up, and the cache is no litter
    assert call(capsys, *asked)["answer"]


@pytest.mark.long
def test_is_filled_by_answering_where_it_is_wanted(capsys, store: Path, camml_folder: Path) -> None:
    report = call(capsys, "store", "cache", "--store", store, "--model", camml_folder, "--lazy")
    assert (report["computed"], report["bytes"]) == (0, 0)
    call(capsys, "ask", "what", "--store", store, "--model", camml_folder, "--shots", 2, "--max-new-tokens", 2)
    assert call(capsys, "store", "cache", "--store", store, "--model", camml_folder)["computed"] == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--cache-gb", "0"), "a cache of 0 GB is too small"),
        (("--batch-size", "0"), "batch"),
        (("--model", "llm"), "does not hold a CaMML model"),
        (("--store", "nowhere"), "nowhere"),
    ],
)
def test_mistakes_are_one_line(capsys, store: Path, camml_folder: Path, llm_folder: Path, more, message) -> None:
    given = {"--store": store, "--model": camml_folder} | {more[0]: llm_folder if more[1] == "llm" else more[1]}
    assert main(["store", "cache", *(str(piece) for pair in given.items() for piece in pair)]) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("camml: error")]
    assert message in line
    assert not (store / "cache").exists()
