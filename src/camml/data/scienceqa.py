"""ScienceQA's own files to LLaVA JSON, in the prompt formats of the official converters.

A prompt format is what is asked and what is answered, such as "QCM-LEPA": Q question, C context (the hint), M options,
L lecture, E explanation (the solution), A answer, P the "###" between reasoning and answer.

Two layouts are published. The *labelled* one is that of the training files: "Context: ...", "Options: (A) ... (B) ...",
the image last. The *plain* one is that of the evaluation file `llava_test_CQM-A.json`: the image first, an unlabelled
question, one option a line, and the letter alone as the answer.

Source: https://github.com/haotian-liu/LLaVA, `scripts/convert_sqa_to_llava.py`.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from camml import durable
from camml.errors import OptionError, SampleError
from camml.formats._texts import IMAGE_MARK

ASKED = ("CQM", "QCM", "QCML", "QCME", "QCMLE", "QCLM", "QCEM", "QCLEM")
ANSWERED = ("A", "AL", "AE", "ALE", "AEL", "LA", "EA", "LEA", "ELA", "LEPA")
SAME = {"CQA-A": "CQM-A"}
"""A name in the data tree of the paper's README, and the prompt format that the file of that name has."""
LAYOUTS = ("auto", "labelled", "plain")


@dataclass(frozen=True, slots=True)
class Problem:
    """One question of ScienceQA."""

    id: str
    question: str
    hint: str
    choices: tuple[str, ...]
    answer: str
    lecture: str
    solution: str
    image: str | None


def convert(
    base_dir: Path,
    split: str,
    prompt_format: str = "QCM-LEPA",
    *,
    layout: str = "auto",
    out: Path | None = None,
    overwrite: bool = False,
) -> tuple[Path, int]:
    """Write a split as LLaVA JSON, and return where it was written and how many samples it holds.

    Args:
      base_dir: holds `problems.json` and `pid_splits.json`.
      split: a key of `pid_splits.json`, such as train, val, minival, test or minitest.
      prompt_format: what is asked and what is answered, see above.
      layout: "labelled", "plain", or "auto": plain for CQM-A (also called CQA-A), as published, else labelled.
      out: the file to write; by default `llava_{split}_{prompt_format}.json` in `base_dir`, which is replaced if it
        is there, as the official converter does.
      overwrite: replace a file that is at `out` already.
    Raises:
      OptionError: no such split, prompt format or layout, or there is a file at `out` and `overwrite` is false.
      SampleError: a file that is missing or is not what it should be.
      DiskError: the file cannot be written.
    """
    asked, answered, plain = _check_format(prompt_format, layout)
    if out and os.path.lexists(out) and not overwrite:
        raise OptionError(f"{out} is there already; give another name, or --overwrite to replace it")
    splits = _read_object(base_dir / "pid_splits.json")
    if split not in splits:
        raise OptionError(f"no split {split!r} in {base_dir / 'pid_splits.json'}; there are: {', '.join(splits)}")
    entries = [
        _plain_entry(problem, asked) if plain else _labelled_entry(problem, asked, answered)
        for problem in _problems(base_dir / "problems.json", splits[split])
    ]
    path = out or base_dir / f"llava_{split}_{prompt_format}.json"
    durable.write_file(path, json.dumps(entries, indent=2).encode())
    return path, len(entries)


def _check_format(prompt_format: str, layout: str) -> tuple[str, str, bool]:
    prompt_format = SAME.get(prompt_format, prompt_format)
    asked, _, answered = prompt_format.partition("-")
    if asked not in ASKED or answered not in ANSWERED:
        raise OptionError(
            f"no prompt format {prompt_format!r}; write what is asked ({', '.join(ASKED)}), "
            f"a hyphen, and what is answered ({', '.join(ANSWERED)})"
        )
    if layout not in LAYOUTS:
        raise OptionError(f"no layout {layout!r}; there are: {', '.join(LAYOUTS)}")
    plain = layout == "plain" or (layout == "auto" and prompt_format == "CQM-A")
    if plain and prompt_format not in ("CQM-A", "QCM-A"):
        raise OptionError(f"the plain layout is for CQM-A and QCM-A, not for {prompt_format}; use the labelled one")
    return asked, answered, plain


def _plain_entry(problem: Problem, asked: str) -> dict[str, Any]:
    context = f"Context: {problem.hint}" if problem.hint else ""
    parts = [context, problem.question] if asked == "CQM" else [problem.question, context]
    parts += [f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, problem.choices, strict=False)]
    human = _squeeze("\n".join(filter(None, parts)))
    return _entry(problem, f"{IMAGE_MARK}\n{human}" if problem.image else human, problem.answer)


def _labelled_entry(problem: Problem, asked: str, answered: str) -> dict[str, Any]:
    human = _drop_empty_reason(_squeeze(_ask(problem, asked)))
    gpt = _drop_empty_reason(_squeeze(_ANSWERS[answered](problem)))
    # The official script drops every such label once the text begins with one, also a label inside the problem.
    human = human.replace("Question: ", "") if human.startswith("Question: ") else human
    gpt = gpt.replace("Answer: ", "") if gpt.startswith("Answer: ") else gpt
    return _entry(problem, f"{human}\n{IMAGE_MARK}" if problem.image else human, gpt)


def _ask(problem: Problem, asked: str) -> str:
    options = [f"({letter}) {choice}" for letter, choice in zip(ascii_uppercase, problem.choices, strict=False)]
    reasons = {"L": problem.lecture, "E": problem.solution}
    because = " ".join(reasons[letter] for letter in asked if letter in reasons)
    lines = {
        "Q": f"Question: {problem.question}",
        "C": f"Context: {problem.hint or 'N/A'}",
        "M": f"Options: {' '.join(options)}",
        "B": f"BECAUSE: {because}",
    }
    order = asked.replace("LE", "B").replace("L", "B").replace("E", "B")
    return "\n".join(lines[letter] for letter in order)


def _reasoned(problem: Problem) -> str:
    lecture = f"LECTURE: {problem.lecture}\n" if problem.lecture.strip() else ""
    solution = f"SOLUTION: {problem.solution}\n" if problem.solution.strip() else ""
    return f"{lecture}{solution}###\nANSWER: {problem.answer}."


_ANSWERS: Mapping[str, Callable[[Problem], str]] = {
    "A": lambda p: f"Answer: The answer is {p.answer}.",
    # AL gives the solution and AE the lecture: the official converter has them the wrong way round, and models
    # were trained on what it wrote.
    "AL": lambda p: f"Answer: The answer is {p.answer}. BECAUSE: {p.solution}",
    "AE": lambda p: f"Answer: The answer is {p.answer}. BECAUSE: {p.lecture}",
    "ALE": lambda p: f"Answer: The answer is {p.answer}. BECAUSE: {p.lecture} {p.solution}",
    "AEL": lambda p: f"Answer: The answer is {p.answer}. BECAUSE: {p.solution} {p.lecture}",
    "LA": lambda p: f"Answer: {p.lecture} The answer is {p.answer}.",
    "EA": lambda p: f"Answer: {p.solution} The answer is {p.answer}.",
    "LEA": lambda p: f"Answer: {p.lecture} {p.solution} The answer is {p.answer}.",
    "ELA": lambda p: f"Answer: {p.solution} {p.lecture} The answer is {p.answer}.",
    "LEPA": _reasoned,
}


def _squeeze(text: str) -> str:
    """Replace two spaces by one, in one pass, so that four stay two: as the official converter."""
    return text.replace("  ", " ").strip()


def _drop_empty_reason(text: str) -> str:
    return text.replace("BECAUSE:", "").strip() if text.endswith("BECAUSE:") else text


def _entry(problem: Problem, human: str, gpt: str) -> dict[str, Any]:
    image = {"image": f"{problem.id}/{problem.image}"} if problem.image else {}
    turns = [{"from": "human", "value": human}, {"from": "gpt", "value": gpt}]
    return {"id": problem.id, **image, "conversations": turns}


def _problems(path: Path, ids: Any) -> Iterator[Problem]:
    problems = _read_object(path)
    if not isinstance(ids, list):
        raise SampleError(f"{path.with_name('pid_splits.json')}: a split must be a list of problem ids")
    for id in map(str, ids):
        if id not in problems:
            raise SampleError(f"{path}: no problem {id!r}, which pid_splits.json names; download both files again")
        try:
            yield _problem(id, problems[id])
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise SampleError(f"{path}: problem {id!r} is damaged ({error!r}); download it again") from error


def _problem(id: str, raw: Mapping[str, Any]) -> Problem:
    choices = tuple(map(_string, raw["choices"]))
    if not 0 <= raw["answer"] < min(len(choices), len(ascii_uppercase)):
        raise IndexError(f"answer {raw['answer']} of {len(choices)} choices")
    return Problem(
        id=id,
        question=_string(raw["question"]),
        hint=_string(raw["hint"]).strip(),
        choices=choices,
        answer=ascii_uppercase[raw["answer"]],
        lecture=_string(raw["lecture"]).replace("\\n", "\n"),  # a backslash and an n stand for a line break
        solution=_string(raw["solution"]).replace("\\n", "\n"),
        image=raw["image"] and _string(raw["image"]),
    )


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise SampleError(f"{path}: cannot be read ({error.strerror}); is it the folder of ScienceQA?") from error
    except (ValueError, RecursionError) as error:
        raise SampleError(f"{path}: not JSON ({error}); download it again") from error
    if not isinstance(value, dict):
        raise SampleError(f"{path}: is not a JSON object, as ScienceQA has it; download it again")
    return value
