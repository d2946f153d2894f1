"""The speed scripts at tiny size: they run, compare, say where they were, and draw what they found."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
BENCHMARKS, RESULTS = ROOT / "benchmarks", ROOT / "benchmarks/results"
NAMES = ("context_cost", "decode", "prefill", "evaluation", "embedding", "train_step", "start")
COMMITTED = sorted(
    path for path in RESULTS.glob("*.json") if "script" in (d := json.loads(path.read_text())) and d["script"] in NAMES
)


@pytest.fixture(scope="module", autouse=True)
def scripts() -> dict[str, ModuleType]:
    """The scripts as modules."""
    pytest.importorskip("matplotlib")
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return {name: import_module(name) for name in (*NAMES, "_measure", "_shapes", "speed_plots")}
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def measured(scripts, tmp_path, monkeypatch):
    """A script's document after it was run with some options."""

    def run(name: str, *options: str) -> dict:
        out = tmp_path / f"{name}.json"
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *options, "--out", str(out)])
        monkeypatch.syspath_prepend(str(BENCHMARKS))
        scripts[name].main()
        with Image.open(out.with_suffix(".png")) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 50
        document = json.loads(out.read_text())
        assert document["script"] == name
        assert document["command"].startswith(f"python benchmarks/{name}.py")
        assert "--out" not in document["command"]
        assert all(document[fact] for fact in ("date", "device", "torch", "transformers", "python", "threads"))
        assert "| " in scripts[name].table(document)
        return document

    return run


def within(spread: dict) -> bool:
    return spread["least"] <= spread["middle"] <= spread["greatest"]


@pytest.mark.long
def test_decoding_is_compared_with_the_bare_model_and_does_not_recompile(measured) -> None:
    report = measured("decode", "--size", "tiny", "--new-tokens", "6", "--repeats", "2", "--batch", "1", "--batch", "3",
                     "--compile")  # fmt: skip
    assert [(line["cache"], line["batch"]) for line in report["lines"]] == [
        (cache, batch) for cache in ("static", "dynamic") for batch in (1, 3)
    ]
    assert all(line["recompiled"] == 0 for line in report["lines"])
    assert all(within(line[name]) for line in report["lines"] for name in ("ours", "bare", "ratio"))
    assert report["floor_seconds"] == pytest.approx(report["weights_bytes"] / report["read_bytes_per_second"])
    assert sum(row["share"] for row in report["profile"]) <= 1.001


@pytest.mark.long
def test_prefill_says_what_is_not_the_language_model(measured) -> None:
    report = measured("prefill", "--size", "tiny", "--repeats", "2", "--batch", "2")
    [line] = report["lines"]
    assert 0 < line["front_cached_floor"] < 1
    timed = [line[name] for name in ("front", "front_cached", "of_ceiling")]
    assert all(within(spread) and spread["middle"] > 0 for spread in timed)


@pytest.mark.long
def test_a_context_costs_the_same_tokens_for_any_number_of_samples(measured, scripts) -> None:
    report = measured("context_cost", "--size", "tiny", "--repeats", "2", "--shots", "0", "1", "3")
    tokens = {(cost["way"], cost["shots"]): cost["tokens"] for cost in report["costs"]}
    assert tokens["camml", 1] == tokens["camml", 3] == tokens["cached", 3]
    assert tokens["interleaved", 3] > tokens["interleaved", 1] > tokens["texts", 1] > tokens["camml", 0]
    floors = {(cost["way"], cost["shots"]): cost["floor_ratio"] for cost in report["costs"]}
    assert floors["camml", 0] == 1 < floors["cached", 3] < floors["camml", 3]
    assert report["too_large"] == []
    assert "goal: at most 1.25" in scripts["context_cost"].goals(report)


@pytest.mark.long
def test_an_evaluation_is_compared_with_one_question_at_a_time(measured) -> None:
    report = measured("evaluation", "--questions", "12", "--batch", "4", "--repeats", "1")
    rates = {line["way"]: line["questions_per_second"]["middle"] for line in report["lines"]}
    assert list(rates) == ["one by one", "batched", "first run", "later run"]
    assert all(rate > 0 for rate in rates.values())
    assert report["facts"]["padding"] <= report["facts"]["padding_unsorted"]


@pytest.mark.long
def test_embedding_is_compared_with_the_bare_encoder(measured) -> None:
    report = measured("embedding", "--random", "tiny", "--images", "8", "--repeats", "1")
    assert [line["way"] for line in report["lines"]] == ["bare", "ours", "loop"]
    assert report["lines"][0]["of_bare"] == {"middle": 1, "least": 1, "greatest": 1}
    assert report["operations_an_image"] > 0


@pytest.mark.long
def test_a_training_step_counts_what_is_needed_and_what_is_done_again(measured) -> None:
    report = measured("train_step", "--size", "tiny", "--steps", "2", "--workers", "0", "--case", "camml_7b:full",
                     "--case", "camml_7b:perceiver")  # fmt: skip
    full, perceiver = report["results"]
    assert 0 < full["mfu"] < full["hfu"]
    assert full["bare_seconds"]
    assert perceiver["bare_seconds"] is None
    assert full["tokens"] == 96
    assert 0 <= full["waiting"] < 1


def test_operations_are_those_of_the_formula(scripts) -> None:
    """6 a parameter and token where all is trained, Kaplan et al.; of attention 6 T² D a layer."""
    shapes, train = scripts["_shapes"], scripts["train_step"]
    shape = shapes.TINY["camml_7b"]
    model = shapes.build(shape, torch.device("cpu"), torch.float32)
    model.requires_grad_(True)
    layers = sum(p.numel() for p in model.vlm.language_model.parameters()) - 512 * 64
    needed, done = train.operations(model, 2 * 96, 2)
    attention = 6 * 2 * 96**2 * 64 * 2
    assert needed == pytest.approx(6 * layers * 2 * 96 + attention)
    assert done == pytest.approx(8 * layers * 2 * 96 + attention * 4 / 3)


def test_counted_operations_of_a_product_are_two_a_multiplication(scripts) -> None:
    first, other = torch.ones(8, 16), torch.ones(16, 32)
    assert scripts["_measure"].count_operations(lambda: first @ other) == 2 * 8 * 16 * 32
    query = torch.ones(1, 2, 5, 4)
    count = scripts["_measure"].count_operations(
        lambda: torch.nn.functional.scaled_dot_product_attention(query, query, query)
    )
    assert count == 2 * (2 * 2 * 5 * 5 * 4)


@pytest.mark.long
def test_the_start_of_commands_is_told_with_what_they_import(measured) -> None:
    report = measured("start", "--only", "help", "--runs", "2")
    assert [line["what"] for line in report["lines"]] == ["python -c pass (floor)", "camml --help"]
    packages = {row["package"] for row in report["imports"]["camml --help"]}
    assert "camml" in packages
    assert not packages & {"torch", "transformers", "numpy"}


def test_what_does_not_fit_is_said(scripts) -> None:
    result = {"case": "camml_7b", "tune": "full", "rows": 4, "error": "out of memory"}
    assert "out of memory" in scripts["train_step"].table({"matmul_per_second": 1e12, "results": [result]})


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_the_page_says_what_was_measured(path: Path, scripts) -> None:
    document = json.loads(path.read_text())
    page = (ROOT / "docs/performance.md").read_text()
    for line in scripts[document["script"]].table(document).splitlines():
        assert line in page, f"docs/performance.md lacks {line!r} of {path.name}; copy the table of the script"
    assert document["command"] in page


def test_the_gpu_script_names_its_parts_and_refuses_others() -> None:
    script = str(BENCHMARKS / "gpu.sh")
    named = subprocess.run(["bash", script, "parts"], capture_output=True, text=True, check=True)
    assert {"decode", "prefill", "context", "train_lora", "evaluation", "embedding"} <= set(named.stdout.split())
    wrong = subprocess.run(["bash", script, "nothing"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "decode" in wrong.stderr
