"""What a run says where nobody watches: a line at every tenth, and one a minute."""

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from camml.training.progress import Progress

FIGURES = {"loss": 1.0, "tokens_per_second": 10.0, "samples_per_second": 1.0, "waiting_for_data": 0.0}


@pytest.mark.parametrize(("seconds_a_step", "most"), [(0.1, 11), (15, 60)])
def test_lines_come_at_every_tenth_and_each_minute(
    seconds_a_step: float, most: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line, state, none = Progress(), SimpleNamespace(is_world_process_zero=True, max_steps=200), SimpleNamespace()
    for step in range(1, 201):
        state.global_step = step
        clock = SimpleNamespace(monotonic=lambda now=seconds_a_step * step: now)
        monkeypatch.setattr("camml.training.progress.time", clock)
        arguments: Any = (none, state, none)
        line.on_log(*arguments, logs=FIGURES)
    lines = capsys.readouterr().err.splitlines()
    steps = [int(text.split()[2]) for text in lines]
    assert set(range(20, 201, 20)) <= set(steps)
    assert all(seconds_a_step * (after - before) <= 60
               for before, after in itertools.pairwise(steps))  # fmt: skip
    assert len(steps) <= most
    assert lines[-1].startswith("camml: step 200 of 200: loss 1.0000, 10 tokens/s")
