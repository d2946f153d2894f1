"""Every task, as data and on disk."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from camml.errors import CaMMLError, OptionError, SampleError, UnknownNameError
from camml.evaluation import task as tasks
from camml.evaluation.metrics import captions
from tests.layouts import Records

SPEC = {
    "scienceqa_ft": 91.32, "scienceqa": 67.9, "vqav2": 79.4, "gqa": 62.7, "vizwiz": 51.2, "textvqa": 58.0, "pope": 86.4,
    "mme": 1506.9, "mmbench": 66.9, "mmbench_cn": 60.6, "seed_bench": 60.4, "mmvet": 32.2, "coco_caption": 111.4,
    "flickr30k_caption": 82.7, "okvqa": 64.7, "aokvqa": 81.1, "refcoco": 66.6, "refcocop": 60.3, "refcocog": 57.6,
}  # fmt: skip
Benchmarks = tuple[Path, dict[str, Records]]


OWN = {
    *("factpix", "factpix_validation", "factpix_style", "factpix_late", "factpix_several"),
    *("ownpix_short", "ownpix_long", "ownpix_unanswerable", "ownpix_validation"),
}


def test_there_are_nineteen_tasks_with_their_published_figures_and_our_own() -> None:
    assert {name: tasks.find(name).published["CaMML-7B"] for name in tasks.names() if name not in OWN} == SPEC
    assert not any(tasks.find(name).published for name in OWN)


def test_an_unknown_task_is_said() -> None:
    with pytest.raises(UnknownNameError, match=r"no benchmark 'vqa'; there are: aokvqa, coco_caption"):
        tasks.find("vqa")


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_reads_its_official_layout(name: str, benchmarks: Benchmarks) -> None:
    data, answers = benchmarks
    task = tasks.find(name)
    assert task.missing(data, "run") == task.missing(data, "score") == []
    items = task.read(task.place(data))
    assert len(items) == len(answers[name])
    assert len({item.id for item in items}) == len(items)
    for item in items:
        assert item.text
        assert not item.text.startswith("<image>")
        assert (item.truth is None) is (name in ("vqav2", "vizwiz"))
        if isinstance(item.image, Path):
            with Image.open(item.image) as picture:
                assert picture.size == (40, 30)
    assert any(item.image for item in items)


@pytest.mark.parametrize("name", tasks.names())
def test_missing_data_is_named_with_its_source(name: str, tmp_path: Path) -> None:
    task = tasks.find(name)
    lines = task.missing(tmp_path, "run")
    wanted = [file for file in task.files if file.needed in ("always", "run")]
    assert lines == [
        f"{task.title}: no {tmp_path / task.folder / file.path}; get it from {file.source}" for file in wanted
    ]
    assert lines
    with pytest.raises(CaMMLError):
        task.read(task.place(tmp_path))


def test_missing_data_of_all_tasks_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=r"POPE: no .*MME: no .*github.com/BradyFU"):
        tasks.check_data([tasks.find("pope"), tasks.find("mme")], tmp_path, "run")


def test_what_scoring_needs_is_checked_with_the_data(benchmarks: Benchmarks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match="pycocoevalcap"):
        tasks.check_data([tasks.find("pope"), tasks.find("coco_caption")], benchmarks[0], "run")


def test_the_folder_of_a_task_may_be_given_itself(benchmarks: Benchmarks) -> None:
    task = tasks.find("pope")
    assert task.place(benchmarks[0]) == task.place(benchmarks[0] / "pope") == benchmarks[0] / "pope"


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("pope", "llava_pope_test.jsonl", '{"text": "a"}'),
        ("pope", "llava_pope_test.jsonl", '{"question_id": 1, "text": "a", "category": "other"}'),
        ("pope", "coco/coco_pope_random.json", '{"label": "maybe"}'),
        ("pope", "coco/coco_pope_random.json", '{"label": "yes", "image": "another.jpg", "text": "x"}'),
        ("scienceqa", "llava_test_CQM-A.json", "{}"),
        ("scienceqa", "llava_test_CQM-A.json", '[{"id": 1}]'),
        ("scienceqa", "problems.json", '{"4": {}}'),
        ("scienceqa", "problems.json", '{"4": 5}'),
        ("scienceqa", "problems.json", "[5]"),
        ("gqa", "data/testdev_balanced_questions.json", '{"1": {}}'),
        ("gqa", "data/testdev_balanced_questions.json", '{"1": {"answer": "yes"}}'),
        ("textvqa", "TextVQA_0.5.1_val.json", "[]"),
        ("textvqa", "TextVQA_0.5.1_val.json", '{"data": []}'),
        *(
            ("textvqa", "TextVQA_0.5.1_val.json", document)
            for document in ('{"data": [{"image_id": "a1", "question": 5}]}', '{"data": [5]}')
        ),
        ("mme", "llava_mme.jsonl", '{"question_id": "existence/0009.jpg", "text": "Is it so?"}'),
        ("mme", "MME_Benchmark_release_version/existence/0000.txt", "no tab"),
        ("seed_bench", "SEED-Bench.json", "{}"),
        ("mmvet", "mm-vet.json", "{}"),
        ("mmvet", "mm-vet.json", "[]"),
        ("okvqa", "llava_okvqa_val_gt.json", "5"),
        ("okvqa", "llava_okvqa_val_gt.json", '[{"question_id": 1, "answers": [null]}]'),
        ("okvqa", "llava_okvqa_val_gt.json", '[{"question_id": 1, "answers": 3}]'),
        ("aokvqa", "llava_aokvqa_val_gt.json", '[{"question_id": 1, "choices": ["a"], "correct_choice_idx": 1}]'),
        ("coco_caption", "test_caption_coco_format.json", '{"annotations": [{}]}'),
        ("refcoco", "llava_refcoco_val_gt.json", '[{"obj_id": 0}]'),
        ("refcoco", "llava_refcoco_val_gt.json", '{"0": [1, 2, 3]}'),
        ("mmbench", "mmbench_dev_20230712.tsv", "index\tquestion\nx\ty\n"),
        ("mmbench", "mmbench_dev_20230712.tsv", "index\tquestion\timage\n1\ty\t?\n"),
        ("mmbench", "mmbench_dev_20230712.tsv", "index\n1\n"),
    ],
)
def test_broken_data_is_an_error_that_names_it(
    name: str, file: str, content: str, benchmarks: Benchmarks, tmp_path: Path
) -> None:
    task = tasks.find(name)
    shutil.copytree(benchmarks[0] / task.folder, tmp_path / task.folder)
    (tmp_path / task.folder / file).write_text(content)
    with pytest.raises(SampleError) as caught:
        task.read(task.place(tmp_path))
    assert str(tmp_path) in str(caught.value) or "question" in str(caught.value)


def test_the_table_of_prompts_is_true(benchmarks: Benchmarks) -> None:
    """docs/evaluation.md has a row for every task: its style, its longest answer and what stands behind a question."""
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text("utf-8")
    table = text.split("| task | prompt wording |")[1].split("\n\n")[0].splitlines()[2:]
    rows = [line.split("|")[1:-1] for line in table]
    told = {name.strip(" `"): [cell.strip() for cell in row[1:]] for row in rows for name in row[0].split(",")}
    assert told.keys() == set(tasks.names())
    for name, (wording, style, longest, _) in told.items():
        task = tasks.find(name)
        assert style == f"`{task.prompt_styles.get('official', 'official')}`", name
        assert longest == str(task.max_new_tokens), name
        behind = re.search(r"`\\n(.*?)`", wording)
        for item in task.read(task.place(benchmarks[0])):
            assert behind is None or item.text.endswith(f"\n{behind[1]}"), name
            asked = item.record.get("text")
            assert asked is None or item.text == asked, name
