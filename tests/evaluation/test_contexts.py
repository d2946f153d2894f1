"""Kinds of context, and the answer that a sample holds."""

import math

import pytest

from camml.errors import OptionError
from camml.evaluation.contexts import Variant, altered, copied_answer, variants
from camml.types import Neighbor, Sample


def test_variants_are_each_there_once() -> None:
    names = [variant.name for variant in variants(["retrieved", "none", "copy", "random"], [0, 1, 2])]
    assert names == ["none", "retrieved-1", "retrieved-2", "copy", "random-1", "random-2"]


@pytest.mark.parametrize(("contexts", "shots"), [(["nearest"], [1]), (["retrieved"], [-1])])
def test_unknown_kinds_and_negative_shots_are_errors(contexts, shots) -> None:
    with pytest.raises(OptionError):
        variants(contexts, shots)


def test_shuffling_depends_on_the_seed_alone() -> None:
    result = tuple(Neighbor(Sample(str(number), "text"), math.nan) for number in range(8))
    variant = Variant("shuffled", 6)
    once, again, other = (altered(variant, result, seed) for seed in ("0 a", "0 a", "0 b"))
    assert once == again
    assert once != other
    assert sorted(n.sample.id for n in other) == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("text", "meta", "answer"),
    [
        ("What is it?\nAnswer the question using a single word or phrase.a dog", {}, "a dog"),
        ("Why? What colour?Red.", {}, "Red."),
        ("Which?\nA. x\nB. y\nAnswer with the option's letter from the given choices directly.B", {}, "B"),
        ("a photo of a dog", {}, "a photo of a dog"),
        ("Is it?", {}, "Is it?"),
        ("Is it?yes", {"answer": "no"}, "no"),
    ],
)
def test_the_answer_of_a_sample(text, meta, answer) -> None:
    assert copied_answer(Sample("s", text, None, meta)) == answer
