"""What is printed where the terminal does not have all characters."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from camml import encoders
from camml.cli import _output, main
from camml.datastore import Datastore
from camml.types import Sample

TEXT = "日本製 🙂"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8", "utf-16", "latin-1"])
def test_json_is_json_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    _output.never_fail_to_write()
    _output.print_json({"text": TEXT})
    print(TEXT)
    stream.flush()
    stream.seek(0)
    document, _, rest = stream.read().rpartition("}")
    assert json.loads(document + "}") == {"text": TEXT}
    assert (TEXT in rest) == encoding.startswith("utf")


@pytest.mark.long
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_search_does_not_end_in_a_traceback(flags: list[str], tmp_path: Path) -> None:
    Datastore.build(tmp_path / "st", [Sample("1", TEXT)], encoders.load("hashed"))
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-m", "camml", "store", "search", "--store", "st", "--text", "x", *flags]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=300)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert b"\\u65e5" in done.stdout
    if flags:
        assert TEXT in str(json.loads(done.stdout))


@pytest.mark.parametrize("closed", ["stdin", "stdout", "stderr"])
def test_a_closed_stream_is_no_traceback(closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Datastore.build(tmp_path / "st", [Sample("1", TEXT)], encoders.load("hashed"))
    monkeypatch.setattr(sys, closed, None)
    for flags in ([], ["--json"]):
        assert main(["store", "search", "--store", str(tmp_path / "st"), "--text", "x", *flags]) == 0
        assert main(["store", "search", "--store", str(tmp_path / "none"), "--text", "x", *flags]) == 2
    getattr(sys, closed).close()
