"""MM-Vet's judge: a language model behind an endpoint grades each answer; grades are kept, and paid for once."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from camml.chat_api import ChatApi
from camml.errors import OptionError
from camml.evaluation import task as tasks
from camml.evaluation.answers import match_answers, read_answers
from camml.evaluation.cache import Cache
from camml.evaluation.files import write_json
from camml.evaluation.fingerprints import digest
from camml.evaluation.metrics.mmvet import grade_id, judge_prompt, read_grade
from camml.evaluation.task import Item

TRIES = 5
"""Source: the official grader asks so often for a grade it can read, ever hotter, and then gives 0."""
HOTTER = 0.5
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
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, dict[str, list[Any]]]:
    """Grade an answer file of MM-Vet and write the grades in the official layout; what was graded before is kept.

    Args:
      data: the folder of all tasks' data, or the task's own.
      out: where the grades go: `{id: {"model": [...], "content": [...], "score": [...]}}`, an entry a run.
      runs: how often each answer is graded; papers report the mean of five.
      missing: as for `score`.
    Raises:
      SampleError: data or answers that are missing or broken.
      FetchError: the endpoint does not answer; call again, and it goes on where it stopped.
    """
    if runs < 1:
        raise OptionError(f"runs is {runs}; give 1 or more")
    task = tasks.find("mmvet")
    tasks.check_data([task], data, "score")
    items = task.read(task.place(data))
    texts = match_answers(items, read_answers(answers), answers, missing)
    asked = [item for item in items if item.id in texts]
    grades: dict[str, dict[str, list[Any]]] = {}
    for number, item in enumerate(asked, start=1):
        rounds = [_grade_once(item, texts, api, cache, turn) for turn in range(runs)]
        grades[grade_id(item)] = {
            "model": [api.model] * runs,
            "content": [reply for reply, _ in rounds],
            "score": [value for _, value in rounds],
        }
        progress(number, len(asked))
    write_json(out, grades)
    return grades


def _grade_once(
    item: Item, texts: Mapping[str, str], api: ChatApi, cache: Cache, turn: int
) -> tuple[str, float]:  # fmt: skip
    """The judge's reply and the grade in it."""
    prompt = judge_prompt(item.truth["question"], item.truth["answer"], texts[item.id])
    key = digest({"judge": api.model, "at": api.base_url, "prompt": prompt, "turn": turn})
    if (known := cache.get(key)) is not None:
        return str(known["content"]), float(known["score"])
    reply, value = _ask(prompt, api)
    cache.put(key, {"content": reply, "score": value})
    return reply, value


def _ask(prompt: str, api: ChatApi) -> tuple[str, float]:
    """Ask until a grade can be read.

    Source: mm-vet_evaluator.py of github.com/yuweihao/MM-Vet, as to temperature, length and what comes after TRIES.
    """
    reply = ""
    for attempt in range(TRIES):
        question = prompt + (REMINDER if attempt else "")
        messages: Sequence[Mapping[str, Any]] = [{"role": "user", "content": question}]
        reply = api.complete(messages, temperature=min(2.0, HOTTER * attempt), max_tokens=3)
        value = read_grade(reply)
        if value is not None:
            return reply, value
    return reply, 0.0
