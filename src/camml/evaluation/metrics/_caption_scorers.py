"""The scorers of COCO captions, run as a program of its own: they take standard output, standard error and PATH.

Reads `{"captions": {id: text}, "references": {id: [text, ...]}}` from standard input, and finds `java` by PATH; writes
`{"values": {name: number}, "cider": {id: number}}` to standard output.

Source: pycocoevalcap 1.2, as COCOEvalCap runs it (without SPICE).
"""

import contextlib
import io
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def scores(captions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the corpus scores by name, and the CIDEr of each caption, in the units of the package.

    References of ids without a caption count for the word frequencies of CIDEr alone.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenizer = PTBTokenizer()
    truth = tokenizer.tokenize({key: [{"caption": text} for text in references[key]] for key in captions})
    said = tokenizer.tokenize({key: [{"caption": text}] for key, text in captions.items()})
    bleu, _ = Bleu(4).compute_score(truth, said)
    meteor = _meteor(truth, said)
    rouge, _ = Rouge().compute_score(truth, said)
    others = {key: [{"caption": text} for text in its] for key, its in references.items() if key not in captions}
    cider, each = _cider(truth, said, tokenizer.tokenize(others) if others else {})
    values = {f"Bleu_{order}": float(score) for order, score in enumerate(bleu, start=1)}
    values |= {"METEOR": meteor, "ROUGE_L": float(rouge), "CIDEr": float(cider)}
    return {"values": values, "cider": {key: float(score) for key, score in zip(truth, each, strict=True)}}


def _cider(
    truth: Mapping[str, list[str]], said: Mapping[str, list[str]], others: Mapping[str, list[str]]
) -> tuple[float, Sequence[float]]:
    """Return the mean CIDEr and that of each caption, with the word frequencies of all references."""
    from pycocoevalcap.cider.cider import Cider

    # the package wants a caption for each image; empty ones change no frequency, and their scores are left out
    mean, each = Cider().compute_score({**truth, **others}, {**said, **{key: [""] for key in others}})
    own = each[: len(truth)]
    return (float(own.mean()) if others else mean), own


def _meteor(truth: Mapping[str, list[str]], said: Mapping[str, list[str]]) -> float:
    """Compute METEOR; a scorer that fails keeps its lock, and would wait for it forever when it ends."""
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    try:
        return float(scorer.compute_score(truth, said)[0])
    finally:
        if scorer.lock.locked():
            scorer.lock.release()
            with contextlib.suppress(OSError):  # the pipe to a program that died; closed here, it is left alone later
                scorer.meteor_p.stdin.close()


def main() -> int:
    """Score what standard input holds; 3 where a Java program died, whose last words are on standard error then."""
    asked = json.load(sys.stdin)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the scorers talk
            result = scores(asked["captions"], asked["references"])
    except (OSError, ValueError, KeyError) as error:  # what a Java program that died looks like from here
        sys.stderr.flush()
        print(f"\0{error}", file=sys.stderr)
        return 3
    json.dump(result, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
