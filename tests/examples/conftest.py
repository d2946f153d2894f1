"""The example's files, importable as they are when its scripts run, and a small world without a network."""

import json
import sys
from pathlib import Path

import pytest

from tests.examples.world import WORLD, icon

EXAMPLE = Path(__file__).parents[2] / "examples" / "flags"
sys.path.insert(0, str(EXAMPLE))


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Packages of a small world in place of the registry's; the names of those that were asked for."""
    import build

    from camml import packages

    asked: list[str] = []

    def npm(name: str, version: str, sha256: str) -> Path:
        asked.append(name)
        folder = tmp_path / "packages" / name.replace("/", "+")
        folder.mkdir(parents=True, exist_ok=True)
        if name == build.FACTS.package:
            (folder / "countries.json").write_text(json.dumps(WORLD))
            return folder
        style = next(style for style, source in build.STYLES.items() if source.package == name)
        icons = {build.ICON_NAMES.get(style, "{code}").format(code=row["cca2"].lower()): icon(row) for row in WORLD}
        if style == "flagpack":
            del icons["ya"]  # a style need not have all
        (folder / "icons.json").write_text(json.dumps({"icons": icons, "width": 40, "height": 30}))
        return folder

    monkeypatch.setattr(packages, "npm", npm)
    return asked
