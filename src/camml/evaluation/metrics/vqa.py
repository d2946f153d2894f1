"""Accuracy of short answers against those of several people: VQAv2, OK-VQA, VizWiz, TextVQA."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from camml.evaluation.task import Item, Measured, Settings, mean

ANNOTATORS = 10
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS)}
_ARTICLES = frozenset({"a", "an", "the"})
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_DIGIT_COMMA = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_MAX_PERIODS = 32  # the official call hands re.UNICODE, which is 32, to a parameter that is the count

# The contractions of the official table. A word that lacks any one of a form's apostrophes becomes that form.
_FORMS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""


def _contractions() -> dict[str, str]:
    """Map words without an apostrophe to the form with it."""
    table = {
        form[:place] + form[place + 1 :]: form
        for form in _FORMS.split()
        for place, letter in enumerate(form)
        if letter == "'"
    }
    return table | {"somebody'd": "somebodyd"}  # the one entry of the official table that goes the other way


_CONTRACTIONS = _contractions()


def strip_punctuation(text: str) -> str:
    """Remove punctuation from `text` beside a space (or where a number has a comma); turn the rest into spaces.

    A period stays before a digit.

    Source: processPunctuation of github.com/GT-Vision-Lab/VQA, vqaEval.py.
    """
    drop_all = _DIGIT_COMMA.search(text) is not None
    result = text
    for mark in _PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        result = result.replace(mark, "" if drop_all or beside_space else " ")
    return _PERIOD.sub("", result, count=_MAX_PERIODS)


def plain_words(text: str) -> str:
    """Return `text` in lower case, number words as digits, without articles, contractions with their apostrophes.

    Source: processDigitArticle of github.com/GT-Vision-Lab/VQA, vqaEval.py.
    """
    words = (_DIGITS.get(word, word) for word in text.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def vqa_answer(text: str) -> str:
    """Normalise an answer as the official VQA evaluation compares it."""
    return plain_words(strip_punctuation(_one_line(text)))


def evalai_answer(text: str) -> str:
    """Normalise an answer as TextVQA's M4C evaluation does, and LLaVA for submissions to VQAv2 and VizWiz.

    Source: EvalAIAnswerProcessor of MMF (pythia/tasks/processors.py).
    """
    tokens = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    return vqa_answer(tokens)


def agreement(answer: str, answers: Sequence[str]) -> float:
    """Return the mean over the annotators of min(1, matches among the others / 3), in [0, 1].

    Source: https://visualqa.org/evaluation.html
    """
    matches = [answer == other for other in answers]
    return mean([min(1.0, (sum(matches) - own) / 3) for own in matches])


def vqa_accuracy(answer: str, answers: Sequence[str]) -> float:
    """Score an answer in [0, 1]; only line breaks are normalised where all annotators wrote the same.

    Source: `evaluate` of github.com/GT-Vision-Lab/VQA, vqaEval.py.
    """
    others = [_one_line(other) for other in answers]
    if len(set(others)) == 1:
        return agreement(_one_line(answer), others)
    return agreement(vqa_answer(answer), [vqa_answer(other) for other in others])


def m4c_accuracy(answer: str, answers: Sequence[str]) -> float:
    """Score a TextVQA answer in [0, 1]; answers are always normalised.

    Source: TextVQAAccuracyEvaluator of MMF, as in LLaVA's m4c_evaluator.py.
    """
    return agreement(evalai_answer(answer), [evalai_answer(other) for other in answers])


def submitted_accuracy(answer: str, answers: Sequence[str]) -> float:
    """Score an answer as the VQAv2 server would see it: after LLaVA's submission script."""
    return vqa_accuracy(evalai_answer(answer), answers)


def accuracy_by(score: Callable[[str, Sequence[str]], float]) -> Callable[..., Measured]:
    """Make a metric: the percentage by `score`; truth is `{"answers": [...], "group"?: {breakdown: name}}`."""

    def measure(items: Sequence[Item], answers: Mapping[str, str], settings: Settings) -> Measured:
        per_item = {
            item.id: 0.0 if item.id in settings.unanswered else score(answers[item.id], item.truth["answers"])
            for item in items
        }
        values = {"accuracy": 100 * mean(list(per_item.values()))}
        groups: dict[str, list[float]] = {}
        for item in items:
            for breakdown, name in item.truth.get("group", {}).items():
                groups.setdefault(f"{breakdown}/{name}", []).append(per_item[item.id])
        values |= {name: 100 * mean(scores) for name, scores in sorted(groups.items())}
        notes = _few([len(item.truth["answers"]) for item in items])
        return Measured(values, per_item, clusters=[item.cluster for item in items], notes=notes)

    return measure


def _few(numbers: Sequence[int]) -> list[str]:
    """Return a note where questions have fewer annotators than the rule was made for: it leaves each of them out."""
    counts = {number: times for number, times in sorted(Counter(numbers).items()) if number < ANNOTATORS}
    if not counts:
        return []
    parts: list[str] = []
    for number, times in counts.items():
        best = f"{min(1.0, (number - 1) / 3):.2f}"
        limit = best if parts else f"a right answer scores {best} at most"
        parts.append(f"{times} {'has' if times == 1 else 'have'} {number} ({limit})")
    return [f"the official rule is for ten answers to a question; here {', '.join(parts)}"]
