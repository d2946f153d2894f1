"""The store benchmark at tiny size: it builds, searches, changes, compares, and what it found is drawn."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RESULTS = sorted((BENCHMARKS / "results").glob("stores_*.json"))


def run(name: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *options])
    import_module(name).main()


@pytest.mark.long
def test_each_store_is_measured_beside_faiss_alone_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture = tmp_path / "stores_tiny.json", tmp_path / "stores.png"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    run("stores", monkeypatch, "--sizes", "1000", "--dim", "32", "--stores", "faiss", "indexed", "--kind", "sq8",
        "--threads", "1", "--out", str(out))  # fmt: skip
    exact, indexed = json.loads(out.read_text())["rows"]
    assert exact["recall"] == 1.0 <= indexed["recall"] + 0.02
    assert indexed["index"]["kind"] == "sq8"
    assert "one_over_exact" in indexed
    assert "one_over_exact" not in exact
    for row in (exact, indexed):
        assert (row["vectors"], row["dim"]) == (1000, 32)
        assert all(row[name] > 0 for name in ("build_s", "open_s", "add_s", "remove_s", "one_ms", "batch_ms"))
        ratios = row["one_over_bare"]
        assert ratios["min"] <= ratios["q1"] <= ratios["median"] <= ratios["q3"] <= ratios["max"]
    capsys.readouterr()
    run("stores_plot", monkeypatch, str(out), "--out", str(picture))
    assert "| 1,000 × 32 | faiss, compressed index (sq8) |" in capsys.readouterr().out
    with Image.open(picture) as drawn:
        assert len(drawn.convert("RGB").getcolors(1 << 20)) > 50


def test_a_server_is_not_measured_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as refused:
        run("stores", monkeypatch, "--stores", "milvus-server")
    assert refused.value.code == 2


@pytest.mark.long
def test_the_page_shows_every_row_that_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert RESULTS
    run("stores_plot", monkeypatch, *map(str, RESULTS), "--out", str(tmp_path / "stores.png"))
    page = (BENCHMARKS.parent / "docs/scale.md").read_text()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|") and line[2].isdigit()]
    assert lines
    assert [line for line in lines if line not in page] == []
