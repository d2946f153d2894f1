"""Runs of a tiny model on all benchmarks: what they write, that they repeat, resume, share the work and remember."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest

from camml.answering.perceiver import PerceiverAnswerer
from camml.errors import ImageError, OptionError, SampleError, UnknownNameError
from camml.evaluation import task as tasks
from camml.evaluation.contexts import Variant
from camml.evaluation.files import read_json, read_lines
from camml.evaluation.predict import Predictor
from camml.evaluation.run import Options, Outcome, run
from camml.evaluation.score import score
from camml.evaluation.task import Settings
from tests import tiny
from tests.evaluation.conftest import build_store

COMMAND = ["-m", "camml", "eval", "run", "--shots", "1", "--batch-size", "1", "--max-new-tokens", "5", "--no-cache",
           "--device", "cpu"]  # fmt: skip
ONE_SHOT = [Variant("retrieved", 1)]
CAPTIONS = ["coco_caption", "flickr30k_caption"]
FILES = ("answers.jsonl", "log.jsonl", "run.json", "score.json")


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a run."""
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()}


def log(folder: Path) -> list[dict]:
    """The lines of a run's log."""
    return [record for _, record in read_lines(folder / "log.jsonl")]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that the model is asked."""
    sizes, answer = [], PerceiverAnswerer.answer

    def counted(self, queries, contexts, decoding=None):
        sizes.append(len(queries))
        return answer(self, queries, contexts, decoding)

    monkeypatch.setattr(PerceiverAnswerer, "answer", counted)
    return sizes


@pytest.fixture(scope="session")
def finished(benchmarks, camml_folder, store_folder, tmp_path_factory) -> dict[str, Outcome]:
    """All tasks, run with one retrieved sample; scoring captions starts Java and takes its time, see below."""
    out = tmp_path_factory.mktemp("runs")
    usual = {"store": str(store_folder), "max_new_tokens": 4, "device": "cpu", "resamples": 20}
    results = {}
    for names, later in ((CAPTIONS, True), ([name for name in tasks.names() if name not in CAPTIONS], False)):
        options = Options(benchmarks[0], out, str(camml_folder), predict_only=later, **usual)
        results |= {outcome.task: outcome for outcome in run(names, ONE_SHOT, options)}
    return results


@pytest.mark.parametrize("name", tasks.names())
class TestEveryTask:
    @pytest.mark.long
    def test_logs_each_question_with_its_evidence(self, finished, benchmarks, name) -> None:
        task, records = tasks.find(name), log(finished[name].folder)
        assert [record["id"] for record in records] == [item.id for item in task.read(task.place(benchmarks[0]))]
        for record in records:
            assert record["question"] in record["prompt"]
            assert len(record["retrieved"]) == 4
            assert record["used"] == [record["retrieved"][0]["id"]]
            assert record["prompt_tokens"] > 10
            assert 0 < record["new_tokens"] <= 4

    def test_answers_are_an_official_file_with_the_same_score(self, finished, benchmarks, name) -> None:
        outcome = finished[name]
        if outcome.score is None:
            assert name in CAPTIONS or "submission" in outcome.note
            assert outcome.submission.is_file()
            return
        again = score(name, benchmarks[0], outcome.folder / "answers.jsonl", resamples=20)
        written = json.loads((outcome.folder / "score.json").read_text())
        assert json.loads(json.dumps(again.document())) == written
        assert all(record["score"] is not None for record in log(outcome.folder)) or name in ("pope", "scienceqa")

    def test_says_what_it_depended_on(self, finished, name) -> None:
        told = json.loads((finished[name].folder / "run.json").read_text())
        assert len(told["model"]["hash"]) == len(told["store"]["hash"]) == len(told["questions"]["hash"]) == 64
        assert told["store"]["encoder"]["name"] == "hashed"
        assert told["decoding"]["temperature"] == 0
        assert {"python", "camml", "torch", "transformers"} <= told["versions"].keys()


def test_all_tasks_run(finished) -> None:
    assert len(finished) == 28
    unscored = {name for name, outcome in finished.items() if outcome.score is None}
    assert unscored == {"mmvet", "vizwiz", "vqav2", *CAPTIONS}


@pytest.mark.parametrize(
    ("names", "content", "error", "message"),
    [
        (["mmvet"], None, SampleError, "no file .*grades"),
        (["pope", "mmvet"], '{"v1_0": {"score": [7]}}', SampleError, "v1_0 should have grades from 0 to 1"),
        (
            ["pope", "mme"],
            "{}",
            OptionError,
            "none of these tasks uses grades: POPE, MME; leave it out",
        ),
    ],
)
def test_grades_are_looked_at_before_any_model(
    benchmarks, tmp_path: Path, names: list[str], content: str | None, error: type[Exception], message: str
) -> None:
    grades = tmp_path / "grades.json"
    if content is not None:
        grades.write_text(content)
    options = Options(benchmarks[0], tmp_path / "out", str(tmp_path / "no model"), settings=Settings(grades=grades))
    with pytest.raises(error, match=message):
        run(names, [Variant("none", 0)], options)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_captions_are_scored(options, benchmarks) -> None:
    for outcome in run(CAPTIONS, ONE_SHOT, options()):
        records = log(outcome.folder)
        assert outcome.score.values["CIDEr"] == pytest.approx(fmean(record["score"] for record in records))
        answers = [(record["id"], record["truth"][0]) for record in records]
        perfect = outcome.folder / "truths.jsonl"
        perfect.write_text("".join(json.dumps({"question_id": name, "text": truth}) + "\n" for name, truth in answers))
        assert score(outcome.task, benchmarks[0], perfect).values["CIDEr"] > outcome.score.values["CIDEr"]


@pytest.mark.long
@pytest.mark.parametrize("use", ["perceiver", "in_prompt"])
def test_a_batch_gives_the_answers_of_single_questions(options, llm_folder, camml_folder, tmp_path, use) -> None:
    model = str(camml_folder if use == "perceiver" else llm_folder)
    results = []
    for size in (1, 5):
        made = options(model=model, batch_size=size, out=tmp_path / str(size), limit=6)
        run(["mme", "textvqa"], [Variant("retrieved", 2)], made)
        results.append(
            [(tmp_path / str(size) / name / "retrieved-2" / "log.jsonl").read_bytes() for name in ("mme", "textvqa")]
        )
    assert results[0] == results[1]
    assert len({record["answer"] for record in map(json.loads, results[0][0].splitlines())}) > 1


@pytest.mark.long
def test_a_shared_run_writes_the_same_files(options, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    [alone] = run(["mme"], ONE_SHOT, options(batch_size=1))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert run(["mme"], ONE_SHOT, options(batch_size=1, out=tmp_path / "shared")) == []
    parts = sorted(path.name for path in (tmp_path / "shared/mme/retrieved-1/parts").iterdir())
    assert parts == ["000001.jsonl"]
    monkeypatch.setenv("RANK", "0")
    [shared] = run(["mme"], ONE_SHOT, options(batch_size=1, out=tmp_path / "shared"))
    assert contents(shared.folder) == contents(alone.folder)
    assert not (shared.folder / "parts").exists()


@pytest.mark.long
def test_what_is_there_is_not_asked_again(options, asked) -> None:
    [first] = run(["mme"], ONE_SHOT, options(batch_size=1))
    before = contents(first.folder)
    assert len(asked) == 12
    run(["mme"], ONE_SHOT, options(batch_size=1))
    assert len(asked) == 12
    assert contents(first.folder) == before


@pytest.mark.long
def test_a_torn_part_is_answered_again(options, asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    run(["mme"], ONE_SHOT, options(batch_size=1))
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.delenv("RANK")
    part = options().out / "mme" / "retrieved-1" / "parts" / "000001.jsonl"
    part.write_bytes(part.read_bytes()[:-20])
    [outcome] = run(["mme"], ONE_SHOT, options(batch_size=1))
    assert outcome.answers == 12
    assert len(asked) == 4 + 12


class TestCache:
    def test_another_run_reuses_the_answers(self, options, asked, tmp_path) -> None:
        [first] = run(["gqa"], ONE_SHOT, options(cache=tmp_path / "cache"))
        assert sum(asked) == 3
        [second] = run(["gqa"], ONE_SHOT, options(cache=tmp_path / "cache", out=tmp_path / "other"))
        assert sum(asked) == 3
        assert contents(first.folder) == contents(second.folder)

    @pytest.mark.long
    def test_samples_that_were_searched_for_before_are_read_alike(self, options, tmp_path) -> None:
        """By which search a sample was found, and how alike it is, decides whether it is read (`--margin`)."""
        usual = {"store": str(build_store(tmp_path)), "mode": "image-image", "margin": 0.0, "cache": tmp_path / "cache"}
        used = []
        for number in (1, 2):  # tokens, so that answers are asked for anew
            [outcome] = run(["gqa"], [Variant("retrieved", 3)], options(**usual, out=tmp_path / str(number),
                                                                       max_new_tokens=number))  # fmt: skip
            used.append([record["used"] for record in log(outcome.folder)])
        assert used[0] == used[1]
        assert any(len(names) < 3 for names in used[0])

    @pytest.mark.long
    @pytest.mark.parametrize(
        "changes", [{"max_new_tokens": 4}, {"prompt_style": "official"}, {"temperature": 0.5}], ids=str
    )
    def test_another_prompt_or_decoding_is_asked_anew(self, options, asked, tmp_path, changes) -> None:
        run(["gqa"], ONE_SHOT, options(cache=tmp_path / "cache"))
        before = sum(asked)
        run(["gqa"], ONE_SHOT, options(cache=tmp_path / "cache", out=tmp_path / "other", **changes))
        assert sum(asked) == before + 3

    @pytest.mark.long
    def test_another_model_is_asked_anew(self, options, asked, camml_folder, tmp_path) -> None:
        other = tmp_path / "model"
        shutil.copytree(camml_folder, other)
        tiny.model(seed=1).save_pretrained(other)
        run(["gqa"], ONE_SHOT, options(cache=tmp_path / "cache"))
        run(["gqa"], ONE_SHOT, options(cache=tmp_path / "cache", out=tmp_path / "other", model=str(other)))
        assert sum(asked) == 6

    @pytest.mark.long
    def test_changed_samples_and_pictures_are_asked_anew(self, options, asked, benchmarks, tmp_path) -> None:
        from camml.datastore import Datastore
        from camml.encoders import load

        store, data = build_store(tmp_path), tmp_path / "data"
        shutil.copytree(benchmarks[0] / "gqa", data / "gqa")

        def again(name: str) -> None:
            usual = {"cache": tmp_path / "cache", "store": str(store), "data": data}
            run(["gqa"], ONE_SHOT, options(**usual, out=tmp_path / name))

        again("first")
        again("same")
        assert sum(asked) == 3
        Datastore.open(store, load("hashed")).add([tiny.Sample("far", "quite another thing")])
        again("another index")
        assert sum(asked) == 6
        for name in "012":
            tiny.image(tmp_path, name, (1, 2, 3))
        again("another picture of a sample")
        changed = sum(asked)
        assert changed > 6
        tiny.image(tmp_path, "new", (9, 9, 9)).replace(data / "gqa" / "data" / "images" / "n1.jpg")
        again("another picture of a question")
        assert changed < sum(asked) <= changed + 3

    @pytest.mark.long
    def test_a_broken_entry_is_asked_anew(self, options, asked, tmp_path) -> None:
        run(["gqa"], ONE_SHOT, options(cache=tmp_path / "cache"))
        for file in (tmp_path / "cache").rglob("*.json"):
            file.write_text('{"answer": ')
        run(["gqa"], ONE_SHOT, options(cache=tmp_path / "cache", out=tmp_path / "other"))
        assert sum(asked) == 6


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "limit", "first", "total", "group"),
    [("mmbench", 4, 2, 5, "all rotations of a question"), ("mme", 5, 4, 12, "all questions about a picture")],
)
def test_what_is_scored_together_is_asked_together(options, tmp_path, name, limit, first, total, group) -> None:
    for spread in (False, True):
        chosen = options(limit=limit, spread=spread, out=tmp_path / str(spread))
        [outcome] = run([name], ONE_SHOT, chosen)
        whole = tasks.find(name).read(tasks.find(name).place(chosen.data))
        clusters = {item.id: item.cluster for item in whole}
        drawn = {clusters[record["id"]] for record in log(outcome.folder)}
        assert outcome.answers == sum(item.cluster in drawn for item in whole)
        if not spread:
            assert outcome.answers == first
        if outcome.answers != limit:
            wanted = (
                f"{outcome.answers} of {total} questions were asked, not {limit} (--limit): {group} belong together"
            )
            assert outcome.notes == (wanted,)
            assert read_json(outcome.folder / "score.json")["notes"] == [wanted]
    [every] = run([name], ONE_SHOT, options(limit=99, out=tmp_path / "every"))
    assert every.notes == ()


def test_predictions_are_scored_later(options) -> None:
    [first] = run(["gqa"], ONE_SHOT, options(predict_only=True))
    assert first.score is None
    assert not (first.folder / "score.json").exists()
    [second] = run(["gqa"], ONE_SHOT, options())
    assert second.score is not None
    assert [record["score"] for record in log(second.folder)] == list(second.score.per_item.values())


KINDS = ("retrieved", "random", "shuffled", "no_images", "no_texts")


@pytest.mark.long
def test_the_model_gets_the_samples_of_each_kind(options, monkeypatch: pytest.MonkeyPatch) -> None:
    given, answer = [], PerceiverAnswerer.answer

    def noted(self, queries, contexts, decoding=None):
        given.extend(contexts)
        return answer(self, queries, contexts, decoding)

    monkeypatch.setattr(PerceiverAnswerer, "answer", noted)
    seen = {}
    for variant in (Variant("none", 0), *(Variant(kind, 3) for kind in KINDS)):
        given.clear()
        [outcome] = run(["mme"], [variant], options(limit=4))
        seen[variant.context] = [[neighbor.sample for neighbor in context] for context in given]
        used = [record["used"] for record in log(outcome.folder)]
        assert sorted(used) == sorted([s.id for s in row] for row in seen[variant.context])  # asked in any order
        assert all(len(row) == variant.shots for row in seen[variant.context])
    nearest = seen["retrieved"]
    assert seen["shuffled"] != nearest
    assert [{s.id for s in row} for row in seen["shuffled"]] == [{s.id for s in row} for row in nearest]
    assert len({tuple(s.id for s in row) for row in seen["random"]}) > 1
    for altered, kept, lost in (("no_images", "text", "image"), ("no_texts", "image", "text")):
        for row, original in zip(seen[altered], nearest, strict=True):
            assert [getattr(s, kept) for s in row] == [getattr(s, kept) for s in original]
            assert not any(getattr(s, lost) for s in row)


@pytest.mark.long
def test_samples_far_behind_the_nearest_are_retrieved_but_not_read(options, camml_folder, tmp_path) -> None:
    wanting = shutil.copytree(camml_folder, tmp_path / "wanting")
    wanted = {"encoder": "hashed", "mode": "image-image", "margin": 0.0}
    (wanting / "retrieval.json").write_text(json.dumps(wanted))
    runs = {}
    for margin in (None, math.inf):
        chosen = options(model=str(wanting), limit=4, margin=margin, out=tmp_path / str(margin))
        [outcome] = run(["mme"], [Variant("retrieved", 3)], chosen)
        runs[margin] = log(outcome.folder)
        assert read_json(outcome.folder / "run.json")["margin"] == (0.0 if margin is None else None)
    for near, every in zip(runs[None], runs[math.inf], strict=True):
        assert near["retrieved"] == every["retrieved"]
        assert every["used"] == [neighbor["id"] for neighbor in every["retrieved"]][:3]
        best = max(neighbor["score"] for neighbor in near["retrieved"])
        assert near["used"] == [neighbor["id"] for neighbor in near["retrieved"][:3] if neighbor["score"] == best]


@pytest.mark.long
def test_passages_are_those_that_the_model_wants_unless_others_are_asked_for(options, camml_folder, tmp_path) -> None:
    wanting = shutil.copytree(camml_folder, tmp_path / "wanting")
    (wanting / "retrieval.json").write_text(json.dumps({"encoder": "hashed", "passages": "7-9"}))
    for passages, wanted in ((None, "7-9"), ("auto", "auto"), ("5", "5")):
        chosen = options(model=str(wanting), limit=1, passages=passages, out=tmp_path / str(passages))
        [outcome] = run(["mme"], [Variant("retrieved", 3)], chosen)
        assert read_json(outcome.folder / "run.json")["passages"] == wanted


def test_of_two_runs_in_a_folder_the_later_takes_what_the_first_completed(options, monkeypatch) -> None:
    copied, fill = [Variant("copy", 1)], Predictor.fill
    completed: list[tuple[object, bytes]] = []

    def overtaken(self, folder, portions, *rest) -> None:
        assert len(portions) > 1
        fill(self, folder, portions[:-1], *rest)
        monkeypatch.setattr(Predictor, "fill", fill)
        [first] = run(["mme"], copied, options(batch_size=1))
        completed.append((first.score.values, (first.folder / "measures.json").read_bytes()))
        fill(self, folder, portions[-1:], *rest)

    monkeypatch.setattr(Predictor, "fill", overtaken)
    monkeypatch.setattr("camml.evaluation.folder.PATIENCE", 5.0)
    [outcome] = run(["mme"], copied, options(batch_size=1))
    assert completed == [(outcome.score.values, (outcome.folder / "measures.json").read_bytes())]
    assert not (outcome.folder / "parts").exists()


def test_the_nearest_answer_is_copied_without_a_model(options) -> None:
    [outcome] = run(["vizwiz"], [Variant("copy", 1)], options(model="no such model", mode="text-text"))
    assert [record["answer"] for record in log(outcome.folder)] == ["yes", "no", "red bus"]


SCIENTIFIC, PLAIN = "previous scientific question answering examples", "previous question answering examples"


@pytest.fixture
def official_folder(camml_folder, tmp_path) -> Path:
    """The tiny model, asked in the official style."""
    official = tmp_path / "official"
    shutil.copytree(camml_folder, official)
    tiny.processor(tiny.config(), prompt_style="official").save_pretrained(official)
    return official


@pytest.mark.long
def test_scienceqa_has_its_own_wording_where_the_model_has_the_official_one(
    options, camml_folder, official_folder, tmp_path
) -> None:
    for model, style, wording in (
        (official_folder, None, SCIENTIFIC),
        (official_folder, "official", PLAIN),
        (camml_folder, None, "Examples that may help"),
    ):
        made = options(model=str(model), prompt_style=style, out=tmp_path / wording, limit=2)
        [outcome] = run(["scienceqa_ft"], ONE_SHOT, made)
        assert all(wording in record["prompt"] for record in log(outcome.folder))


@pytest.mark.long
def test_no_task_but_the_fine_tuned_scienceqa_speaks_of_science(options, official_folder) -> None:
    """Models tuned on all kinds of instructions were never asked so; ScienceQA's image subset is asked as all are."""
    styles = {name: dict(tasks.find(name).prompt_styles) for name in tasks.names()}
    assert {name: style for name, style in styles.items() if style} == {
        "scienceqa_ft": {"official": "official_scienceqa"}
    }
    [outcome] = run(["scienceqa"], ONE_SHOT, options(model=str(official_folder), limit=4))
    for record in log(outcome.folder):
        assert PLAIN in record["prompt"]
        assert "scientific" not in record["prompt"]
        assert "\nAnswer with the option's letter from the given choices directly." in record["prompt"]


@pytest.mark.long
def test_an_answer_without_room_is_shorter_and_says_so(options) -> None:
    [outcome] = run(["vqav2"], ONE_SHOT, options(max_new_tokens=500, limit=2))
    for record in log(outcome.folder):
        assert record["notes"] == ["no room for more than 250 new tokens"]
        assert record["new_tokens"] <= 250


class TestMistakes:
    def test_another_run_in_the_folder_is_refused(self, options) -> None:
        run(["gqa"], ONE_SHOT, options())
        with pytest.raises(OptionError, match=r"decoding\.max_new_tokens: 5 there, 4 here"):
            run(["gqa"], ONE_SHOT, options(max_new_tokens=4))

    def test_a_datastore_opened_otherwise_is_another_run(self, options, tmp_path) -> None:
        """Options such as `patches` change what is found, though the encoder's revision stays as it is."""
        usual = {"model": "no such model", "mode": "text-text"}
        [first] = run(["vizwiz"], [Variant("copy", 1)], options(**usual))
        told = read_json(first.folder / "run.json")["store"]
        assert {"encoder_options", "images"}.isdisjoint(told)  # so that runs of before go on
        for changes in ({"encoder_options": {"joint": False}}, {"store_images": str(tmp_path)}):
            with pytest.raises(OptionError, match=r"store\.(encoder_options|images): null there"):
                run(["vizwiz"], [Variant("copy", 1)], options(**usual, **changes))
            [other] = run(["vizwiz"], [Variant("copy", 1)], options(**usual, **changes, out=tmp_path / "other"))
            assert read_json(other.folder / "run.json")["store"].items() > told.items()
            shutil.rmtree(tmp_path / "other")

    def test_all_missing_data_is_named_before_a_model_is_touched(self, options, tmp_path) -> None:
        with pytest.raises(SampleError, match=r"GQA: no .*llava_gqa_testdev_balanced\.jsonl; get it.*MME: no "):
            run(["gqa", "mme"], ONE_SHOT, options(data=tmp_path, model="no such model"))

    def test_missing_pictures_are_named(self, options, benchmarks, tmp_path) -> None:
        shutil.copytree(benchmarks[0] / "gqa", tmp_path / "gqa")
        (tmp_path / "gqa/data/images/n1.jpg").unlink()
        with pytest.raises(ImageError, match=r"1 pictures are not there: .*n1\.jpg"):
            run(["gqa"], ONE_SHOT, options(data=tmp_path, model="no such model"))

    @pytest.mark.parametrize(
        ("variant", "changes", "message"),
        [
            (Variant("retrieved", 6), {}, "shots is 6, but the datastore holds 5"),
            (Variant("retrieved", 1), {"store": None}, "retrieved-1 needs --store"),
            (Variant("retrieved", 1), {"mode": "text-image"}, "does not work with this encoder"),
            (Variant("none", 0), {"base_url": "http://127.0.0.1/v1"}, "--base-url is for `--use api`"),
            (Variant("oracle", 1), {}, "gqa cannot tell which samples are right, so it has no context 'oracle'"),
        ],
    )
    def test_settings_that_do_not_fit_are_errors(self, options, variant, changes, message) -> None:
        with pytest.raises(OptionError, match=message):
            run(["gqa"], [variant], options(**changes))

    def test_a_wording_that_is_not_there_is_named(self, options, llm_folder) -> None:
        with pytest.raises(UnknownNameError, match=r"no prompt style 'chat' .*there are: plain, brief"):
            run(["gqa"], [Variant("none", 0)], options(model=str(llm_folder), prompt_style="chat"))

    @pytest.mark.parametrize("wrong", [{"limit": 0}, {"batch_size": 0}, {"retrieved": -1}])
    def test_numbers_below_one_are_errors(self, options, wrong) -> None:
        with pytest.raises(OptionError, match="give 1 or more"):
            options(**wrong)

    def test_a_question_too_long_for_the_model_is_named(self, options, benchmarks, tmp_path) -> None:
        from tests.layouts import lines

        shutil.copytree(benchmarks[0] / "vqav2", tmp_path / "vqav2")
        long = {"question_id": 7, "image": "0.png", "text": "what " * 600}
        lines(tmp_path / "vqav2" / "llava_vqav2_mscoco_test-dev2015.jsonl", [long])
        with pytest.raises(OptionError, match=r"VQAv2 test-dev, questions 7 to 7: .*512"):
            run(["vqav2"], ONE_SHOT, options(data=tmp_path))


@pytest.mark.long
@pytest.mark.parametrize("runs", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_and_begun_again_ends_the_same(
    benchmarks, camml_folder, store_folder, tmp_path, runs, programs
) -> None:
    places = (benchmarks[0], camml_folder, store_folder, tmp_path)
    done = programs.run("-m", "tests.evaluation.killed_runs", *places, runs, 5, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["different"] == []
    assert document["kills"] >= 1
    assert {f"mme/retrieved-1/{name}" for name in FILES} <= set(document["files"])


@pytest.mark.slow
def test_torchrun_shares_a_run(benchmarks, camml_folder, store_folder, tmp_path) -> None:
    command = [*COMMAND, "mme", "gqa", "--data", str(benchmarks[0]), "--model", str(camml_folder),
               "--store", str(store_folder), "--out"]  # fmt: skip
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for start, out in ((launch, "two"), ([sys.executable], "one")):
        subprocess.run([*start, *command, str(tmp_path / out)], check=True, env=environment)
    for name in ("mme", "gqa"):
        first, second = (contents(tmp_path / out / name / "retrieved-1") for out in ("one", "two"))
        assert first == second
        assert first


def test_a_mended_truth_is_in_the_log(options, benchmarks, tmp_path) -> None:
    data = tmp_path / "data"
    shutil.copytree(benchmarks[0] / "okvqa", data / "okvqa")
    [first] = run(["okvqa"], ONE_SHOT, options(data=data))
    said = log(first.folder)[0]["answer"]
    file = data / "okvqa" / "llava_okvqa_val_gt.json"
    truth = read_json(file)
    for answer in truth["annotations"][0]["answers"]:
        answer["answer"] = said
    file.write_text(json.dumps(truth))
    [again] = run(["okvqa"], ONE_SHOT, options(data=data))
    record = log(again.folder)[0]
    assert (record["score"], record["truth"]["answers"]) == (1, [said] * 10)
    assert first.score.truth != again.score.truth


def test_grades_of_other_answers_are_refused(options, benchmarks, tmp_path) -> None:
    """Grades of one context are not those of another; official ones do not say whose they are."""
    official = Settings(grades=benchmarks[0] / "mm-vet" / "grades.json")
    with pytest.raises(
        OptionError,
        match=r"grades are those of one run's answers, and these are 2 runs \(none, .*: give one --context",
    ):
        run(["mmvet"], [Variant("none", 0), *ONE_SHOT], options(settings=official))
    [outcome] = run(["mmvet"], ONE_SHOT, options(settings=official))
    assert outcome.score.values["total"] == 100
    assert any("does not say which answers it grades" in note for note in outcome.notes)
    hashed = read_json(official.grades)
    for entry in hashed.values():
        entry["answer_sha256"] = "0" * 64
    file = tmp_path / "hashed.json"
    file.write_text(json.dumps(hashed))
    with pytest.raises(SampleError, match=r"grades other answers than these \(3 of 3 differ: v1_0, .*camml eval judge"):
        run(["mmvet"], ONE_SHOT, options(settings=Settings(grades=file), out=tmp_path / "new"))
    assert len(log(tmp_path / "new" / "mmvet" / "retrieved-1")) == 3  # nothing that was answered is lost
