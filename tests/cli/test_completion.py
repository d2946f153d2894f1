"""`camml completion`: a script that a shell takes."""

import shutil
import subprocess

import pytest

from camml.cli import main

pytest.importorskip("shtab")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_script_knows_verbs_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("--min-score", "calibrate", "chat", "neighbors"):
        assert word in script
    if program := shutil.which(shell):
        done = subprocess.run([program, "-n"], input=script, text=True, capture_output=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_bash_completes_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash here")
    main(["completion", "bash"])
    script = capsys.readouterr().out
    asked = 'COMP_WORDS=(camml comp); COMP_CWORD=1; _shtab_camml; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run([bash, "-c", f"{script}\n{asked}"], text=True, capture_output=True)
    assert done.stdout.split() == ["completion"]
