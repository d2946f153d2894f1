"""Training questions about one picture, joined to conversations: less to compute for each answer that is learned."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

Record = dict[str, Any]


def join(questions: Sequence[Record], seed: int) -> list[Record]:
    """Join the questions to conversations of several turns, each about one picture and no fact twice; LLaVA JSON.

    A fact asked twice would have its second answer stand in the conversation already.
    """
    by_picture: dict[str, list[Record]] = defaultdict(list)
    for question in questions:
        by_picture[question["image"]].append(question)
    return [joined for image, asked in by_picture.items() for joined in _of_picture(asked, Random(f"{seed}|{image}"))]


def _of_picture(questions: Sequence[Record], rng: Random) -> Iterator[Record]:
    rounds: list[list[Record]] = []
    asked: dict[str, int] = defaultdict(int)
    for question in rng.sample(questions, len(questions)):
        field = question["meta"]["field"]
        if asked[field] == len(rounds):
            rounds.append([])
        rounds[asked[field]].append(question)
        asked[field] += 1
    for number, turns in enumerate(rounds, 1):
        first = turns[0]
        values = [turn for question in turns for turn in question["conversations"]]
        said = [{**turn, "value": turn["value"].removeprefix("<image>\n")} for turn in values]
        said[0] = values[0]
        yield {
            "id": "/".join([*first["id"].split("/")[:-2], str(number)]),
            "image": first["image"],
            "conversations": said,
            "meta": {key: first["meta"][key] for key in ("topic", "class", "style", "split")},
        }
