"""Answer files: those of LLaVA, of CaMML, and plain ones; read, matched to the items of a task, and written."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from camml.errors import OptionError, SampleError
from camml.evaluation.files import listed, read_json, read_records, read_text, shown
from camml.evaluation.metrics.choices import aokvqa_choice
from camml.evaluation.metrics.mmvet import grade_id
from camml.evaluation.submissions import TEXTVQA_ID
from camml.evaluation.task import Item, Task

ID_KEYS = ("question_id", "image_id", "obj_id", "questionId", "id", "image")
TEXT_KEYS = ("text", "caption", "answer", "predict_boxes", "prediction", "direct_answer", "multiple_choice")
PAIR = ("direct_answer", "multiple_choice")
"""The keys of an answer to A-OKVQA in its own files."""
ANSWERS = "answers.jsonl"
"""The file of answers in the folder of a run."""
MISSING = ("error", "wrong", "skip")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: whose, to which prompt (empty where the file does not say), and where in the file it stands.

    Where the file says that there was no answer, `unanswered` is the reason, and the text is empty. Where it has
    several texts that differ, `candidates` has each by its key, and which is the answer depends on the question.
    """

    question_id: str
    text: str
    prompt: str
    place: int
    unanswered: str = ""
    candidates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Matched:
    """The answer text of each item, by item id in the order of the items; and why some have none (their text is "")."""

    texts: dict[str, str]
    unanswered: dict[str, str]


def read_answers(path: Path) -> list[Answer]:
    """Read the answers of a JSON-lines file, a JSON list, or a JSON object from id to text, or to A-OKVQA's two texts.

    The id is under `question_id`, `image_id`, `obj_id`, `questionId`, `id` or `image`; the text under `text`,
    `caption`, `answer`, `predict_boxes` or `prediction`. White space around a text is none of it; a number is read as
    a text. Of the folder of a run `answers.jsonl` is read.

    Raises:
      SampleError: not such a file; the message names the entry.
    """
    path = path / ANSWERS if path.is_dir() else path
    whole = read_text(path).strip()
    if whole.startswith("{") and "\n" in whole and not whole.split("\n", 1)[0].rstrip().endswith("}"):
        return _from_object(read_json(path), path)
    records = read_records(path)
    if len(records) == 1 and not any(key in records[0][1] for key in ID_KEYS):
        return _from_object(records[0][1], path)
    return [_answer(record, path, place) for place, record in records]


def answer_record(task: Task, item: Item, text: str, model: str, unanswered: str = "") -> dict[str, Any]:
    """Return an answer as the official scripts write it for this task, so that theirs can score it.

    Where there is none, a further key `unanswered` says why; they pass over it. It depends on nothing but its
    arguments, so a run that is repeated writes the same file.
    """
    id_key, text_key = task.answer_keys
    lacking = {"unanswered": unanswered} if unanswered else {}
    if text_key != "text":
        return {id_key: item.question_id, text_key: text} | lacking
    prompt = item.text
    if item.image and "conversations" in item.record:  # ScienceQA's script tells by this which questions have a picture
        prompt = "<image>\n" + prompt
    digest = hashlib.sha256("\0".join((model, item.id, text)).encode()).hexdigest()
    record = {id_key: item.question_id, "prompt": prompt, "text": text}
    return record | {"answer_id": digest[:22], "model_id": model, "metadata": {}} | lacking


def _from_object(value: Any, path: Path) -> list[Answer]:
    if not isinstance(value, dict):
        raise SampleError(f"{path} holds neither answers as JSON lines, nor a list, nor an object from id to text")
    answers = []
    for place, (key, said) in enumerate(value.items(), start=1):
        pair = PAIR if isinstance(said, dict) and said.keys() == set(PAIR) else ()
        texts = {name: _text(said[name], f"{path}: the answer to {key}", "leave it out") for name in pair}
        text = texts[PAIR[0]] if texts else _text(said, f"{path}: the answer to {key}", "leave it out")
        answers.append(Answer(key, text, "", place, candidates=texts if len(set(texts.values())) > 1 else {}))
    return answers


def _answer(record: Mapping[str, Any], path: Path, place: int) -> Answer:
    question_id = next((record[key] for key in ID_KEYS if key in record), None)
    if isinstance(question_id, float) and question_id.is_integer():  # as pandas writes a column with a gap
        question_id = int(question_id)
    if not isinstance(question_id, str | int):
        raise SampleError(f"{path}, entry {place} has no id; expected one of: {', '.join(ID_KEYS)}")
    where = f"{path}, entry {place} (question {question_id})"
    there = [key for key in TEXT_KEYS if key in record]
    if not there:
        raise SampleError(f"{where} has no answer text under {', '.join(TEXT_KEYS)}")
    first, *others = [key for key in there if record[key] is not None] or there
    texts = {
        key: _text(str(record[key]) if isinstance(record[key], list) else record[key],  # a box as numbers
                   f"{where}: the answer under {key!r}", "leave the line out (--missing)")
        for key in [first, *(key for key in others if _may_be_answer(record[key]))]
    }  # fmt: skip
    unanswered = str(record.get("unanswered") or "")
    text = "" if unanswered else next(iter(texts.values()))
    several = {} if unanswered or len(set(texts.values())) == 1 else texts
    return Answer(str(question_id), text, str(record.get("prompt") or ""), place, unanswered, several)


def _may_be_answer(value: Any) -> bool:
    """Return whether what stands beside a text may be the answer: not true answers in a list, nor marks."""
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value == value


def _text(value: Any, name: str, remedy: str) -> str:
    """Return an answer as a text.

    Raises:
      SampleError: it is neither a text nor a number; the message calls it `name`, and has the `remedy` for a null.
    """
    if value is None or value != value:  # JSON's null, and NaN, which tables have for it
        raise SampleError(f"{name} is null; write a text, or {remedy}")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise SampleError(f"{name} should be a text, not {shown(json.dumps(value))}")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def match_answers(
    items: Sequence[Item], answers: Sequence[Answer], path: Path, missing: str = "error"
) -> dict[str, str]:
    """Return the answer text of each item, by item id, in the order of the items; see `match`."""
    return match(items, answers, path, missing).texts


def match(items: Sequence[Item], answers: Sequence[Answer], path: Path, missing: str = "error") -> Matched:
    """Return the answer of each item.

    Where a benchmark gives one id to several questions, the prompt in the answer tells them apart; without prompts the
    order does, if all of them are answered.

    Args:
      missing: what an item without an answer is: an "error", "wrong", or "skip" (left out). One of which the file says
        that it got none is wrong, or left out.
    Raises:
      SampleError: answers that are missing, belong to no question, come twice, or cannot be told apart; the message
        names them.
      OptionError: `missing` is none of the three.
    """
    if missing not in MISSING:
        raise OptionError(f"missing={missing!r}; there are: {', '.join(MISSING)}")
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[str(item.question_id)].append(item)
    by_question: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers if all(answer.question_id in groups for answer in answers) else _by_ids(items, answers):
        by_question[answer.question_id].append(answer)
    extra = [f"{key} (entry {its[0].place})" for key, its in by_question.items() if key not in groups]
    if extra:
        raise SampleError(f"{path} answers {len(extra)} questions that the task does not have: {listed(extra)}")
    matched: dict[str, Answer] = {}
    for key, group in groups.items():
        matched |= _match_group(group, by_question.get(key, []), path)
    matched |= {item.id: _decided(item, matched[item.id], path) for item in items
                if item.id in matched and matched[item.id].candidates}  # fmt: skip
    lacking = [item.id for item in items if item.id not in matched]
    if lacking and missing == "error":
        raise SampleError(
            f"{path} lacks the answers to {len(lacking)} of {len(items)} questions: {listed(lacking)}; "
            "`--missing skip` scores what is there, `--missing wrong` counts them as wrong"
        )
    if missing == "wrong":
        matched |= dict.fromkeys(lacking, Answer("", "", "", 0, "not in the answer file"))
    given = [(item.id, matched[item.id]) for item in items if item.id in matched]
    if missing == "skip":
        given = [(key, answer) for key, answer in given if not answer.unanswered]
    unanswered = {key: answer.unanswered for key, answer in given if answer.unanswered}
    return Matched({key: answer.text for key, answer in given}, unanswered)


def _by_ids(items: Sequence[Item], answers: Sequence[Answer]) -> Sequence[Answer]:
    """Return answers under the ids of the question file, if all of them use one other kind of id.

    These are the name of the picture, the id in the annotations (TextVQA) and the grader's id (MM-Vet). Each must
    belong to one question only; otherwise the answers are returned as they are.
    """
    kinds = (lambda item: item.record.get("image"), lambda item: item.record.get(TEXTVQA_ID), grade_id)
    for name in kinds:
        named: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            named[str(name(item))].append(item)
        asked = [named.get(answer.question_id, []) for answer in answers]
        if all(len(its) == 1 for its in asked):
            return [replace(answer, question_id=str(item.question_id), prompt=item.text)
                    for answer, [item] in zip(answers, asked, strict=True)]  # fmt: skip
    return answers


def _decided(item: Item, answer: Answer, path: Path) -> Answer:
    """Return an answer with that of its candidates which answers the question.

    Raises:
      SampleError: more than one may.
    """
    texts = dict(answer.candidates)
    if core_question(_without_mark(texts.get("text", ""))) == core_question(_without_mark(item.text)):
        texts.pop("text", None)  # an answer was added to a line of the question file
    choices = item.truth.get("choices") if isinstance(item.truth, dict) else None
    if choices and texts.keys() == set(PAIR) and len({aokvqa_choice(text, choices) for text in texts.values()}) == 1:
        texts.pop("multiple_choice")  # which was read out of the other
    if len(set(texts.values())) == 1:
        return replace(answer, text=next(iter(texts.values())))
    candidates = " and ".join(f"{key} {shown(text)!r}" for key, text in texts.items())
    raise SampleError(
        f"{path}, entry {answer.place} (question {answer.question_id}) has the {candidates}; leave one of them out"
    )


def _without_mark(question: str) -> str:
    """Return a question without the mark of its image at its beginning or its end."""
    return question.strip().removeprefix("<image>").removesuffix("<image>").strip()


def _match_group(group: list[Item], answers: list[Answer], path: Path) -> dict[str, Answer]:
    """Match answers to the items that share one question id."""
    if len(group) == 1 or not all(answer.prompt for answer in answers):
        _check_number(answers, len(group), path)
        return {item.id: answer for item, answer in zip(group, answers, strict=False)}
    waiting: dict[str, list[Item]] = defaultdict(list)
    for item in group:
        waiting[core_question(item.text)].append(item)
    matched: dict[str, Answer] = {}
    for answer in answers:
        asked = waiting.get(core_question(answer.prompt))
        if asked is None:
            raise SampleError(
                f"{path}, entry {answer.place}: question {answer.question_id} is not asked as {shown(answer.prompt)!r}"
            )
        if not asked:
            raise SampleError(f"{path}, entry {answer.place}: question {answer.question_id} is answered twice")
        matched[asked.pop(0).id] = answer
    return matched


def _check_number(answers: list[Answer], asked: int, path: Path) -> None:
    """Raise unless a question id has as many answers as questions, or none: else nobody could tell whose they are."""
    if len(answers) in (0, asked):
        return
    places, name = ", ".join(str(answer.place) for answer in answers), answers[0].question_id
    if len(answers) > asked:
        raise SampleError(f"{path} answers question {name} {len(answers)} times (entries {places})")
    raise SampleError(
        f"{path}: question {name} is asked {asked} times and has {len(answers)} answers (entries {places}) without "
        "prompts, so that nobody can tell which they answer; give each its prompt, or all answers in order"
    )


def core_question(prompt: str) -> str:
    """Return the question in a prompt in lower case, without OCR tokens and answer instruction.

    Source: the three prompt forms that LLaVA's eval_textvqa.py accepts.
    """
    match = (
        re.search(r"Question: (.*?) Short answer:", prompt, re.DOTALL) if prompt.startswith("OCR tokens: ") else None
    )
    if match:
        return match.group(1).strip().lower()
    instruction = "Answer the question using a single word or phrase."
    lines = prompt.split(instruction)[0].split("\n")
    own_lines = [line for line in lines if not line.startswith("Reference OCR token:")]
    return "\n".join(own_lines).strip().lower()
