"""`camml store` as a person and as a program use it."""

import json
import threading
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from camml.cli import _store
from camml.datastore import Datastore
from camml.datastore.files import only_writer
from camml.features.reranking import Reranker
from tests.cli.conftest import Run
from tests.colors import picture


@pytest.fixture
def source(tmp_path: Path) -> Path:
    entries = [
        {"id": color, "image": picture(tmp_path / "pictures", color).name, "text": f"a {color} picture", "kind": kind}
        for color, kind in (("red", "pure"), ("blue", "pure"), ("yellow", "mixed"))
    ]
    path = tmp_path / "pictures" / "samples.json"
    path.write_text(json.dumps(entries))
    return path


@pytest.fixture
def store(tmp_path: Path, source: Path, run: Run) -> Path:
    options = ("--encoder", "hashed", "--encoder-option", "joint=true", "--encoder-option", "dim=64")
    assert run("build", source, "--out", tmp_path / "store", *options)[0] == 0
    return tmp_path / "store"


def ids(output: str) -> list[str]:
    return [neighbor["id"] for neighbor in json.loads(output)["neighbors"]]


def test_build_and_info(tmp_path: Path, source: Path, run: Run) -> None:
    code, output, errors = run("build", source, "--out", tmp_path / "store", "--encoder", "hashed", "--json")
    assert (code, errors) == (0, "")
    report = json.loads(output)
    assert {name: report[name] for name in ("added", "samples", "image", "text", "skipped")} == {
        "added": 3,
        "samples": 3,
        "image": 3,
        "text": 3,
        "skipped": [],
    }
    facts = json.loads(run("info", "--store", tmp_path / "store", "--json")[1])
    assert (facts["encoder"], facts["samples"], facts["joint"], facts["generation"]) == ("hashed", 3, False, 1)
    code, output, _ = run("info", "--store", tmp_path / "store", "--verify")
    assert code == 0
    assert "problems   []" in output


def test_search_by_text_image_and_both(store: Path, tmp_path: Path, run: Run) -> None:
    code, output, _ = run("search", "--store", store, "--text", "red", "-k", 2)
    assert code == 0
    first, text, *_ = output.splitlines()
    assert "red" in first.split()
    assert first.endswith("red.png")
    assert text.strip() == "a red picture"
    image = picture(tmp_path, "blue", "query")
    assert ids(run("search", "--store", store, "--image", image, "-k", 1, "--json")[1]) == ["blue"]
    both = ("--text", "a yellow picture", "--image", image, "--mode", "fused", "--json")
    assert set(ids(run("search", "--store", store, *both)[1])) == {"red", "blue", "yellow"}
    only = ("--text", "a red picture", "--mode", "text-text", "--where", "kind=mixed", "--json")
    assert ids(run("search", "--store", store, *only)[1]) == ["yellow"]


def test_add_and_remove(store: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "more.jsonl").write_text('{"id": "n1", "text": "one"}\n{"id": "n2", "text": "two"}\n')
    code, output, _ = run("add", tmp_path / "more.jsonl", "--store", store)
    assert code == 0
    assert output.startswith("added 2 in ")
    assert "now holds 5 samples, 3 with an image" in output
    code, output, _ = run("remove", "n1", "red", "--store", store, "--json")
    assert (code, json.loads(output)["removed"], json.loads(output)["samples"]) == (0, 2, 3)
    assert [sample.id for sample in Datastore.open(store)] == ["blue", "yellow", "n2"]


def test_skipping_bad_samples(source: Path, tmp_path: Path, run: Run) -> None:
    (source.parent / "broken.png").write_bytes(b"")
    entries: list[Any] = json.loads(source.read_text())
    entries += [
        {"id": "b", "image": "broken.png", "text": "broken"},
        {"id": "e", "text": ""},
        {"id": "red", "text": "x"},
    ]
    source.write_text(json.dumps(entries))
    build = ("build", source, "--out", tmp_path / "store", "--encoder", "hashed")
    code, output, errors = run(*build)
    assert (code, output) == (2, "")
    assert errors.startswith("camml: error: ")
    assert errors.count("\n") == 1
    code, output, errors = run(*build, "--on-bad", "skip", "--json")
    assert code == 0
    assert json.loads(output)["samples"] == 3
    assert len(json.loads(output)["skipped"]) == 3
    assert errors.count("camml: skipped: ") == 3


@pytest.mark.parametrize("entry", ['{"id": "a", "image": "none.png", "text": "x"}', '{"id": "a", "text": ""}', '{"id"'])
def test_a_build_of_which_nothing_can_be_used_leaves_no_datastore(tmp_path: Path, run: Run, entry: str) -> None:
    source = tmp_path / "samples.jsonl"
    source.write_text(f"{entry}\n")
    build = ("build", source, "--out", tmp_path / "store", "--encoder", "hashed", "--on-bad", "skip")
    code, output, errors = run(*build)
    assert (code, output) == (2, "")
    assert errors.splitlines()[0].startswith("camml: skipped: ")
    assert errors.splitlines()[-1].endswith("holds no sample that can be used (left out: 1); nothing was built")
    assert run("info", "--store", tmp_path / "store")[0] == 2
    source.write_text('{"id": "a", "text": "red"}\n')
    assert run(*build)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search", "--store", "{store}"), "nothing to search for"),
        (("search", "--store", "{store}", "--text", "caf\udce9"), "--text is not UTF-8 text"),
        (("search", "--store", "{store}", "--text", "x", "-k", "0"), "at least 1, not 0"),
        (("search", "--store", "{store}", "--text", "x", "--mode", "best"), "'best' is unknown; these work: auto, "),
        (("search", "--store", "{store}", "--text", "x", "--where", "kind"), "--where 'kind' is not of the form"),
        (("search", "--store", "{store}", "--text", "x", "--where", "sort=a"), "no sample has 'sort'"),
        (("search", "--store", "{store}", "--image", "{store}/none.png"), "none.png"),
        (
            ("search", "--store", "{store}", "--text", "x", "--encoder", "hashed", "--encoder-option", "dim=8"),
            "revision",
        ),
        (("search", "--store", "{store}", "--text", "x", "--encoder", "nothing"), "no encoder 'nothing'; there are:"),
        (("search", "--store", "/none", "--text", "x"), "no datastore at /none"),
        (("search", "--store", "/none.index:/none.json", "--text", "x", "--encoder", "hashed"), "no index file"),
        (("info", "--store", "/none\nat all"), r"no datastore at /none\nat all"),
        (("info", "--store", "/none"), "no datastore at /none"),
        (("remove", "red", "green", "--store", "{store}"), "1 of the ids are not in"),
        (("add", "{source}", "--store", "{store}"), "'red'"),
        (("add", "/none.json", "--store", "{store}"), "/none.json"),
        (("build", "{source}", "--out", "{store}", "--encoder", "hashed"), "there is a datastore at"),
        (("build", "{source}", "--out", "{store}2", "--encoder", "hashed", "--batch-size", "0"), "batch size"),
        (("build", "{source}", "--out", "/proc/store", "--encoder", "hashed"), "cannot write /proc/store"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    store: Path, source: Path, run: Run, arguments: tuple[str, ...], message: str
) -> None:
    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in store.iterdir() if path.name != "lock"}

    before = content()
    code, output, errors = run(*(text.format(store=store, source=source) for text in arguments))
    assert (code, output) == (2, "")
    assert errors.startswith("camml: error: ")
    assert errors.count("\n") == 1
    assert message in errors
    assert content() == before


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("build", "", "--out", "new"), "SOURCE"), (("build", "pictures", "--out", ""), "--out"),
        (("build", "pictures", "--out", "new", "--images", " "), "--images"),
        (("add", "pictures", "--store", ""), "--store"),
        (("add", "", "--store", "store"), "SOURCE"), (("sync", "", "--store", "store"), "FOLDER"),
        (("remove", "a", "--store", ""), "--store"), (("export", "", "--store", "store"), "OUT"),
        (("search", "--text", "x", "--store", ""), "--store"),
        (("search", "--store", "store", "--image", ""), "--image"),
        (("info", "--store", ""), "--store"), (("check", "--store", ""), "--store"),
        (("search", "--text", "x", "--store", "store", "--store-images", ""), "--store-images"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value,
)  # fmt: skip
def test_a_name_that_is_empty_is_not_the_working_directory(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], name: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    assert f"camml: error: argument {name}: is empty; give what it is to name" in capsys.readouterr().err


@pytest.mark.absolute_paths
def test_a_picture_may_be_given_as_the_address_of_a_file(store: Path, tmp_path: Path, run: Run) -> None:
    address = f"file://{picture(tmp_path, 'blue', 'my query')}".replace(" ", "%20")
    code, said, errors = run("search", "--store", store, "--image", address, "-k", 1, "--json")
    assert (code, errors) == (0, "")
    assert ids(said) == ["blue"]


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_sample_is_refused_with_a_cross_encoder_too(
    store: Path, run: Run, monkeypatch: pytest.MonkeyPatch, k: int
) -> None:
    as_it_was = SimpleNamespace(ordered=lambda queries, contexts: contexts)
    monkeypatch.setattr(Reranker, "load", lambda name: as_it_was)
    search = ("search", "--store", store, "--text", "red", "--rerank", "some", "--json")
    assert len(ids(run(*search, "-k", 2)[1])) == 2
    code, output, errors = run(*search, "-k", k)
    assert (code, output) == (2, "")
    assert f"at least 1, not {k}" in errors


def test_an_empty_store(tmp_path: Path, run: Run) -> None:
    (tmp_path / "none.json").write_text("[]")
    assert run("build", tmp_path / "none.json", "--out", tmp_path / "store", "--encoder", "hashed")[0] == 0
    code, _, errors = run("search", "--store", tmp_path / "store", "--text", "x")
    assert code == 2
    assert "camml store add" in errors


@pytest.mark.long
def test_a_change_waits_for_another_writer(store: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "more.json").write_text('[{"id": "late", "text": "late"}]')
    for arguments in (("add", tmp_path / "more.json"), ("remove", "late")):
        with ExitStack() as writing:
            writing.enter_context(only_writer(store))
            threading.Timer(0.5, writing.pop_all().close).start()
            code, _, errors = run(*arguments, "--store", store)
        assert code == 0
        assert "waiting for up to" in errors


def test_corruption_and_locks_are_said(store: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store, "WRITER_SECONDS", 0.2)
    with only_writer(store):
        code, _, errors = run("remove", "red", "--store", store)
    assert code == 2
    assert "is writing to" in errors
    [file] = store.glob("*-text.index")
    file.write_bytes(b"x" + file.read_bytes()[1:])
    code, _, errors = run("search", "--store", store, "--text", "x")
    assert (code, errors.count("\n")) == (2, 1)
    assert f"{file} is corrupted" in errors
    code, output, _ = run("info", "--store", store, "--verify", "--json")
    assert code == 1
    assert [file.name in problem for problem in json.loads(output)["problems"]] == [True]


def test_progress_on_request(source: Path, tmp_path: Path, run: Run) -> None:
    code, output, errors = run(
        "build", source, "--out", tmp_path / "store", "--encoder", "hashed", "--progress", "--json", "--batch-size", 1
    )
    assert code == 0
    assert json.loads(output)["added"] == 3
    assert "3/3" in errors


def test_a_store_is_built_with_what_its_model_wants(source: Path, tmp_path: Path, run: Run) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "retrieval.json").write_text('{"encoder": "hashed", "encoder_options": {"joint": true}}')
    code, _, said = run("build", source, "--out", tmp_path / "fits", "--model", model)
    assert code == 0, said
    manifest = json.loads((tmp_path / "fits" / "manifest.json").read_text())
    assert (manifest["encoder"]["name"], manifest["encoder"]["options"]) == ("hashed", {"joint": True})
    code, _, said = run("build", source, "--out", tmp_path / "both", "--model", model, "--encoder", "hashed")
    assert code == 2
    assert "--model says which encoder it wants" in said
