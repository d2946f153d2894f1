"""The lines of a log as the page of a run shows them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camml.evaluation.folder import Record
from camml.evaluation.report.pictures import Pictures
from camml.evaluation.report.samples import ById, QuestionPictures

Entry = dict[str, Any]


GRADED = ("CIDEr",)
"""Headlines whose item scores have no upper end, so that nothing is right or wrong."""


def verdicts(scores: Sequence[float | None], headline: str) -> list[str]:
    """Return a word for each score: `right` (1), `wrong` (0) or `partly`; `unscored` for None.

    Scores of a headline in GRADED are `above` the mean (or at it) or `below` it instead.
    """
    known = [score for score in scores if score is not None]
    if known and headline in GRADED:
        mean = sum(known) / len(known)
        return ["unscored" if score is None else "above" if score >= mean else "below" for score in scores]
    return [_word(score) for score in scores]


def _word(score: float | None) -> str:
    if score is None:
        return "unscored"
    return "right" if score > 1 - 1e-9 else "wrong" if score < 1e-9 else "partly"


def truth_in_words(truth: Any) -> str:
    """Put a true answer in words for a person, whatever the task stores."""
    match truth:
        case None:
            return ""
        case str() | int() | float():
            return str(truth)
        case list() if all(isinstance(entry, str) for entry in truth):
            return "\n".join(truth)
        case {"answers": [*answers]}:
            counted = Counter(map(str, answers)).most_common()
            several = len(counted) > 1
            return ", ".join(f"{text} (×{number})" if several and number > 1 else text for text, number in counted)
        case {"present": bool(present)}:
            return "yes" if present else "no"
        case {"choices": [*choices], "correct": int(correct)} if 0 <= correct < len(choices):
            return str(choices[correct])
        case {"options": dict(options), "answer": str(letter)} if letter in options:
            return f"{letter}: {options[letter]}"
        case {"answer": str(answer)} | {"letter": str(answer)}:
            return answer
        case {"box": [*box]}:
            return f"[{', '.join(map(str, box))}]"
    return json.dumps(truth, ensure_ascii=False)


class SampleTable:
    """The samples that a run's questions share, numbered as they come.

    Args:
      samples: by id, as far as they are at hand.
      pictures: writes their pictures.
    """

    def __init__(self, samples: ById, pictures: Pictures) -> None:
        self.rows: list[Entry] = []
        self._samples, self._pictures = samples, pictures
        self._numbers: dict[str, int] = {}

    def number(self, sample_id: str) -> int:
        """Return the position of a sample in `rows`."""
        if sample_id not in self._numbers:
            self._numbers[sample_id] = len(self.rows)
            self.rows.append(self._row(sample_id))
        return self._numbers[sample_id]

    def _row(self, sample_id: str) -> Entry:
        if sample_id not in self._samples:
            return {"id": sample_id}
        sample = self._samples[sample_id]
        row: Entry = {"id": sample_id, "text": sample.text}
        return row | _shown(sample.image, self._pictures)


def entry(record: Record, verdict: str, table: SampleTable, images: QuestionPictures, pictures: Pictures) -> Entry:
    """Describe one question with its answer; empty fields are left out."""
    shown: Entry = {
        "id": record["id"],
        "question": record.get("question") or "",
        "answer": record["answer"],
        "truth": truth_in_words(record.get("truth")),
        "score": record.get("score"),
        "verdict": verdict,
        "samples": _samples(record, table),
        "notes": record.get("notes") or [],
        "tokens": [record.get("prompt_tokens", 0), record.get("new_tokens", 0)],
        **_shown(images.find(record), pictures),
    }
    return {key: value for key, value in shown.items() if value not in (None, "", [])} | {"answer": record["answer"]}


def _samples(record: Mapping[str, Any], table: SampleTable) -> list[list[Any]]:
    """Return [number, score, place in the context] of each sample: those given in their order, then those left over."""
    scores = {neighbor["id"]: neighbor.get("score") for neighbor in record.get("retrieved") or []}
    used = list(record.get("used") or [])
    given = [[table.number(name), scores.get(name), place] for place, name in enumerate(used, start=1)]
    return given + [[table.number(name), score, 0] for name, score in scores.items() if name not in used]


def _shown(image: Path | bytes | None, pictures: Pictures) -> Entry:
    """Return a picture's copy, or a note that it is lost."""
    if image is None:
        return {}
    name = pictures.copy(image)
    return {"picture": name} if name else {"lost": True}
