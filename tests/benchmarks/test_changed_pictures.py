"""How often changed pictures find their sample."""

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from camml import turning
from camml.datastore import Datastore
from camml.types import Sample
from tests.colors import Quarters, picture

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("changed_pictures")


def test_each_picture_of_the_questions_is_asked_about_once(benchmark: ModuleType, tmp_path: Path) -> None:
    meta = {"topic": "goods", "class": "lamp", "style": "rotated"}
    rows = [{"image": name, "meta": meta} for name in ("a.png", "a.png", "b.png")]
    (tmp_path / "short.json").write_text(json.dumps(rows))
    asked = list(benchmark.of_questions(tmp_path, ["short", "short"]))
    assert asked == [benchmark.Asked(tmp_path / name, ("goods", "lamp"), "rotated") for name in ("a.png", "b.png")]


def test_what_is_found_is_counted_by_change(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turning, "UNDECIDED", turning.UNDECIDED)  # which is set, and put back here
    things = {"red": "bus", "blue": "car", "green": "van"}
    samples = [
        Sample(color, thing, picture(tmp_path, color), {"meta": {"topic": "goods", "class": thing}})
        for color, thing in things.items()
    ]
    encoder = Quarters()
    store = Datastore.build(tmp_path / "store", samples, encoder)
    monkeypatch.setattr(benchmark, "open_store", lambda _: (store, encoder))
    asked = [
        benchmark.Asked(Image.new("RGB", (8, 8), (250, 20, 20)), ("goods", "bus"), "rotated"),
        benchmark.Asked(Image.new("RGB", (8, 8), (250, 0, 90)), ("goods", "car"), "cropped"),
    ]
    row = benchmark.measured("store", asked, again=0.0)
    assert (row["all"], row["rotated"], row["cropped"], row["looks"]) == ([50.0, 100.0], [100, 100], [0, 100], 1)
    assert benchmark.measured("store", asked, again=9.0)["looks"] == 3
    assert benchmark.table([row]).splitlines()[-1] == "| 0 | 50.0, 100.0 | 100.0, 100.0 | 0.0, 100.0 | 1.0 |"
