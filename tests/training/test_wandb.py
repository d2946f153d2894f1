"""Weights & Biases, without its servers."""

import json
from pathlib import Path

import pytest

from tests.training import runs


def test_a_run_reports_to_wandb_offline(bench: Path, tmp_path: Path) -> None:
    """In a process of its own, since wandb leaves a service running."""
    pytest.importorskip("wandb")
    output = tmp_path / "out"
    flags = runs.flags(bench, output_dir=output, max_steps=3, report_to="wandb", run_name="offline")
    runs.run(flags, WANDB_MODE="offline", WANDB_DIR=str(tmp_path), WANDB_SILENT="true", WANDB_PROJECT="camml")
    [log] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    content = log.read_bytes()
    for name in (b"train/loss", b"train/tokens_per_second", b"train/waiting_for_data"):
        assert name in content
    assert json.loads((output / "run.json").read_text())["settings"]["report_to"] == ["wandb"]
