"""True answers in the files of the benchmarks, by question id."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from camml.boxes import read_box
from camml.errors import SampleError
from camml.evaluation.files import field, read_json, read_records, read_text, shown, visible
from camml.evaluation.metrics.boxes import FORMS
from camml.evaluation.metrics.scienceqa import LETTERS, reasoned_answer, short_answer


def vqa_truth(path: Path) -> dict[str, dict[str, Any]]:
    """Map question ids to `{"answers": [...], "group": {...}}`, from an annotation file of the VQA family.

    It may be VQA's own `{"annotations": [...]}`, a list of such entries, or an object from id to answers; an answer is
    a text or `{"answer": text}`. An entry without a question id, as VizWiz has them, goes by the name of its picture.

    Raises:
      SampleError: not such a file.
    """
    truth: dict[str, dict[str, Any]] = {}
    for number, (key, entry) in enumerate(_entries(path), start=1):
        place = f"{path}, entry {number} (question {key})"
        texts = answer_texts(field(entry, "answers", path, number), place)
        group = {name: entry[name] for name in ("answer_type", "question_type") if entry.get(name)}
        _refuse_second(key, truth, path, number)
        truth[key] = {"answers": texts, "group": group}
    return truth


def answer_texts(answers: Any, place: str) -> list[str]:
    """Return the answers of a question's annotators, each a text or `{"answer": text}`; a number is read as a text.

    Raises:
      SampleError: they are not such answers; the message begins with `place`.
    """
    every = answers if isinstance(answers, list) else []
    values = [answer.get("answer") if isinstance(answer, dict) else answer for answer in every]
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) and value == value for value in values]
    if not values or not all(isinstance(value, str) or number for value, number in zip(values, numbers, strict=True)):
        raise SampleError(f"{place} should have answers as texts, not {shown(repr(answers))}")
    return [str(int(value) if isinstance(value, float) and value.is_integer() else value) for value in values]


def _refuse_second(key: str, truth: Mapping[str, Any], path: Path, number: int) -> None:
    """Raise where a question has a truth already, of which the last would count silently."""
    if key in truth:
        raise SampleError(f"{path}: question {key} is there twice, the second time as entry {number}; leave one out")


def _entries(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (question id, entry) of each of the three forms."""
    value = read_json(path)
    if isinstance(value, dict) and isinstance(value.get("annotations"), list):
        value = value["annotations"]
    if isinstance(value, dict):
        for key, entry in value.items():
            yield key, entry if isinstance(entry, dict) else {"answers": entry}
        return
    if not isinstance(value, list):
        raise SampleError(f"{path} should hold annotations: a list, or an object with 'annotations'")
    for number, entry in enumerate(value, start=1):
        if not isinstance(entry, dict):
            raise SampleError(f"{path}, entry {number} should be an object, not {shown(repr(entry))}")
        image = entry.get("image")
        if "question_id" not in entry and isinstance(image, str):
            yield PurePosixPath(image).name, entry
        else:
            yield str(field(entry, "question_id", path, number)), entry


def choice_truth(path: Path) -> dict[str, dict[str, Any]]:
    """Map question ids to `{"choices", "correct", "direct", "difficult"}`, from A-OKVQA's list of entries.

    Raises:
      SampleError: not such a file, or an index that is none of the choices.
    """
    truth: dict[str, dict[str, Any]] = {}
    for number, entry in read_records(path):
        key, choices = str(field(entry, "question_id", path, number)), field(entry, "choices", path, number)
        if not isinstance(choices, list):
            raise SampleError(f"{path}, entry {number}: choices should be a list, not {shown(repr(choices))}")
        correct = field(entry, "correct_choice_idx", path, number)
        if not isinstance(correct, int) or not 0 <= correct < len(choices):
            raise SampleError(
                f"{path}, entry {number}: correct_choice_idx {correct} is none of the {len(choices)} choices"
            )
        direct = entry.get("direct_answers") or []
        difficult = bool(entry.get("difficult_direct_answer"))
        _refuse_second(key, truth, path, number)
        truth[key] = {"choices": choices, "correct": correct, "direct": direct, "difficult": difficult}
    return truth


def caption_truth(path: Path) -> dict[str, list[str]]:
    """Map image ids to their reference captions, from a COCO caption file.

    Raises:
      SampleError: not such a file.
    """
    value = read_json(path)
    if not isinstance(value, dict) or not isinstance(value.get("annotations"), list):
        raise SampleError(f"{path} should be a COCO caption file: an object with 'annotations'")
    captions: dict[str, list[str]] = defaultdict(list)
    for number, entry in enumerate(value["annotations"], start=1):
        caption = field(entry, "caption", path, number)
        if not isinstance(caption, str):
            raise SampleError(f"{path}, entry {number}: the caption should be a text, not {shown(repr(caption))}")
        captions[str(field(entry, "image_id", path, number))].append(caption)
    return dict(captions)


BOX_KEYS = ("bbox", "box", "gt_bbox", "gt_box", "gt_boxes", "boxes", "answer")


def box_truth(path: Path) -> dict[str, dict[str, Any]]:
    """Return object id to `{"box": four numbers, "form"?, "width"?, "height"?}`, from a list, lines or an object by id.

    The numbers are as they stand; the form is one of FORMS, where the key of the box says it, else see `form_of` in
    `camml.evaluation.box_forms`.

    Raises:
      SampleError: not such a file, or an entry without four numbers.
    """
    start = read_text(path).lstrip()[:1]
    if start == "{" and isinstance(value := _one_object(path), dict):
        entries = [(key, entry if isinstance(entry, dict) else {"box": entry}) for key, entry in value.items()]
    else:
        entries = [(str(field(entry, "obj_id", path, number)), entry) for number, entry in read_records(path)]
    return {key: _box(entry, f"{path}: object {key}") for key, entry in entries}


def _one_object(path: Path) -> Any:
    """Read the object that is the whole file; return None where the file is JSON lines."""
    try:
        value = read_json(path)
    except SampleError:
        return None
    return None if "obj_id" in value else value


def _box(entry: Mapping[str, Any], place: str) -> dict[str, Any]:
    form = next((key for key in FORMS if key in entry), None)
    box = next((entry[key] for key in (*FORMS, *BOX_KEYS) if key in entry), None)
    while isinstance(box, list) and len(box) == 1:  # one box of a list of boxes
        box = box[0]
    if isinstance(box, str):
        read = read_box(box)
        box = [read.left, read.top, read.right, read.bottom] if read else None
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(side, int | float) for side in box):
        raise SampleError(f"{place} has no box of four numbers under {', '.join((*BOX_KEYS, *FORMS))}")
    sizes = {key: entry[key] for key in ("width", "height") if isinstance(entry.get(key), int | float)}
    return {"box": [float(side) for side in box], **({"form": form} if form else {}), **sizes}


def mme_truth(folder: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Map (subtask, picture's stem, question) to the truth, from the text files of the MME release.

    A subtask keeps its `<stem>.txt` files, two lines of question, tab and answer each, beside its pictures or in
    `questions_answers_YN`.

    Raises:
      SampleError: a line that is not a question and an answer.
    """
    truth = {}
    for subtask in sorted(place for place in folder.iterdir() if place.is_dir()):
        apart = subtask / "questions_answers_YN"
        for file in visible((apart if apart.is_dir() else subtask).glob("*.txt")):
            for number, line in enumerate(read_text(file).splitlines(), start=1):
                question, tab, answer = line.strip().partition("\t")
                if not line.strip():
                    continue
                if not tab:
                    raise SampleError(f"{file}, line {number} should be a question, a tab and an answer: {shown(line)}")
                key = (subtask.name, file.stem, bare_question(question))
                truth[key] = {"question": question, "answer": answer, "file": file.name, "subtask": subtask.name}
    return truth


def bare_question(text: str) -> str:
    """Return a yes/no question without the instructions that MME and LLaVA put behind it."""
    for instruction in ("Answer the question using a single word or phrase.", "Please answer yes or no."):
        text = text.split(instruction)[0]
    return text.strip()


def pope_truth(path: Path) -> list[dict[str, Any]]:
    """Read the labels of one split of POPE in their order: `{"image", "text", "present"}`.

    Raises:
      SampleError: not such a file.
    """
    labels = []
    for number, entry in read_records(path):
        label = field(entry, "label", path, number)
        if label not in ("yes", "no"):
            raise SampleError(f"{path}, line {number}: the label should be yes or no, not {shown(repr(label))}")
        labels.append({"image": entry.get("image"), "text": entry.get("text"), "present": label == "yes"})
    return labels


_SUBJECTS = {"natural science": "NAT", "social science": "SOC", "language science": "LAN"}


def science_truth(record: Mapping[str, Any], problem: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return letter, number of choices, whether there is a picture, and the groups of ScienceQA's paper.

    Letter and choices come from ScienceQA's own `problem`; without it from the LLaVA entry.

    Raises:
      SampleError: neither holds the letter.
    """
    image = bool(record.get("image"))
    if problem is not None:
        try:
            letter, choices = LETTERS[problem["answer"]], len(problem["choices"])
        except (KeyError, IndexError, TypeError):
            raise SampleError(f"question {record['id']}: problems.json has no 'answer' among its 'choices'") from None
        return {"letter": letter, "choices": choices, "image": image, "groups": _science_groups(problem, image)}
    try:
        question, answer = (str(turn["value"]) for turn in record["conversations"][:2])
    except (KeyError, TypeError, ValueError):
        raise SampleError(f"question {record['id']} has no answer; put problems.json beside the file") from None
    read = short_answer(answer) or reasoned_answer(answer)
    if read is None:
        raise SampleError(
            f"question {record['id']}: no letter in its answer {shown(answer)!r}; put problems.json beside the file"
        )
    letters = set(re.findall(r"^([A-E])\. ", question, re.MULTILINE)) or set(re.findall(r"\(([A-E])\) ", question))
    return {"letter": read, "choices": max(len(letters), LETTERS.index(read) + 1), "image": image, "groups": []}


def _science_groups(problem: Mapping[str, Any], image: bool) -> list[str]:
    """Return subject, context and grades; a question with text and image context is in both of these groups."""
    text = bool(problem.get("hint"))
    groups = ["context/TXT"] * text + ["context/IMG"] * image + ["context/NO"] * (not text and not image)
    if problem.get("subject") in _SUBJECTS:
        groups.append(f"subject/{_SUBJECTS[problem['subject']]}")
    grade = str(problem.get("grade", "")).removeprefix("grade")
    if grade.isdigit():
        groups.append("grade/G1-6" if int(grade) <= 6 else "grade/G7-12")
    return groups
