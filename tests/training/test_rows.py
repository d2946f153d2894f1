"""The rows of a run: what is wrong with them is found by several processes as by one."""

import json
from pathlib import Path

import pytest

from camml.errors import OptionError, SampleError
from camml.training import recipes, rows
from camml.training.train import prepare
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
