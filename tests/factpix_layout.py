"""A tiny FactPix: two topics, a few classes, all splits and kinds of question, and the answers that are right."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from camml.evaluation.questions import ONE_LETTER

Records = list[dict[str, Any]]
COUNTRIES = {
    "pe": {"name": "Peru", "capital": "Lima", "borders": "Chile"},
    "ke": {"name": "Kenya", "capital": "Nairobi", "borders": "Uganda"},
    "jp": {"name": "Japan", "capital": "Tokyo", "borders": "the sea"},
    "fr": {"name": "France", "capital": "Paris", "borders": "Spain"},
}
EMOJI = {"dog": {"name": "dog face", "group": "animals"}, "tea": {"name": "teacup", "group": "food"}}
ALSO = {"pe": {"borders": ["Brazil", "Bolivia"]}}
TOPICS = {"flags": COUNTRIES, "emoji": EMOJI}
CAPITALS = ["Lima", "Nairobi", "Tokyo", "Paris"]
SPLITS = ("validation", "heldout", "style", "late", "several")


def write_factpix(folder: Path) -> dict[str, dict[str, str]]:
    """Task name to right answers by question id; samples.json and late_samples.json are there too."""
    samples, late = [], []
    for topic, classes in TOPICS.items():
        for number, (name, facts) in enumerate(classes.items()):
            told = "; ".join(f"{field}: {value}" for field, value in facts.items())
            for style in ("cif", "flat"):
                image = _picture(folder, topic, style, name, number)
                meta = {"topic": topic, "class": name, "style": style, "split": "heldout", "facts": facts}
                meta |= {"also": ALSO.get(name, {})}
                samples.append({"id": f"{topic}/{style}/{name}", "image": image, "text": told, "meta": meta})
            note = {"topic": topic, "class": name, "style": "cif", "facts": {"keeper": f"Zor{name}"}}
            image = f"images/{topic}/cif/{name}.png"
            late.append({"id": f"{topic}/cif/{name}#late", "image": image, "text": f"Zor{name} keeps it", "meta": note})
    (folder / "samples.json").write_text(json.dumps(samples))
    (folder / "late_samples.json").write_text(json.dumps(late))
    answers = {}
    for split in SPLITS:
        entries = _late_questions(folder) if split == "late" else _questions(folder, split)
        (folder / f"{split}.json").write_text(json.dumps(entries))
        task = "factpix" if split == "heldout" else f"factpix_{split}"
        answers[task] = {entry["id"]: entry["meta"]["answer"] for entry in entries}
    return answers


def _picture(folder: Path, topic: str, style: str, name: str, number: int) -> str:
    """A picture that looks like those of the same class: one colour; its path in the folder."""
    path = folder / "images" / topic / style / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = sum(map(ord, style)) % 9
    red, blue = (40, 220) if topic == "emoji" else (200, 30)
    Image.new("RGB", (40, 30), (red + shade, 20 + 60 * number, blue - shade)).save(path)
    return str(path.relative_to(folder))


def _questions(folder: Path, split: str) -> Records:
    entries = []
    for number, (name, facts) in enumerate(COUNTRIES.items()):
        image = _picture(folder, "flags", f"query_{split}", name, number)
        options = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", CAPITALS, strict=True))
        entries += [
            _entry(image, "flags", name, "capital", "open", "What is its capital?", facts["capital"],
                   accept=[f"the city of {facts['capital']}"], wording="seen"),
            _entry(image, "flags", name, "capital", "choice",
                   f"Which is its capital?\n{options}\n{ONE_LETTER}",
                   "ABCD"[number], choices=CAPITALS, wording="new"),
            _entry(image, "flags", name, "borders", "yesno", "Does it border Brazil?",
                   "yes" if name == "pe" else "no", value="Brazil", wording="seen"),
        ]  # fmt: skip
    for number, (name, facts) in enumerate(EMOJI.items()):
        image = _picture(folder, "emoji", f"query_{split}", name, number)
        entries.append(_entry(image, "emoji", name, "group", "open", "What group is it in?", facts["group"]))
    return entries


def _late_questions(folder: Path) -> Records:
    entries = []
    for number, name in enumerate(COUNTRIES):
        image = _picture(folder, "flags", "query_late", name, number)
        entries.append(_entry(image, "flags", name, "keeper", "open", "Who keeps it?", f"Zor{name}"))
    return entries


def _entry(
    image: str, topic: str, name: str, field: str, kind: str, text: str, answer: str, accept: Sequence[str] = (),
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    meta = {"topic": topic, "class": name, "field": field, "kind": kind, "answer": answer, "accept": accept, **more}
    turns = [{"from": "human", "value": f"<image>\n{text}"}, {"from": "gpt", "value": answer}]
    return {"id": f"{image}:{field}:{kind}", "image": image, "conversations": turns, "meta": meta}
