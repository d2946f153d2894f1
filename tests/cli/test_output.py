"""What is printed where the terminal does not have all characters."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from camml import encoders
from camml.cli import _output, main
from camml.datastore import Datastore
from camml.errors import OptionError
from camml.types import Range, Sample

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


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["year=1999", "year>=1990"], {"year": "1999"}),
        (["year>=1990", "year=1999", "year=1999"], {"year": "1999"}),
        (["n>=9", "n>=3", "n<20", "lang=de"], {"n": Range(((">=", "9"), ("<", "20"))), "lang": "de"}),
        (["n>=3", "n>=9"], {"n": Range(((">=", "9"),))}),
        (["day>=2024-05-01", "day>=2024"], {"day": Range(((">=", "2024-05-01"),))}),
    ],
)
def test_all_conditions_hold(texts: list[str], wanted: dict[str, object]) -> None:
    assert _output.conditions(texts) == wanted


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["lang=de", "lang=en"], "--where 'lang=de' and 'lang=en' cannot both hold"),
        (["year=1980", "year>=1990"], "--where 'year=1980' and 'year>=1990' cannot both hold"),
        (["year<1990", "lang=de", "year=new"], "--where 'year=new' and 'year<1990' cannot both hold"),
        (["n>5", "n>2024-05-01"], "5 is a number and 2024-05-01 a date"),
    ],
)
def test_conditions_that_cannot_hold_together_are_refused(texts: list[str], said: str) -> None:
    with pytest.raises(OptionError, match=re.escape(said)):
        _output.conditions(texts)


@pytest.mark.parametrize("text", ["year==1999", "year=>1999", "year=<1999", "year>>1999"])
def test_what_is_no_sign_of_a_condition_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=re.escape(f"--where {text!r} is not of the form KEY=VALUE")):
        _output.conditions([text])


@pytest.mark.parametrize("texts", [["image=1,image=2"], ["image=1", "image=2"]])
def test_a_name_that_is_given_two_numbers_is_refused(texts: list[str]) -> None:
    with pytest.raises(OptionError, match="--weights gives 'image' twice, as '1' and as '2'; give it once"):
        _output.numbers(texts, "--weights")
    assert _output.numbers(["image=1", "text=2", "image=1"], "--weights") == {"image": 1, "text": 2}
