"""Settings of encoders on the command line."""

from argparse import Namespace
from pathlib import Path

import pytest

from camml.cli._datastore import encoder_options


def test_paths_among_the_settings_of_an_encoder_hold_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "heads.safetensors").touch()
    (tmp_path / "cpu").touch()
    given = ["heads=heads.safetensors", "device=cpu", "model=google/siglip2", "side=112"]
    options = encoder_options(Namespace(encoder_option=given))
    assert options == {
        "heads": str(tmp_path / "heads.safetensors"),
        "device": "cpu",
        "model": "google/siglip2",
        "side": 112,
    }
