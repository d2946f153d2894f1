"""Training and the second benchmark share no name, no label, no wording and no sentence."""

import json
import re
from itertools import chain
from pathlib import Path

import pytest

from camml.factpix.wording import SEEN
from camml.ownpix import kinds as own
from camml.reading import generator, notes
from camml.reading.words import fields, kinds, parts, wordings
from tests.ownpix.conftest import catalogue, make
from tests.ownpix.world import Built

__all__ = ["catalogue", "make"]


def test_names_codes_and_labels_are_not_those_of_ownpix() -> None:
    theirs = own.parts()
    assert not set(parts().syllables) & set(theirs.syllables)
    assert not set(parts().firsts) & set(theirs.firsts)
    assert not set(parts().place_ends) & set(theirs.place_ends)
    assert not set(parts().firm_ends) & set(theirs.firm_ends)
    assert not set(parts().letters) & set(theirs.letters)
    labels = {label.lower() for kind in own.kinds().values() for label in kind.labels.values()}
    assert not labels & {noun.lower() for field in fields().values() for noun in field.nouns}
    units = {make["unit"] for kind in own.kinds().values() for make in kind.makes.values() if make["type"] == "number"}
    assert not units & {field.make["unit"] for field in fields().values() if field.type == "number"}
    options = chain.from_iterable(
        make["options"] for kind in own.kinds().values() for make in kind.makes.values() if make["type"] == "choice"
    )
    assert not set(options) & {
        o for field in fields().values() if field.type == "choice" for o in field.make["options"]
    }


def test_patterns_are_not_those_of_ownpix() -> None:
    told = {pattern for field in fields().values() for pattern in field.tell} | set(wordings("tell"))
    asked = {pattern for field in fields().values() for pattern in field.ask} | set(wordings("ask"))
    for kind in own.kinds().values():
        for name, words in kind.words.fields.items():
            assert not asked & set(words["ask"])
            assert not told & {pattern.replace(f"{{{name}}}", "{v}") for pattern in words["tell"]}
            for noun in (noun for field in fields().values() for noun in field.nouns):
                filled = {pattern.replace("{l}", noun) for pattern in wordings("ask")}
                assert not filled & set(words["ask"])
    assert not set(wordings("aside")) & set(own.asides())
    things = {thing for kind in own.kinds().values() for thing in kind.words.things[SEEN]}
    nouns = [kind.noun for kind in kinds().values()]
    assert not things & {pattern.replace("{noun}", noun) for pattern in wordings("pointed") for noun in nouns}
    assert not things & set(wordings("shown"))
    assert not set(wordings("called")) & {
        ask for kind in own.kinds().values() for words in kind.words.fields.values() for ask in words["ask"]
    }


def test_notes_ask_and_answer_in_other_words_than_ownpix() -> None:
    sentences = [sentence for note in notes.patterns() for sentence in note]
    asked = {text for sentence in sentences for text, _ in sentence.questions}
    theirs = [
        ask.replace("{it}", thing)
        for kind in own.kinds().values()
        for words in kind.words.fields.values()
        for ask in words["ask"]
        for thing in ("it", "this", *chain.from_iterable(kind.words.things.values()))
    ]
    assert not asked & set(theirs)
    makes = re.findall(r"\{\w+:([^}]*)\}", " ".join(sentence.pattern for sentence in sentences))
    values = {value for make in makes for value in make.split("|")}
    assert not values & set(
        chain.from_iterable(make.get("options", ()) for kind in own.kinds().values() for make in kind.makes.values())
    )


@pytest.mark.long
def test_what_is_written_has_no_question_and_no_value_in_common(make, tmp_path: Path) -> None:
    built = Built(tmp_path / "own", make(tmp_path / "own"))
    generator.build(tmp_path / "read", rows=300)
    rows = json.loads((tmp_path / "read/conversations.json").read_text())
    ours = {turn["value"] for row in rows for turn in row["conversations"] if turn["from"] == "human"}
    assert not ours & {record["conversations"][0]["value"][len("<image>\n") :] for record in built.all_questions}
    samples = json.loads((tmp_path / "read/samples.json").read_text())
    values = {value for sample in samples for value in sample["meta"]["facts"].values() if not value[-4:].isdigit()}
    theirs = {value for sample in built.samples.values() for value in sample["meta"]["facts"].values()}
    assert not values & theirs


def test_there_are_dozens_of_wordings_of_every_question() -> None:
    mentions = len(wordings("named")) + len(wordings("pointed"))
    for field in fields().values():
        assert (len(field.ask) + len(wordings("ask")) * len(field.nouns)) * mentions >= 200
        assert len(field.tell) >= 2
    for name in ("check", "more", "less", "later", "earlier", "larger", "smaller", "sooner", "after", "which", "above"):
        assert len(wordings(name)) * mentions >= 24


def test_every_field_is_used_and_every_kind_leaves_some_untold() -> None:
    used = {field for kind in kinds().values() for field in kind.fields}
    assert used == set(fields())
    assert all(len(set(kind.fields)) == len(kind.fields) >= 9 for kind in kinds().values())
