"""The rows of a run: what is wrong with them is found by several processes as by one."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from camml.cli import main
from camml.data.examples import TrainingRows
from camml.data.llava_json import Conversation
from camml.errors import OptionError, SampleError
from camml.prompts import Turn
from camml.training import recipes, rows
from camml.training.train import prepare
from camml.types import Neighbor, Sample
from tests import tiny
from tests.training import runs


@pytest.mark.parametrize("workers", [0, 2])
class TestOnSeveralProcesses:
    @pytest.fixture(autouse=True)
    def helped(self, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rows, "_workers", lambda _: workers)
        monkeypatch.setattr(rows, "AT_A_TIME", 2)

    def flags(self, folder: Path, *more: str) -> list[str]:
        arguments = runs.flags(folder, output_dir=folder / "out", icl_num=0, neighbors=None, model_max_length=200)
        entries = json.loads((folder / "train.json").read_text())
        for number in (3, 7):
            entries[number]["conversations"][0]["value"] += " of France" * 100
        (folder / "train.json").write_text(json.dumps(entries))
        return [*arguments, *more]

    @pytest.mark.long
    def test_rows_that_are_too_long_are_named_in_their_order_and_left_out(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        skipped: list[str] = []
        left = prepare(recipes.parse(self.flags(tmp_path, "--on_bad_sample", "skip")), skipped).train_dataset
        assert [row.id for row in left.conversations] == [f"row-{n}" for n in range(12) if n not in (3, 7)]
        assert ["'row-3'" in skipped[0], "'row-7'" in skipped[1], len(skipped)] == [True, True, 2]
        assert "parallelism" not in capfd.readouterr().err
        with pytest.raises(SampleError, match=r"'row-3'.*\(and 1 more\)"):
            prepare(recipes.parse(self.flags(tmp_path)))

    def test_what_is_wrong_with_the_settings_is_said_as_it_is(self, tmp_path: Path) -> None:
        tokenizer = tiny.tokenizer()
        tokenizer.chat_template = "{% for m in messages %}{{ m.role + ': ' + m.content }} {% endfor %}"
        runs.parts(tmp_path, tokenizer)
        runs.table(tmp_path, runs.dataset(tmp_path))
        with pytest.raises(OptionError, match=r"^with prompt style 'chat' no special token"):
            prepare(recipes.parse(self.flags(tmp_path, "--on_bad_sample", "skip")))


def test_few_rows_are_not_worth_a_process() -> None:
    assert rows._workers(100) == 0
    assert 0 <= rows._workers(10**6) <= rows.MOST_WORKERS


@pytest.mark.parametrize("mode", ["train", "check", "dry_run"])
def test_too_few_rows_to_fill_a_batch_are_said(
    mode: str, bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"output_dir": tmp_path, "dataloader_drop_last": True, "per_device_train_batch_size": 64}
    assert main(["train", *runs.flags(bench, **more, **({mode: True} if mode != "train" else {}))]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "12 rows do not fill a batch of 64, and --dataloader_drop_last True leaves out" in error


def test_all_rows_are_evaluated_on_though_training_leaves_out_the_last(bench: Path, tmp_path: Path) -> None:
    more = {"eval_data": bench / "train.json", "eval_neighbors": bench / "neighbors", "dataloader_drop_last": True}
    more |= {"per_device_train_batch_size": 8, "per_device_eval_batch_size": 8}
    trainer = prepare(recipes.parse(runs.flags(bench, output_dir=tmp_path, **more)))
    assert (len(trainer.get_train_dataloader()), len(trainer.get_eval_dataloader())) == (1, 2)


class TestAlike:
    """What ZeRO-3 and FSDP ask of the rows for a vision-language model."""

    def check(self, images: list[bool], samples: list[list[bool]], random_shots: bool = False, **run: object) -> None:
        model, processor = tiny.added("llava")
        talks = [
            Conversation(str(n), (Turn("q", "a"),), Path("x") if image else None) for n, image in enumerate(images)
        ]
        contexts = {
            str(n): tuple(
                Neighbor(Sample(str(m), "t", Path("x") if image else None), 1.0) for m, image in enumerate(row)
            )
            for n, row in enumerate(samples)
        }
        dataset = TrainingRows(talks, contexts.__getitem__, processor, shots=3, random_shots=random_shots)
        about = {"deepspeed": {"zero_optimization": {"stage": 3}}, "fsdp": None, "world_size": 2} | run
        rows.check_alike(dataset, model, SimpleNamespace(**about))  # type: ignore[arg-type]

    @pytest.mark.long
    def test_alike(self) -> None:
        self.check([True] * 2, [[True, False], [True]], random_shots=True)
        self.check([False] * 2, [[False], [False, False]])
        self.check([True, False], [[], []], world_size=1)
        self.check([True, False], [[], []], deepspeed=None)

    @pytest.mark.parametrize(
        ("images", "samples", "random_shots", "count"),
        [
            ([True, True, False], [[True]] * 3, False, 1),
            ([True] * 3, [[True], [False], [True]], False, 1),
            ([True] * 3, [[True], [True], []], False, 1),
            ([True] * 2, [[False, True]] * 2, True, 2),
        ],
    )
    def test_not_alike(self, images: list, samples: list, random_shots: bool, count: int) -> None:
        for more in ({}, {"deepspeed": None, "fsdp": "full_shard"}):
            with pytest.raises(OptionError, match=rf"must be alike.*; {count} of {len(images)} are not"):
                self.check(images, samples, random_shots, **more)
