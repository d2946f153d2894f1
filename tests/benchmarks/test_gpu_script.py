"""The script of all GPU runs asks the others for what they have."""

import re
import runpy
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_stores_it_asks_for_are_there() -> None:
    [asked] = re.findall(r"--stores ([a-z ]+) --out", (BENCHMARKS / "gpu.sh").read_text("utf-8"))
    assert set(asked.split()) <= set(runpy.run_path(str(BENCHMARKS / "stores.py"))["STORES"])


def test_every_part_it_names_is_one_it_has() -> None:
    text = (BENCHMARKS / "gpu.sh").read_text("utf-8")
    [named] = re.findall(r"^parts=\(([^)]*)\)", text, re.MULTILINE)
    assert all(re.search(rf"^    {part}\)", text, re.MULTILINE) for part in named.split())
