"""`--ray` on the command line: the same files as without it."""

import json
import re
from pathlib import Path

import pytest

from camml.cli import main
from tests.colors import RGB, picture
from tests.distributed.folders import contents

RAYS_OWN = re.compile(r"\[?\d{4}-\d\d-\d\d |\((raylet|autoscaler|gcs_server|.* pid=)")
"""How the lines begin that Ray writes by itself, of what its cluster does."""


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Two files of samples, as conversations."""
    files = []
    for part in range(2):
        entries = [
            {
                "id": f"{part}-{color}",
                "image": picture(tmp_path, color).name,
                "conversations": [
                    {"from": "human", "value": f"<image>\nwhich colour, in part {part}?"},
                    {"from": "gpt", "value": color},
                ],
            }
            for color in sorted(RGB)
        ]
        files.append(tmp_path / f"part{part}.json")
        files[-1].write_text(json.dumps(entries))
    return files


@pytest.mark.long
def test_build_add_and_neighbors(
    sources: list[Path],
    tmp_path: Path,
    ray_here: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, ray in (("one", []), ("ray", ["--ray", "--ray-workers", "2"])):
        store, table = f"{name}/store", f"{name}/table"
        build = ["store", "build", str(sources[0]), "--out", store, "--encoder", "hashed", "--images", "."]
        assert main([*build, "--batch-size", "4", *ray]) == 0
        assert main(["store", "add", str(sources[1]), "--store", store, "--images", ".", *ray, "--json"]) == 0
        assert main(["neighbors", str(sources[1]), store, table, "--k", "2", *ray]) == 0
        manifest = json.loads((tmp_path / table / "manifest.json").read_text())
        manifest["origin"].pop("store")  # its path
        (tmp_path / table / "manifest.json").write_text(json.dumps(manifest))
    assert [line for line in capsys.readouterr().err.splitlines() if not RAYS_OWN.match(line)] == []
    assert contents(tmp_path / "ray") == contents(tmp_path / "one")


def test_mistakes_are_one_line(sources: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build = ["store", "build", str(sources[0]), "--encoder", "hashed", "--out"]
    for number, (options, message) in enumerate(
        (
            (["--ray-workers", "2"], "give --ray, too"),
            (["--ray", "--ray-workers", "0"], "at least 1, not 0"),
        )
    ):
        assert main([*build, str(tmp_path / f"store{number}"), *options]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
