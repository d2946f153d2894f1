"""Samples whose pictures cannot be used, and samples that are not near enough."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from camml import evidence
from camml.types import Neighbor, Sample


def context_of(*images: Path | None) -> tuple[Neighbor, ...]:
    return tuple(Neighbor(Sample(f"s{n}", f"text {n}", image, {"n": n}), 0.5) for n, image in enumerate(images))


def picture(path: Path, color: str = "red") -> Path:
    Image.new("RGB", (30, 20), color).save(path)
    return path


def test_pictures_that_can_be_used_are_left_alone(tmp_path: Path) -> None:
    context = context_of(picture(tmp_path / "a.png"), None, picture(tmp_path / "b.jpg"))
    assert evidence.usable(context) == (context, ())


def test_others_are_left_out_with_a_note_that_names_no_file(tmp_path: Path) -> None:
    good = picture(tmp_path / "good.png")
    (tmp_path / "cut.png").write_bytes(picture(tmp_path / "whole.png").read_bytes()[:60])
    (tmp_path / "words.png").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    names = ["gone.png", "cut.png", "words.png", "folder.png", "loop.png", "x" * 300]
    context = context_of(good, *(tmp_path / name for name in names))
    said: list[str] = []
    kept, notes = evidence.usable(context, said.append)
    assert kept[0] is context[0]
    for before, after in zip(context[1:], kept[1:], strict=True):
        assert after.sample.image is None
        assert (after.sample.text, after.sample.meta, after.score) == (before.sample.text, before.sample.meta, 0.5)
    assert len(notes) == len(said) == len(names)
    assert "'s1' is not there any more" in notes[0]
    assert "'s2' cannot be used" in notes[1]
    assert not any(str(tmp_path) in note for note in notes)
    assert all(str(tmp_path) in reason for reason in said)


@pytest.mark.long
@pytest.mark.parametrize("size", [(800, 20_000), (60_000, 3)])
def test_a_long_picture_can_be_used(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, "red").save(tmp_path / "long.png")
    context = context_of(tmp_path / "long.png")
    assert evidence.usable(context) == (context, ())


def test_a_picture_is_looked_at_again_when_it_changes(tmp_path: Path) -> None:
    context = context_of(picture(tmp_path / "a.png"))
    assert evidence.usable(context)[1] == ()
    (tmp_path / "a.png").write_text("no picture")
    assert "cannot be used" in evidence.usable(context)[1][0]
    os.unlink(tmp_path / "a.png")
    assert "any more" in evidence.usable(context)[1][0]
    picture(tmp_path / "a.png")
    assert evidence.usable(context)[1] == ()


def test_all_pictures_can_be_left_out(tmp_path: Path) -> None:
    kept, notes = evidence.without_pictures(context_of(picture(tmp_path / "a.png"), None))
    assert [neighbor.sample.image for neighbor in kept] == [None, None]
    assert len(notes) == 1


def scored(**scores: float) -> tuple[Neighbor, ...]:
    return tuple(Neighbor(Sample(name, name), score, found_by="image-image") for name, score in scores.items())


def names(context: tuple[Neighbor, ...]) -> list[str]:
    return [neighbor.sample.id for neighbor in context]


def test_samples_that_look_far_less_like_the_question_are_not_near() -> None:
    context = scored(a=0.9, b=0.81, c=0.79, d=0.2)
    assert names(evidence.near(context, 0.1)) == ["a", "b"]
    assert names(evidence.near(context, 0)) == ["a"]
    assert evidence.near(context, float("inf")) == evidence.near(context, None) == context


def test_the_most_similar_one_decides_wherever_it_stands() -> None:
    assert names(evidence.near(scored(c=0.2, a=0.9, b=0.85), 0.1)) == ["a", "b"]


def test_samples_found_by_words_or_given_by_hand_stay() -> None:
    by_words = Neighbor(Sample("w", "w"), 0.1, found_by="text-text")
    by_hand = Neighbor(Sample("h", "h"), float("nan"))
    assert names(evidence.near((by_words, *scored(a=0.9, b=0.2), by_hand), 0.1)) == ["w", "a", "h"]
    assert evidence.near((by_words, by_hand), 0.1) == (by_words, by_hand)
    assert evidence.near((), 0.1) == ()


def test_likeness_counts_where_patches_were_compared() -> None:
    first, second, third = (
        replace(neighbor, likeness=likeness)
        for neighbor, likeness in zip(scored(a=0.5, b=0.9, c=0.9), (0.8, 0.75, None), strict=True)
    )
    assert names(evidence.near((first, second, third), 0.1)) == ["a", "b"]  # the third was too far to be compared
    assert names(evidence.near((first, second, third), 0.01)) == ["a"]
    assert names(evidence.near((first, second, third), None)) == ["a", "b", "c"]
