"""Samples and questions' pictures are found again."""

from pathlib import Path

import pytest

from camml.data.origins import store_state
from camml.errors import StoreNotFoundError
from camml.evaluation.report.runs import Run
from camml.evaluation.report.samples import IN_FILE, QuestionPictures, Stores
from tests.layouts import document


def a_run(**store: object) -> Run:
    return Run(Path("run"), {"task": "okvqa", "context": "retrieved", "shots": 1, "store": store or None}, None)


def test_the_datastore_of_a_run_is_known_by_its_hash(store_folder: Path) -> None:
    stores = Stores([str(store_folder)])
    samples, remark = stores.of(a_run(name="another name", hash=store_state(str(store_folder))[0]))
    assert remark == ""
    assert samples["s2"].text.endswith("red bus")
    assert "s9" not in samples


def test_a_datastore_that_changed_is_used_with_a_remark(store_folder: Path) -> None:
    samples, remark = Stores([str(store_folder)]).of(a_run(name=store_folder.name, hash="before"))
    assert "has changed" in remark
    assert "s2" in samples


def test_without_its_datastore_a_run_has_ids_alone(store_folder: Path) -> None:
    samples, remark = Stores([str(store_folder)]).of(a_run(name="elsewhere", hash="other"))
    assert "--store" in remark
    assert "s2" not in samples
    assert Stores([]).of(a_run()) == ({}, "")


def test_an_official_pair_is_read_without_its_encoder(tmp_path: Path) -> None:
    (tmp_path / "a.index").write_bytes(b"index")
    document(tmp_path / "a.json", [{"id": "x", "text": "a text"}])
    name = f"{tmp_path / 'a.index'}:{tmp_path / 'a.json'}"
    samples, remark = Stores([name]).of(a_run(name="n", hash=store_state(name)[0]))
    assert (samples["x"].text, remark) == ("a text", "")


def test_a_datastore_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        Stores([str(tmp_path / "none")])


def test_a_picture_comes_from_the_log_or_else_from_the_benchmark(benchmarks, tmp_path: Path) -> None:
    data = benchmarks[0]
    result = QuestionPictures("okvqa", data)
    assert result.find({"id": "0", "image": str(data / "okvqa/1.png")}) == data / "okvqa/1.png"
    assert result.find({"id": "0", "image": "moved/0.png"}) == data / "okvqa/0.png"
    assert result.find({"id": "none", "image": "moved/0.png"}) == Path("moved/0.png")
    assert result.find({"id": "0", "image": None}) is None
    assert QuestionPictures("okvqa", tmp_path).find({"id": "0", "image": "gone.png"}) == Path("gone.png")
    inside = QuestionPictures("mmbench", data).find({"id": "241", "image": IN_FILE})
    assert isinstance(inside, bytes)
    assert inside.startswith(b"\x89PNG")
