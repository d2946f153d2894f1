"""A benchmark of made-up countries and emoji, built once with everything but the packages real."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from camml.factpix import benchmark, icons
from camml.factpix.catalog import Entry, Fact
from camml.factpix.topics import emoji, flags
from tests.factpix.world import Built

CONTINENTS = ("Northland", "Southland", "Eastland", "Westland")


def draw(folder: Path, style: str, keys: list[str]) -> icons.IconSet:
    """An icon set in which every key has a picture of its own."""
    bodies = {
        key: {"body": f'<rect width="{4 + n % 7}" height="{3 + n % 5}" fill="#{n * 7919 % 0xFFFFFF:06x}"/>'}
        for n, key in enumerate(keys, len(style))
    }
    file = folder / style / "icons.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"icons": bodies, "width": 12, "height": 9}))
    return icons.read(file)


def countries(folder: Path) -> list[Entry]:
    """Fifty countries in all styles of flags; every tenth lacks a style, every seventh has no neighbours."""
    keys = [f"c{n:02}" for n in range(50)]
    sets = {style: draw(folder / "flags", style, keys) for style in flags.STYLES}
    results = []
    for n, key in enumerate(keys):
        facts = {
            "name": Fact((f"Land{n}",), (f"Republic of Land{n}",), f"the Land{n}"),
            "capital": Fact((f"City{n}",)),
            "continent": Fact((CONTINENTS[n % 4],)),
            "language": Fact((f"Tongue{n % 9}", f"Dialect{n % 5}")),
            "borders": Fact((f"the Land{(n + 1) % 50}", f"the Land{(n + 2) % 50}")),
        }
        if n % 7 == 0:
            del facts["borders"]
        drawings = {style: set.drawing(key) for style, set in sets.items() if n % 10 or style != "cif"}
        rivals = {"borders": [f"the Land{(n + 9) % 50}", f"the Land{(n + 19) % 50}"]}
        results.append(Entry(key, key, facts, {k: v for k, v in drawings.items() if v}, rivals))
    return results


def symbols(folder: Path) -> list[Entry]:
    """Sixty emoji, of which always three are kin."""
    keys = [f"e{n:02}" for n in range(60)]
    sets = {style: draw(folder / "emoji", style, keys) for style in emoji.STYLES}
    results = []
    for n, key in enumerate(keys):
        facts = {"name": Fact((f"thing {n}",), phrase=f"“thing {n}”"), "group": Fact((f"group {n % 6}",))}
        drawings = {style: set.drawing(key) for style, set in sets.items()}
        results.append(Entry(key, f"kin {n // 3}", facts, {k: v for k, v in drawings.items() if v}))
    return results


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The topics of flags and emoji are made up, so nothing is fetched."""
    pytest.importorskip("resvg_py", reason="pictures are drawn with the extra `bench`")
    folder = tmp_path_factory.mktemp("icons")
    known = {flags: countries(folder), emoji: symbols(folder)}
    with pytest.MonkeyPatch.context() as patch:
        for topic, entries in known.items():
            patch.setattr(topic, "entries", lambda entries=entries: entries)
        patch.setitem(benchmark.SIZES, "full", {"flags": 0, "emoji": 0})  # type: ignore[arg-type]
        yield


@pytest.fixture(scope="session")
def make(world: None) -> Callable[..., dict[str, Any]]:
    """Builds the made-up benchmark."""

    def make(out: Path, **options: Any) -> dict[str, Any]:
        return benchmark.build(out, progress=False, **options)

    return make


@pytest.fixture(scope="session")
def built(make: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The made-up benchmark; not to be changed."""
    folder = tmp_path_factory.mktemp("factpix")
    return Built(folder, make(folder))
