"""Question files in the layouts that LLaVA and CaMML published, as items."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from camml.errors import SampleError
from camml.evaluation.files import field, read_json, read_lines
from camml.evaluation.task import Item

LLAVA = "LLaVA's eval.zip (docs/Evaluation.md in github.com/haotian-liu/LLaVA)"
CAMML = "CaMML's eval.zip (https://camml.s3.us-west-2.amazonaws.com/data/eval.zip)"
ONE_LETTER = "Answer with the option's letter from the given choices directly."


def read_questions(path: Path, images: Path, key: str = "question_id") -> list[Item]:
    """Read items from lines `{key, "image"?, "text", ...}`, with pictures from the folder `images`.

    Raises:
      SampleError: a line that is not such a question.
    """
    items = []
    for number, record in read_lines(path):
        question_id = field(record, key, path, number)
        text = field(record, "text", path, number)
        if not isinstance(text, str) or not isinstance(question_id, str | int):
            raise SampleError(f"{path}, line {number}: {key} and text should be a string each")
        image = record.get("image")
        place = images / image if isinstance(image, str) and image else None
        items.append(Item(str(question_id), question_id, text, place, None, record, str(image or question_id)))
    return unique(items)


def read_conversations(path: Path, images: Path, suffix: str = "") -> list[Item]:
    """Read items from a LLaVA JSON list: the first human turn, without `<image>`, then `suffix`.

    Raises:
      SampleError: not such a list, or an entry that is not a sample.
    """
    entries = read_json(path)
    if not isinstance(entries, list):
        raise SampleError(f"{path} should be a JSON list of samples")
    items = []
    for number, entry in enumerate(entries, start=1):
        try:
            question_id, text = entry["id"], entry["conversations"][0]["value"]
        except (KeyError, IndexError, TypeError):
            raise SampleError(f"{path}, entry {number} is not a sample with an id and conversations") from None
        if not isinstance(text, str) or not isinstance(entry.get("image") or "", str):
            raise SampleError(f"{path}, entry {number}: the first turn and the image should be a text each")
        image = images / entry["image"] if entry.get("image") else None
        text = text.replace("<image>", "").strip() + suffix
        items.append(Item(str(question_id), question_id, text, image, None, entry, str(question_id)))
    return unique(items)


def unique(items: Iterable[Item]) -> list[Item]:
    """Append `#2`, `#3`, ... to the id of an item where it was there before."""
    seen: Counter[str] = Counter()
    result = []
    for item in items:
        seen[item.id] += 1
        count = seen[item.id]
        result.append(item if count == 1 else replace(item, id=f"{item.id}#{count}"))
    return result


def with_truth(items: Iterable[Item], truth: Mapping[str, Any], path: Path) -> list[Item]:
    """Return the items with the truth of their question id.

    Raises:
      SampleError: `path`, where the truth was read, lacks one; the message names it.
    """
    items = list(items)
    lacking = [item.id for item in items if str(item.question_id) not in truth]
    if lacking:
        raise SampleError(
            f"{path} has no answer for question {lacking[0]} and {len(lacking) - 1} others of the question file"
        )
    return [replace(item, truth=truth[str(item.question_id)]) for item in items]
