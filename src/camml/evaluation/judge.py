"""MM-Vet's judge: a language model behind an endpoint grades each answer; grades are kept, and paid for once."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from camml.chat_api import ChatApi, Reply
from camml.chat_api.reply import TOO_LONG
from camml.errors import FetchError, OptionError
from camml.evaluation import task as tasks
from camml.evaluation.answers import match, read_answers
from camml.evaluation.cache import Cache
from camml.evaluation.files import listed, write_json
from camml.evaluation.metrics.mmvet import HASH, answer_hash, grade_id, judge_prompt, read_grade
from camml.json_values import digest

TRIES = 5
"""Source: the official grader asks so often for a grade it can read, ever hotter, and then gives 0."""
HOTTER = 0.5
LONGEST = 3
"""Tokens of a grade. Source: the official grader."""
FIRST = 10
"""So many answers that are too long for the judge, and none that is not, show that all are."""
_WHOLE = re.compile(r"\s*[01]\.\d")
"""A grade that cannot be the beginning of another one, where a reply was cut off."""
REMINDER = "\nPredict the correctness of the answer (digit): "


def grade(
    data: Path,
    answers: Path,
    out: Path,
    api: ChatApi,
    cache: Cache,
    *,
    runs: int = 1,
    missing: str = "error",
    max_tokens: int = LONGEST,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, dict[str, Any]]:
    """Grade an answer file of MM-Vet and write the grades in the official layout; what was graded before is kept.

    A question that has no answer is not graded: it counts 0 without a judge.

    Args:
      data: the folder of all tasks' data, or the task's own.
      out: where the grades go: `{id: {"model": [...], "content": [...], "score": [...], "answer_sha256": text}}`, an
        entry a run.
      runs: how often each answer is graded; papers report the mean of five.
      missing: as for `score`.
      max_tokens: the longest reply; a judge that thinks needs far more than a grade has.
    Raises:
      OptionError: `runs` or `max_tokens` is below 1, or `missing` is not one of the choices.
      SampleError: data or answers that are missing or broken.
      FetchError: the endpoint does not answer, or gave no grade to some answers; call again, and it goes on where it
        stopped. What was graded is written.
    """
    for name, value in (("runs", runs), ("max_tokens", max_tokens)):
        if value < 1:
            raise OptionError(f"{name} is {value}; give 1 or more")
    task = tasks.find("mmvet")
    tasks.check_data([task], data, "score")
    items = task.read(task.place(data))
    given = match(items, read_answers(answers), answers, missing)
    asked = [item for item in items if item.id in given.texts and item.id not in given.unanswered]
    grades: dict[str, dict[str, Any]] = {}
    lacking: dict[str, str] = {}
    for number, item in enumerate(asked, start=1):
        prompt = judge_prompt(item.truth["question"], item.truth["answer"], given.texts[item.id])
        try:
            rounds = [_grade_once(prompt, api, cache, turn, max_tokens) for turn in range(runs)]
        except FetchError as error:
            if not grades:
                raise
            write_json(out, grades)
            graded = f"{len(grades)} of {len(asked)} answers are graded in {out}, the next call goes on from there"
            raise FetchError(f"{error}; {graded}") from None
        if reasons := {reason for _, value, reason in rounds if value is None}:
            lacking[item.id] = ", ".join(sorted(reasons))
            if number == len(lacking) == FIRST and all(TOO_LONG in reason for reason in lacking.values()):
                break  # as all others would be
        else:
            grades[grade_id(item)] = {
                "model": [api.model] * runs,
                "content": [reply for reply, _, _ in rounds],
                "score": [value for _, value, _ in rounds],
                HASH: answer_hash(given.texts[item.id]),
            }
        progress(number, len(asked))
    write_json(out, grades)
    if lacking:
        raise FetchError(_no_grades(lacking, number, api.model, out))
    return grades


def _no_grades(lacking: Mapping[str, str], asked: int, judge: str, out: Path) -> str:
    """Return the message on answers that have no grade, each with the reason."""
    counted = "; ".join(f"{reason}: {number}" for reason, number in sorted(Counter(lacking.values()).items()))
    cut = any("length" in reason and TOO_LONG not in reason for reason in lacking.values())
    advice = "; a judge that thinks before it grades needs more room: --max-tokens 2000" if cut else ""
    return (
        f"no grade for {len(lacking)} of {asked} answers ({listed(lacking)}) from the judge {judge} ({counted}); the "
        f"others are in {out}, these are asked for again next time{advice}"
    )


def _grade_once(
    prompt: str, api: ChatApi, cache: Cache, turn: int, max_tokens: int
) -> tuple[str, float | None, str]:  # fmt: skip
    """Return the judge's reply and the grade in it, or None and why there is none; grades alone are remembered."""
    key = digest({"judge": api.model, "at": api.base_url, "prompt": prompt, "turn": turn})
    known = cache.get(key) or {}
    if read_grade(text := str(known.get("content") or "")) is not None:
        return text, float(known["score"]), ""
    reply = Reply("")
    for attempt in range(TRIES):
        reply = _ask(prompt, api, attempt, max_tokens)
        if (value := _grade_in(reply)) is not None:
            cache.put(key, {"content": reply.text, "score": value})
            return reply.text, value, ""
        if reply.cut or reply.too_long:  # it will have no more room when it is asked again
            break
    # as the official grader: a reply in words without a grade is a 0, after so many of them
    return (reply.text, None, reply.lacking) if reply.lacking else (reply.text, 0.0, "")


def _ask(prompt: str, api: ChatApi, attempt: int, max_tokens: int) -> Reply:
    """Return the judge's reply.

    Source: mm-vet_evaluator.py of github.com/yuweihao/MM-Vet, as to temperature, length and what comes after TRIES.
    """
    question = prompt + (REMINDER if attempt else "")
    messages: Sequence[Mapping[str, Any]] = [{"role": "user", "content": question}]
    return api.reply(messages, temperature=min(2.0, HOTTER * attempt), max_tokens=max_tokens)


def _grade_in(reply: Reply) -> float | None:
    """Return the grade in a reply; one that was cut off holds a grade only if that is whole ("0." may become "0.5")."""
    if reply.lacking and not (reply.cut and _WHOLE.match(reply.text)):
        return None
    return read_grade(reply.text)
