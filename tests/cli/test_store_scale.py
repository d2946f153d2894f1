"""`camml store index`, `check`, `migrate` and `size`."""

import json
from pathlib import Path

import pytest
from PIL import Image

from camml import encoders
from camml.cli import main
from camml.datastore import Datastore
from camml.types import Sample
from tests.cli.conftest import Run
from tests.colors import picture


@pytest.fixture
def store(tmp_path: Path, run: Run) -> Path:
    words = ["red", "green", "blue", "round", "long", "old", "new"]
    rows = [{"id": f"s{n}", "text": f"{words[n % 7]} {words[n % 5]} {words[n % 3]} {n}"} for n in range(300)]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--encoder", "hashed", "--encoder-option", "dim=32", "--vectors", "faiss")
    assert run("build", tmp_path / "samples.jsonl", "--out", tmp_path / "store", *options)[0] == 0
    return tmp_path / "store"


@pytest.mark.absolute_paths
def test_index_check_and_info(store: Path, run: Run) -> None:
    code, output, errors = run("index", "--store", store, "--kind", "sq8", "--recall", 0.9, "--json")
    assert code == 0
    fast = json.loads(output)["indexes"]["text"]
    assert (fast["kind"], fast["count"], fast["k"]) == ("sq8", 300, 3)
    assert fast["recall"] >= 0.9
    assert "camml: text: building sq8 of 300 vectors" in errors
    code, output, _ = run("check", "--store", store)
    assert code == 0
    assert "text: recall " in output
    assert f"{store} is as it was written" in output
    facts = json.loads(run("info", "--store", store, "--json")[1])
    assert facts["index of text"]["holds"] == 1
    assert run("index", "--store", store, "--kind", "flat")[1].endswith("no index is faster\n")
    assert "index of text" not in json.loads(run("info", "--store", store, "--json")[1])


def test_check_opens_pictures_and_names_those_that_were_replaced(tmp_path: Path, run: Run) -> None:
    samples = [Sample(color, color, picture(tmp_path, color)) for color in ("red", "blue")]
    for copies in (False, True):
        Datastore.build(tmp_path / f"store{copies}", samples, encoders.load("hashed"), copy_images=copies)
    code, said, _ = run("check", "--store", tmp_path / "storeFalse")
    assert code == 0
    assert said.endswith(
        "storeFalse is as it was written; its pictures are there and begin as pictures do, and none seems to be "
        "replaced\n"
    )
    assert run("check", "--decode", "--store", tmp_path / "storeFalse")[1].endswith("and none was replaced\n")
    assert run("check", "--store", tmp_path / "storeTrue")[1].endswith("storeTrue is as it was written\n")
    picture(tmp_path, "green", "red")
    code, said, _ = run("check", "--store", tmp_path / "storeFalse")
    assert (code, "replaced since they were indexed: 1, of the samples 'red' (" in said) == (1, True)
    (tmp_path / "more.csv").write_text("id,text,image\nred,red,red.png\n")
    assert run("add", tmp_path / "more.csv", "--upsert", "--store", tmp_path / "storeFalse")[0] == 0
    assert run("check", "--store", tmp_path / "storeFalse")[0] == 0
    (tmp_path / "red.png").write_bytes(b"")
    code, said, _ = run("check", "--store", tmp_path / "storeFalse")
    assert (code, "the picture of sample 'red' cannot be read: " in said, "is empty" in said) == (1, True, True)


def test_check_finds_a_picture_cut_short_where_it_is_told_to_decode(tmp_path: Path, run: Run) -> None:
    image = tmp_path / "photo.jpg"
    Image.effect_noise((256, 256), 90).save(image)
    Datastore.build(tmp_path / "store", [Sample("photo", "A photo.", image)], encoders.load("hashed"))
    code, said, _ = run("check", "--store", tmp_path / "store", "--decode")
    assert (code, "its pictures are there and can be read" in said) == (0, True)
    image.write_bytes(image.read_bytes()[:9000])
    code, said, _ = run("check", "--store", tmp_path / "store")  # it begins as before, but is not what was indexed
    assert (code, "replaced since they were indexed: 1" in said) == (1, True)
    code, said, _ = run("check", "--store", tmp_path / "store", "--decode")
    assert (code, "the picture of sample 'photo' cannot be read: " in said) == (1, True)


@pytest.mark.parametrize("kind", [None, "flat", "sq8", "ivf", "hnsw", "rabitq"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 16])
def test_few_vectors_are_indexed_or_compared_one_by_one(count: int, kind: str | None, tmp_path: Path, run: Run) -> None:
    rows = [{"id": f"s{n}", "text": f"part {n} of {n * n}"} for n in range(count)]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("build", tmp_path / "samples.jsonl", "--out", tmp_path / "few", "--encoder", "hashed")[0] == 0
    wanted = ("--kind", kind) if kind else ()
    code, output, errors = run("index", "--store", tmp_path / "few", "--recall", 0.1, "--json", *wanted)
    assert (code, "inf ms" in errors) == (0, False), errors
    assert ("fewer than 4 vectors" in errors) == (count < 4)
    if kind not in (None, "flat"):
        assert ("text" in json.loads(output)["indexes"]) == (count >= 4)
    assert run("check", "--store", tmp_path / "few")[0] == 0


def test_check_says_what_is_wrong(store: Path, run: Run) -> None:
    assert run("index", "--store", store, "--kind", "sq8", "--recall", 0.9)[0] == 0
    more = store.parent / "more.jsonl"
    more.write_text("".join(json.dumps({"id": f"n{n}", "text": f"more {n}"}) + "\n" for n in range(100)))
    assert run("add", more, "--store", store)[0] == 0
    assert "of the text vectors are not in the index: run `camml store index" in run("check", "--store", store)[1]
    [file] = (
        store.glob("*-samples.parquet")
        if len(list(store.glob("*-samples.parquet"))) == 1
        else [sorted(store.glob("*-samples.parquet"))[0]]
    )
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    code, output, _ = run("check", "--store", store, "--json")
    assert code == 1
    assert [file.name in problem for problem in json.loads(output)["problems"]] == [True]


@pytest.mark.parametrize("left", [0, 1])
def test_an_index_of_removed_samples_is_no_fault(store: Path, run: Run, left: int) -> None:
    assert run("index", "--store", store, "--kind", "sq8", "--recall", 0.1)[0] == 0
    assert run("remove", *(f"s{n}" for n in range(left, 300)), "--store", store)[0] == 0
    code, output, errors = run("check", "--store", store)
    assert (code, output.count("\n"), errors) == (0, 1, "")
    assert output.endswith("is as it was written\n")


@pytest.mark.parametrize("damaged", ["{", "[]", '{"version": 1}'])
def test_check_reads_the_calibration_too(store: Path, run: Run, damaged: str) -> None:
    (store / "calibration.json").write_text(damaged)
    code, output, _ = run("check", "--store", store)
    assert (code, output.count("\n")) == (1, 1)
    assert "calibration.json cannot be used" in output
    assert run("calibrate", "--store", store)[0] == 0
    assert run("check", "--store", store)[0] == 0


def test_migrate(store: Path, run: Run) -> None:
    before = [sample.id for sample in Datastore.open(store)]
    code, output, _ = run("migrate", "--store", store, "--to", "memory")
    assert (code, output.startswith("moved 300 vectors")) == (0, True)
    assert json.loads(run("info", "--store", store, "--json")[1])["kind"] == "memory"
    assert [sample.id for sample in Datastore.open(store)] == before
    assert json.loads(run("migrate", "--store", store, "--to", "faiss", "--json")[1])["vectors"] == 300
    assert run("check", "--store", store)[0] == 0


def test_size(run: Run) -> None:
    facts = json.loads(run("size", "--samples", "1e6", "--dim", 1024, "--rate", 100, "--hours", 1, "--json")[1])
    assert facts["vector_bytes"] == 10**6 * 4104
    assert facts["hours_of_one"] == pytest.approx(10**6 / 100 / 3600)
    assert facts["embedders"] == 3
    assert facts["indexes"]["ivf"]["bytes"] < facts["indexes"]["flat"]["bytes"] / 3
    assert facts["sample_memory"] == 10**6 * 650
    hours = {name: index["hours"] for name, index in facts["indexes"].items()}
    assert hours["flat"] == hours["sq8"] == 0
    assert 0 < hours["rabitq"] == hours["ivf"] < hours["hnsw"] < 0.1
    many = json.loads(run("size", "--samples", "1e8", "--json")[1])["indexes"]
    more = json.loads(run("size", "--samples", "4e8", "--cores", 16, "--json")[1])["indexes"]
    assert more["hnsw"]["hours"] == pytest.approx(many["hnsw"]["hours"] * 4 / 2)
    assert more["ivf"]["hours"] == pytest.approx(many["ivf"]["hours"] * 8 / 2, rel=0.1), "not N times the root of N"
    assert "machine-hours" in run("size", "--samples", 665000)[1]
    least = ("--dim", 1, "--vectors", 1, "--cores", 1, "--rate", 1e15, "--hours", 1e15, "--ram", "1B", "--scan", "1B")
    most = ("--dim", 10**6, "--vectors", 10**6, "--cores", 1, "--rate", 1e-6, "--hours", 1e-6, "--text", "1000000TB")
    assert run("size", "--samples", 1, *least)[0] == 0
    assert run("size", "--samples", 1e15, *most, *least[-4:])[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("index", "--store", "{store}", "--memory", "much"), "--memory 'much' is not an amount of memory"),
        (("index", "--store", "{store}", "--memory", "1KB"), "give more"),
        (("index", "--store", "{store}", "--recall", "2"), "not 2.0"),
        (("index", "--store", "{store}", "--kind", "tree"), "no kind of index 'tree'"),
        (("index", "--store", "{store}", "--minutes", "-1"), "minutes is -1; give more than 0"),
        (("index", "--store", "{store}", "--minutes", "nan"), "minutes is nan; give more than 0"),
        (("index", "--store", "/none"), "no datastore at /none"),
        (("check", "--store", "/none"), "no datastore at /none"),
        (("index", "--store", "{store}", "--kind", "sq8", "--memory", "1KB"), "give more"),
        (("migrate", "--store", "/none", "--to", "memory"), "no datastore at /none"),
        (("migrate", "--store", "{store}", "--to", "faiss"), "already"),
        (("migrate", "--store", "{store}", "--to", "tape"), "no vector store 'tape'; there are: faiss, memory, milvus"),
        (("migrate", "--store", "{store}", "--to", "milvus"), "milvus://HOST:PORT"),
        (("index", "--store", "{store}", "--memory", "0.4B"), "--memory '0.4B' is not an amount of memory"),
        (("size", "--samples", "0"), "--samples must be from 1 to 1e+15, not 0.0"),
        (("size", "--samples", "0.5"), "--samples must be from 1 to 1e+15, not 0.5"),
        (("size", "--samples", "1e300"), "--samples must be from 1 to 1e+15, not 1e+300"),
        (("size", "--samples", "inf"), "--samples must be from 1 to 1e+15, not inf"),
        (("size", "--samples", "nan"), "--samples must be from 1 to 1e+15, not nan"),
        (("size", "--samples", "100", "--rate", "1e-320"), "--rate must be from 1e-06 to 1e+15, not 1e-320"),
        (("size", "--samples", "100", "--hours", "0"), "--hours must be from 1e-06 to 1e+15, not 0.0"),
        (("size", "--samples", "100", "--dim", "9" * 400), "--dim must be from 1 to 1e+06"),
        (("size", "--samples", "100", "--text", "9" * 300), "--text must be at most 1e+18 bytes"),
        (("size", "--samples", "10", "--ram", "0.4B"), "--ram '0.4B' is not an amount of memory"),
        (("size", "--samples", "10", "--ram", "9" * 400), "is not an amount of memory"),
        (("size", "--samples", "10", "--cores", "0"), "--cores must be from 1 to 1e+06, not 0"),
    ],
)
def test_bad_input_is_one_line(store: Path, run: Run, arguments: tuple[str, ...], message: str) -> None:
    code, output, errors = run(*(text.format(store=store) for text in arguments))
    assert (code, output) == (2, "")
    assert message in errors.splitlines()[-1]
    assert "Traceback" not in errors


@pytest.mark.parametrize("flag", ["--vectors", "--store"])
def test_where_vectors_are_kept_has_a_flag_of_its_own_and_the_old_one(flag: str, tmp_path: Path, run: Run) -> None:
    (tmp_path / "samples.jsonl").write_text('{"id": "a", "text": "a red pump"}\n')
    options = ("--out", tmp_path / "store", "--encoder", "hashed", flag, "memory")
    assert run("build", tmp_path / "samples.jsonl", *options)[0] == 0
    assert Datastore.open(tmp_path / "store").manifest.store == "memory"


def test_store_means_a_datastore_in_the_help_of_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["store", "build", "--help"])
    said = capsys.readouterr().out
    assert "--vectors KIND" in said
    assert "--store" not in said
