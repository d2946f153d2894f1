"""The package that docs/extending.md shows works as it says."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from camml import formats
from camml.types import Sample

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()


def test_the_package_of_the_page_reads_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [project] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    [module] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    about = tomllib.loads(project)["project"]
    points = [
        f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in of.items()) for group, of in about["entry-points"].items()
    ]
    folder = tmp_path / "site" / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    (folder / "entry_points.txt").write_text("\n".join(points))
    (folder.parent / "camml_lines.py").write_text(module)
    monkeypatch.syspath_prepend(folder.parent)
    (tmp_path / "notes.lines").write_text("a red bicycle\na green tree\n")
    try:
        samples = list(formats.read(tmp_path / "notes.lines"))
    finally:
        sys.modules.pop("camml_lines", None)
    assert samples == [Sample("1", "a red bicycle"), Sample("2", "a green tree")]
