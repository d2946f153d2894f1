"""Ranges, upsert, export and calibration as a person uses them."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from camml import encoders
from camml.cli import _store_change
from camml.datastore import Datastore, export
from camml.errors import DiskError
from camml.types import Sample
from tests.cli.conftest import Run
from tests.colors import picture

ROWS = """id,text,price,made
a,a cheap red lamp,9.5,2019-03-01
b,a red lamp,20,2021-12-24
c,a dear red lamp,150,2024-01-01
d,a red lamp of unknown price,,2024-06
"""
WITHOUT_PICTURE = (
    "camml: the samples that --where asks for (2) have no picture to be found by; search by words: --text, with --mode "
    "auto or text-text\n"
)


@pytest.fixture
def store(tmp_path: Path, run: Run) -> Path:
    (tmp_path / "lamps.csv").write_text(ROWS)
    assert run("build", tmp_path / "lamps.csv", "--out", tmp_path / "store", "--encoder", "hashed")[0] == 0
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("conditions", "ids"),
    [
        (["price<=20"], "ab"), (["price<20"], "a"), (["price>20"], "c"), (["made>=2024"], "cd"),
        (["made>=2020-01-01", "made<2024-01-01"], "b"), (["price>1", "made<2020"], "a"), (["price=20"], "b"),
    ],
)  # fmt: skip
def test_numbers_and_dates_are_compared(store: Path, run: Run, conditions: list[str], ids: str) -> None:
    options = [part for text in conditions for part in ("--where", text)]
    code, said, errors = run("search", "--store", store, "--text", "lamp", "-k", 9, "--json", *options)
    assert code == 0, errors
    assert sorted(neighbor["id"] for neighbor in json.loads(said)["neighbors"]) == list(ids)


@pytest.mark.parametrize(
    ("condition", "said"),
    [("price<=cheap", "neither a number nor a date"), ("<=3", "KEY<=VALUE"), ("size<=3", "no sample has 'size'")],
)
def test_a_bound_that_cannot_be_is_named(store: Path, run: Run, condition: str, said: str) -> None:
    code, _, errors = run("search", "--store", store, "--text", "lamp", "--where", condition)
    assert (code, said in errors) == (2, True), errors


def test_upsert_replaces_what_is_there(store: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "news.jsonl").write_text('{"id": "a", "text": "a blue lamp"}\n{"id": "e", "text": "a green lamp"}\n')
    assert run("add", tmp_path / "news.jsonl", "--store", store)[0] == 2
    code, said, _ = run("add", tmp_path / "news.jsonl", "--store", store, "--upsert")
    assert code == 0
    assert said.startswith("added 1, replaced 1 in")
    now = Datastore.open(store)
    assert (len(now), now["a"].text) == (5, "a blue lamp")


def test_an_upsert_that_waited_counts_what_it_did_itself(
    store: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def after_another(change: Callable[[], int]) -> int:
        Datastore.open(store, encoders.load("hashed")).add([Sample(f"new{n}", f"lamp {n}") for n in range(5)])
        return change()

    monkeypatch.setattr(_store_change, "when_free", after_another)
    rows = [{"id": name, "text": "a blue lamp"} for name in ("a", "e", "new0")]
    (tmp_path / "news.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("add", tmp_path / "news.jsonl", "--store", store, "--upsert")[1].startswith("added 1, replaced 2 in")
    assert len(Datastore.open(store)) == 10


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv"])
def test_an_export_is_read_by_others(store: Path, run: Run, tmp_path: Path, suffix: str) -> None:
    pandas = pytest.importorskip("pandas")
    out = tmp_path / f"out.{suffix}"
    code, said, errors = run("export", out, "--store", store)
    assert (code, said.startswith("4 samples")) == (0, True), errors
    read = {"parquet": pandas.read_parquet, "arrow": pandas.read_feather, "csv": pandas.read_csv}[suffix]
    frame = read(out)
    assert list(frame["id"]) == ["a", "b", "c", "d"]
    assert frame["text"][0] == "a cheap red lamp"
    assert str(frame["made"][3]) == "2024-06"


def test_an_export_can_be_built_from_again_and_holds_vectors(store: Path, run: Run, tmp_path: Path) -> None:
    assert run("export", tmp_path / "out.parquet", "--store", store, "--vectors")[0] == 0
    table = Datastore.open(store).to_arrow(vectors=True)
    dim = Datastore.open(store).manifest.encoder.text_dim
    assert len(table["text_vector"][0].as_py()) == dim
    assert run("export", tmp_path / "plain.parquet", "--store", store)[0] == 0
    assert run("build", tmp_path / "plain.parquet", "--out", tmp_path / "again", "--encoder", "hashed")[0] == 0
    assert [sample.text for sample in Datastore.open(tmp_path / "again")] == [s.text for s in Datastore.open(store)]


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv"])
def test_an_export_replaces_a_file_only_when_told_to(store: Path, run: Run, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"mine.{suffix}"
    out.write_text("mine")
    code, said, errors = run("export", out, "--store", store)
    assert (code, said) == (2, "")
    assert "is there already; give another name, or --overwrite to replace it" in errors
    assert out.read_text() == "mine"
    assert run("export", out, "--store", store, "--overwrite")[0] == 0
    assert out.read_bytes() != b"mine"


def test_an_export_into_a_datastore_or_no_folder_is_refused(store: Path, run: Run, tmp_path: Path) -> None:
    [data] = store.glob("*-samples.parquet")
    before = data.read_bytes()
    code, _, errors = run("export", data, "--store", store, "--overwrite")
    assert (code, "would be in the datastore" in errors, data.read_bytes() == before) == (2, True, True)
    code, _, errors = run("export", tmp_path / "nowhere" / "out.csv", "--store", store)
    assert (code, "make it first" in errors, "unfinished" in errors) == (2, True, False)


def test_an_export_that_cannot_be_written_names_the_file(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Datastore.open(store)

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refuse)
        with pytest.raises(DiskError, match=r"cannot write .*out\.csv: Permission denied; is the place writable\?$"):
            export(opened, tmp_path / "out.csv")


def test_a_removed_sample_does_not_come_back_by_building_from_the_datastore(
    store: Path, run: Run, tmp_path: Path
) -> None:
    assert run("remove", "a", "--store", store)[0] == 0
    build = ("build", store, "--encoder", "hashed", "--out", tmp_path / "again")
    for change in (build, ("sync", store, "--store", store)):
        code, _, errors = run(*change)
        assert (code, "is a datastore; write its samples to a file first" in errors) == (2, True), errors
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv"])
def test_an_export_may_have_a_name_that_is_not_unicode(store: Path, run: Run, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out\udcff.{suffix}"
    code, said, errors = run("export", out, "--store", store)
    assert (code, said.startswith("4 samples"), out.stat().st_size > 0) == (0, True, True), errors


def test_an_ending_that_says_no_format_is_named(store: Path, run: Run, tmp_path: Path) -> None:
    code, _, errors = run("export", tmp_path / "out.xlsx", "--store", store)
    assert (code, ".parquet, .arrow, .csv" in errors) == (2, True)
    code, _, errors = run("export", tmp_path / "out.csv", "--store", store, "--vectors")
    assert (code, "cannot hold vectors" in errors) == (2, True)
    assert not (tmp_path / "out.csv").exists()


def test_values_of_several_kinds_become_texts(tmp_path: Path) -> None:
    made = [
        Sample("1", "a", meta={"x": 1, "id": "mine", "big": 2**70}),
        Sample("2", "b", meta={"x": "one", "tags": ["p", "q"]}),
        Sample("3", "c", meta={"n": 1}), Sample("4", "d", meta={"n": 2.5}),
    ]  # fmt: skip
    store = Datastore.build(tmp_path / "mixed", made, encoders.load("hashed"))
    frame = store.to_arrow().to_pydict()
    assert frame["x"] == ["1", '"one"', None, None]
    assert frame["meta_id"] == ["mine", None, None, None]
    assert frame["tags"][1] == '["p", "q"]'
    assert frame["n"] == [None, None, 1.0, 2.5]
    assert frame["big"][0] == str(2**70)


def test_no_value_of_an_export_takes_the_place_of_another(tmp_path: Path) -> None:
    made = [Sample("1", "a", meta={"id": 1, "meta_id": 2}), Sample("2", "b", meta={"meta_id": 3, "meta_meta_id": 4})]
    store = Datastore.build(tmp_path / "store", made, encoders.load("hashed"))
    frame = store.to_arrow().to_pydict()
    assert frame["id"] == ["1", "2"]
    told = {name: values for name, values in frame.items() if name.startswith("meta_")}
    assert sorted(told.values(), key=str) == [[1, None], [2, 3], [None, 4]]


def test_large_whole_numbers_beside_others_become_texts(tmp_path: Path) -> None:
    made = [Sample("1", "a", meta={"n": 10**400}), Sample("2", "b", meta={"n": 1.5})]
    store = Datastore.build(tmp_path / "store", made, encoders.load("hashed"))
    assert store.to_arrow().to_pydict()["n"] == [str(10**400), "1.5"]


def test_a_search_that_finds_nothing_says_so(store: Path, run: Run) -> None:
    code, said, errors = run("search", "--store", store, "--text", "lamp", "--where", "price<-1000")
    assert (code, said, errors) == (0, "", "camml: no sample is what --where asks for\n")


def test_near_duplicates_are_counted_and_shown_on_request(tmp_path: Path, run: Run) -> None:
    samples = [Sample(hall, "Bearing 6204, on stock", None, {"hall": hall}) for hall in "ABC"]
    samples += [Sample("D", "Belt 9, on stock"), Sample("E", "Belt 9, on stock")]
    Datastore.build(tmp_path / "store", samples, encoders.load("hashed"))
    search = ("search", "--store", tmp_path / "store", "--text", "bearing", "--json")
    code, said, errors = run(*search, "-k", 1)
    assert (code, len(json.loads(said)["neighbors"])) == (0, 1)
    assert errors == (
        "camml: left out 2 samples with the text and nearly the picture of one that is shown; "
        "--keep-duplicates shows them\n"
    )
    code, said, errors = run(*search, "-k", 3, "--keep-duplicates")
    assert ({neighbor["id"] for neighbor in json.loads(said)["neighbors"]}, errors) == ({"A", "B", "C"}, "")
    assert run(*search, "--where", "hall=A")[2] == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--image", "{red}", "--where", "hall=C"], WITHOUT_PICTURE),
        (["--image", "{red}", "--where", "hall=C", "--where", "n>7"], "camml: no sample is what --where asks for\n"),
        (["--text", "pump", "--mode", "text-image", "--where", "hall=C"], WITHOUT_PICTURE),
    ],
)  # fmt: skip
def test_the_true_reason_of_an_empty_search_is_said(
    tmp_path: Path, red: Path, run: Run, options: list[str], said: str
) -> None:
    samples = [Sample(f"c{n}", f"pump {n}", None, {"hall": "C", "n": n}) for n in range(2)]
    samples.append(Sample("a", "a red pump", picture(tmp_path, "red"), {"hall": "A", "n": 9}))
    Datastore.build(tmp_path / "store", samples, encoders.load("hashed", joint=True), encoder_options={"joint": True})
    code, _, errors = run("search", "--store", tmp_path / "store", *(text.format(red=red) for text in options))
    assert (code, errors) == (0, said)


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """A picture to search by."""
    return picture(tmp_path, "red", "query")


@pytest.fixture
def joint(tmp_path: Path) -> Path:
    """A datastore whose samples have pictures, where words find these too."""
    samples = [Sample(color, f"a {color} thing", picture(tmp_path, color)) for color in ("red", "blue")]
    Datastore.build(tmp_path / "joint", samples, encoders.load("hashed", joint=True), encoder_options={"joint": True})
    return tmp_path / "joint"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--text", "red", "--image", "{red}", "--mode", "image-image"],
         "--mode image-image searches by the picture alone: --text changes nothing"),
        (["--text", "red", "--image", "{red}", "--mode", "text-image"],
         "--mode text-image searches by the words alone: --image changes nothing"),
        (["--text", "red", "--image", "{red}", "--mode", "text-text"], "--image changes nothing"),
        (["--text", "red", "--weights", "image=1"], "--weights changes nothing: it counts where a picture and words "),
        (["--image", "{red}", "--weights", "image=1"], "--weights changes nothing"),
        (["--text", "red", "--image", "{red}", "--weights", "image=1"], ""),
        (["--text", "red", "--image", "{red}", "--mode", "fused"], ""),
        (["--text", "red"], ""),
    ],
)  # fmt: skip
def test_options_that_change_nothing_are_said(joint: Path, red: Path, run: Run, options: list[str], said: str) -> None:
    code, _, errors = run("search", "--store", joint, *(text.format(red=red) for text in options))
    assert code == 0
    assert (said in errors, errors.count("\n")) == (True, bool(said))


@pytest.mark.parametrize("mode", ["image-image", "fused"])
def test_weights_in_a_mode_that_weighs_nothing_are_refused(joint: Path, red: Path, run: Run, mode: str) -> None:
    options = ("--text", "red", "--image", red, "--weights", "text=5", "--mode", mode)
    code, _, errors = run("search", "--store", joint, *options)
    assert (code, f"--weights is for --mode auto; in --mode {mode} nothing is weighed" in errors) == (2, True), errors


def test_an_id_that_is_there_is_refused_with_the_way_to_replace_it(store: Path, tmp_path: Path, run: Run) -> None:
    [first, *_] = Datastore.open(store)
    (tmp_path / "again.jsonl").write_text(json.dumps({"id": first.id, "text": "another text"}) + "\n")
    code, _, errors = run("add", tmp_path / "again.jsonl", "--store", store)
    assert (code, "is there already" in errors, "--upsert" in errors) == (2, True, True)
    assert run("add", tmp_path / "again.jsonl", "--store", store, "--upsert")[0] == 0
    assert Datastore.open(store)[first.id].text == "another text"


def test_calibrating_says_what_it_found(tmp_path: Path, run: Run) -> None:
    rows = "".join(f'{{"id": "m{n}", "text": "machine m{n} in hall {n % 7} needs part {n * 37}"}}\n' for n in range(40))
    (tmp_path / "many.jsonl").write_text(rows)
    run("build", tmp_path / "many.jsonl", "--out", tmp_path / "many", "--encoder", "hashed")
    code, said, errors = run("calibrate", "--store", tmp_path / "many")
    assert code == 0, errors
    assert "text-text" in said
    assert "5 % of the answerable questions" in said
    facts = json.loads(run("calibrate", "--store", tmp_path / "many", "--json", "--false-refusals", "0.1")[1])
    assert facts["searches"]["text-text"]["own"] == 40
    kept = json.loads((tmp_path / "many" / "calibration.json").read_text())
    assert kept["false_refusals"] == 0.1
    assert kept["made"] == facts["made"] > "2026"
    before = (tmp_path / "many" / "calibration.json").read_bytes()
    for number in ("0", "10"):
        code, _, errors = run("calibrate", "--store", tmp_path / "many", "--samples", number)
        assert (code, "it takes 24" in errors) == (2, True)
    assert (tmp_path / "many" / "calibration.json").read_bytes() == before


@pytest.mark.long
def test_info_says_since_when_and_whether_to_calibrate_again(tmp_path: Path, run: Run) -> None:
    def rows(start: int, end: int) -> Path:
        samples = [{"id": f"m{n}", "text": f"machine m{n} needs part {n * 37}"} for n in range(start, end)]
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, samples)))
        return tmp_path / "rows.jsonl"

    store = tmp_path / "many"

    def told() -> dict[str, Any] | None:
        facts: dict[str, Any] | None = json.loads(run("info", "--store", store, "--json")[1])["calibration"]
        return facts

    run("build", rows(0, 40), "--out", store, "--encoder", "hashed")
    assert told() is None
    assert "calibration none" in run("info", "--store", store)[1]
    run("calibrate", "--store", store)
    before = told()
    assert before is not None
    assert datetime.fromisoformat(before["made"]).tzinfo is not None
    assert (before["samples"], before["changed"], before["false_refusals"]) == (40, 0, 0.05)
    assert before["least"].keys() == {"text-text"}
    assert "advice" not in before
    run("add", rows(40, 44), "--store", store)
    run("remove", "m0", "--store", store)
    after = told()
    assert after is not None
    assert (after["changed"], "advice" in after) == (5 / 40, False)
    run("add", rows(44, 48), "--store", store)
    said = run("info", "--store", store)[1]
    assert "samples; thresholds: text-text 0." in said
    assert "22% of its samples came or went since: run `camml store calibrate" in said
    run("calibrate", "--store", store)
    assert told()["changed"] == 0  # type: ignore[index]
    content = json.loads((store / "calibration.json").read_text())
    old = {name: value for name, value in content.items() if name not in ("made", "next_key")}
    (store / "calibration.json").write_text(json.dumps(old))
    assert (told()["made"], told()["changed"]) == ("", 0)  # type: ignore[index]
    (store / "calibration.json").write_text(json.dumps(content | {"encoder": "other 1"}))
    assert "of another encoder (other 1)" in told()["advice"]  # type: ignore[index]
    (store / "calibration.json").write_text("{")
    assert "cannot be used" in told()["advice"]  # type: ignore[index]
