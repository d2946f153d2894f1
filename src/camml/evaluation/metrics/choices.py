"""Multiple choice: reading an option out of an answer, SEED-Bench, MMBench's circular rule, A-OKVQA."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from camml.evaluation.task import Item, Measured, Settings, mean

_SEPARATORS = re.compile(r"[.()\[\],:;!*#{}]")
ROUND = 1_000_000
"""MMBench numbers the k-th rotation of question i as i + k * ROUND."""


def chosen_letter(answer: str, options: Mapping[str, str]) -> str | None:
    """Return the letter of the option an answer picks, or None where it picks none or is ambiguous.

    First a letter on its own, if exactly one option's letter is there (an "A" in more than three words may be an
    article and decides nothing); then the one option whose text the answer holds. These are the rules that MMBench's
    evaluation tries before it asks a language model; no model is asked here, so such an answer is wrong.

    Source: can_infer of VLMEvalKit (vlmeval/utils/matching_util.py).
    """
    words = _SEPARATORS.sub(" ", answer).split()
    letters = [letter for letter in options if letter in words]
    if len(letters) == 1 and not ("A" in words and len(words) > 3):
        return letters[0]
    lower = answer.lower()
    named = [letter for letter, text in options.items() if str(text).lower() in lower]
    return named[0] if len(named) == 1 and named[0] in options else None


def percent(hits: Sequence[float]) -> float:
    """Return 100 times the mean."""
    return 100 * mean(hits)


def breakdown(groups: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the percentage of each group, sorted by name."""
    return {name: percent(hits) for name, hits in sorted(groups.items())}


def seed_accuracy(items: Sequence[Item], answers: Mapping[str, str], settings: Settings) -> Measured:
    """Return accuracy in percent: all, images, videos, and each dimension; an answer must be the letter alone.

    `unread` says how many answers are no such letter, such as "A." or "(A)".

    Items' truth is `{"answer": letter, "kind": "image" | "video", "dimension": name}`.

    Source: LLaVA's convert_seed_for_submission.py.
    """
    per_item = {item.id: float(answers[item.id] == item.truth["answer"]) for item in items}
    groups: dict[str, list[float]] = defaultdict(list)
    for item in items:
        groups[f"kind/{item.truth['kind']}"].append(per_item[item.id])
        groups[f"dimension/{item.truth['dimension']}"].append(per_item[item.id])
    values = {"accuracy": percent(list(per_item.values()))} | breakdown(groups)
    values["unread"] = float(sum(answers[item.id] not in set("ABCD") for item in items))
    return Measured(values, per_item, clusters=[item.cluster for item in items])


def circular_accuracy(items: Sequence[Item], answers: Mapping[str, str], settings: Settings) -> Measured:
    """Return MMBench's circular accuracy in percent: a question counts if right under every rotation of its options.

    Items' truth is `{"answer": letter, "options": {letter: text}, "category": name, "l2": name, "rotations"?: number}`;
    the rotations of one question have the same index modulo `ROUND`. A question of which fewer than its number of
    rotations are here is left out. `vanilla` is the accuracy of the unrotated questions alone.
    """
    rounds: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        rounds[int(item.question_id) % ROUND].append(item)
    right = {item.id: chosen_letter(answers[item.id], item.truth["options"]) == item.truth["answer"] for item in items}
    whole: dict[str, float] = {}
    vanilla = []
    groups: dict[str, list[float]] = defaultdict(list)
    for index, turned in rounds.items():
        vanilla += [float(right[item.id]) for item in turned if int(item.question_id) < ROUND]
        if len(turned) < turned[0].truth.get("rotations", 0):
            continue
        hit = float(all(right[item.id] for item in turned))
        whole[str(index)] = hit
        for kind in ("l2", "category"):
            groups[f"{kind}/{turned[0].truth[kind]}"].append(hit)
    values = {"accuracy": percent(list(whole.values()))} if whole or not rounds else {}
    values |= {"vanilla": percent(vanilla)} | breakdown(groups)
    partial = len(rounds) - len(whole)
    note = (
        f"{partial} of {len(rounds)} questions lack answers to some of their rotations; accuracy is of the other "
        f"{len(whole)}, vanilla of {len(vanilla)}"
    )
    return Measured(values, whole, notes=[note] if partial else [])


def aokvqa_accuracy(items: Sequence[Item], answers: Mapping[str, str], settings: Settings) -> Measured:
    """Score A-OKVQA in percent: `multiple_choice`, and `direct_answer` without questions marked difficult for it.

    A multiple-choice answer is the letter of a choice ("B", "(B)", "B. bus") or a choice's text. For a direct answer
    the text is compared as it is, with min(1, matches / 3).

    Items' truth is `{"choices": [...], "correct": index, "direct": [...], "difficult": bool}`.

    Source: evaluation/eval_predictions.py of github.com/allenai/aokvqa; reading the letter is ours.
    """
    per_item = {item.id: float(aokvqa_choice(answers[item.id], item.truth["choices"]) == item.truth["correct"])
                for item in items}  # fmt: skip
    direct = [
        0.0 if item.id in settings.unanswered else min(1.0, item.truth["direct"].count(answers[item.id]) / 3)
        for item in items
        if item.truth["direct"] and not item.truth["difficult"]
    ]
    values = {"multiple_choice": percent(list(per_item.values()))}
    if direct:
        values["direct_answer"] = percent(direct)
    return Measured(values, per_item, clusters=[item.cluster for item in items])


def aokvqa_choice(answer: str, choices: Sequence[str]) -> int | None:
    """Return the index of the choice that an answer names, by its text or else its letter; None where it names none."""
    plain = answer.strip().rstrip(".").strip().lower()
    texts = [choice.strip().lower() for choice in choices]
    if plain in texts:
        return texts.index(plain)
    letters = {chr(ord("A") + place): choice for place, choice in enumerate(choices)}
    letter = chosen_letter(answer.strip(), letters)
    return None if letter is None else ord(letter) - ord("A")
