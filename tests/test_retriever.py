"""One policy: modes, what never comes back, what comes once."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camml import turning
from camml.datastore import Datastore
from camml.encoders import Patches, Vectors
from camml.errors import EmptyStoreError, OptionError
from camml.ranking import RANK_OFFSET
from camml.retriever import FUSED_DEPTH, Retriever
from camml.searches import MODES
from camml.types import Context, Query, Sample
from tests.colors import RGB, Colors, Quarters, Sentences, picture, sample, unit


@pytest.fixture
def encoder() -> Colors:
    return Colors()


@pytest.fixture
def store(tmp_path: Path, encoder: Colors) -> Datastore:
    def color(name: str) -> Path:
        return picture(tmp_path, name)

    samples = [
        sample("r", "green is said of this red picture", color("red"), {"kind": "pure"}),
        sample("g", "green", color("green"), {"kind": "pure"}),
        sample("y", "red green", color("yellow"), {"kind": "mixed"}),
        sample("b", "blue", color("blue"), {"kind": "pure"}),
        sample("t", "red red blue", None, {"kind": "words"}),
    ]
    return Datastore.build(tmp_path / "store", samples, encoder)


def ids(contexts: Sequence[Context]) -> list[list[str]]:
    return [[neighbor.sample.id for neighbor in context] for context in contexts]


def test_modes(store: Datastore, encoder: Colors, tmp_path: Path) -> None:
    query = Query("green", tmp_path / "red.png")
    expected = {
        "text-image": ["g", "y", "b"],
        "image-image": ["r", "y", "b"],
        "text-text": ["g", "y", "r"],
        "auto": ["r", "g", "y"],  # the red picture, then the text that says green
    }
    assert {mode: ids(Retriever(store, encoder, mode).retrieve([query], 3))[0] for mode in expected} == expected
    assert set(MODES) == {*expected, "fused"}
    assert ids(Retriever(store, encoder).retrieve([Query("blue")], 1)) == [["b"]]


def test_what_was_added_about_a_picture_comes_before_what_it_adds_to(
    store: Datastore, encoder: Colors, tmp_path: Path
) -> None:
    store.add([sample("new", "blue is said of it since", tmp_path / "red.png")])
    assert ids(Retriever(store, encoder).retrieve([Query("what is this?", tmp_path / "red.png")], 2)) == [["new", "r"]]


def flags(folder: Path, encoder: Colors, *more: Sample) -> Datastore:
    """A store of many pictures that differ little, with texts that differ little, and some samples more."""
    shades = [(255, n, 0) for n in range(25)]
    samples = []
    for number, shade in enumerate(shades):
        path = folder / f"shade{number}.png"
        Image.new("RGB", (8, 6), shade).save(path)
        samples.append(sample(f"shade{number}", f"blue and more blue, number {number}", path))
    return Datastore.build(folder / "store", [*samples, *more], encoder)


@pytest.mark.parametrize("joint", [True, False])
def test_words_find_texts_whatever_the_pictures_show(tmp_path: Path, joint: bool) -> None:
    encoder = Colors(joint=joint)
    note = sample("note", "green was said of it in May", picture(tmp_path, "purple"))
    bare = sample("bare", "green green, but no picture")
    retriever = Retriever(flags(tmp_path, encoder, note, bare), encoder)
    assert set(ids(retriever.retrieve([Query("what is green?")], 2))[0]) == {"note", "bare"}


def test_words_find_pictures_where_one_space_holds_both(tmp_path: Path, encoder: Colors) -> None:
    green = sample("g", "nothing is said of it", picture(tmp_path, "green"))
    told = sample("t", "green green", picture(tmp_path, "purple"))
    retriever = Retriever(flags(tmp_path, encoder, green, told), encoder)
    assert ids(retriever.retrieve([Query("green")], 2)) == [["t", "g"]]


def test_a_picture_and_words_each_find_what_is_theirs(tmp_path: Path, encoder: Colors) -> None:
    shown = sample("shown", "blue, as most are", picture(tmp_path, "green"))
    told = sample("told", "green was said")
    retriever = Retriever(flags(tmp_path, encoder, shown, told), encoder)
    query = Query("what is green ?", picture(tmp_path, "green", "asked"))
    assert set(ids(retriever.retrieve([query], 2))[0]) == {"shown", "told"}
    # words that fit all texts alike change nothing of what the picture finds
    plain = Query("what is blue ?", picture(tmp_path, "green", "asked"))
    assert ids(retriever.retrieve([plain], 3)) == ids(
        Retriever(retriever.datastore, encoder, "image-image").retrieve([plain], 3)
    )


def test_scores_of_auto_are_cosines(tmp_path: Path, encoder: Colors) -> None:
    shown = sample("shown", "blue, as most are", picture(tmp_path, "green"))
    told = sample("told", "green and red")
    retriever = Retriever(flags(tmp_path, encoder, shown, told), encoder)
    [context] = retriever.retrieve([Query("green", picture(tmp_path, "green", "asked"))], 2)
    assert [round(neighbor.score, 3) for neighbor in context] == [1.0, 0.708]


def test_what_is_found_both_ways_comes_once(tmp_path: Path, encoder: Colors) -> None:
    both = sample("both", "green", picture(tmp_path, "green"))
    retriever = Retriever(flags(tmp_path, encoder, both), encoder)
    [context] = retriever.retrieve([Query("green", picture(tmp_path, "green", "asked"))], 9)
    assert [neighbor.sample.id for neighbor in context].count("both") == 1
    assert len({neighbor.sample.id for neighbor in context}) == 9


def test_texts_are_moved_to_the_space_of_pictures_for_pictures_alone(tmp_path: Path) -> None:
    class Mapped(Colors):
        """Its texts are blue where pictures are red."""

        def among_images(self, texts: np.ndarray) -> np.ndarray:
            return texts[:, ::-1]

    encoder = Mapped()
    red = sample("red picture", "nothing", picture(tmp_path, "red"))
    store = Datastore.build(tmp_path / "store", [red, sample("blue text", "blue")], encoder)
    assert ids(Retriever(store, encoder, "text-image").retrieve([Query("blue")], 1)) == [["red picture"]]
    assert ids(Retriever(store, encoder, "text-text").retrieve([Query("blue")], 1)) == [["blue text"]]


def test_auto_without_a_shared_space(store: Datastore, tmp_path: Path) -> None:
    encoder = Colors(joint=False)
    assert ids(Retriever(store, encoder).retrieve([Query("red blue"), Query("blue", tmp_path / "red.png")], 1)) == [
        ["t"],
        ["r"],
    ]
    with pytest.raises(OptionError, match=r"'text-image' does not work.*auto, image-image, text-text, fused"):
        Retriever(store, encoder, "text-image")


def test_auto_where_the_datastore_has_no_images(tmp_path: Path, encoder: Colors) -> None:
    store = Datastore.build(tmp_path / "store", [sample("a", "red"), sample("b", "blue")], encoder)
    assert ids(Retriever(store, encoder).retrieve([Query("blue", picture(tmp_path, "red"))], 1)) == [["b"]]
    with pytest.raises(OptionError, match="cannot serve"):
        Retriever(store, encoder).retrieve([Query("", picture(tmp_path, "red"))], 1)


def test_fused_is_reciprocal_rank(store: Datastore, encoder: Colors, tmp_path: Path) -> None:
    [context] = Retriever(store, encoder, "fused").retrieve([Query("green", tmp_path / "red.png")], 5)
    ranks = {"r": (1, 4, 3), "y": (2, 2, 2), "g": (4, 1, 1)}  # image-image, text-image, text-text
    for neighbor in context[:3]:
        assert neighbor.score == pytest.approx(sum(1 / (RANK_OFFSET + rank) for rank in ranks[neighbor.sample.id]))
    assert [neighbor.sample.id for neighbor in context[:3]] == ["g", "y", "r"]
    assert {neighbor.sample.id for neighbor in context} == {"r", "g", "y", "b", "t"}
    assert [n.score for n in context] == sorted((n.score for n in context), reverse=True)


def test_the_first_k_do_not_depend_on_k(tmp_path: Path, encoder: Colors) -> None:
    random = np.random.default_rng(0)
    words = ["red", "green", "blue", "word"]
    samples = [
        sample(f"n{n}", " ".join(random.choice(words, 9)) + f" {n}", picture(tmp_path, random.choice(["red", "pink"])))
        for n in range(60)
    ]
    store = Datastore.build(tmp_path / "store", samples, encoder)
    query = Query("red red green", picture(tmp_path, "purple"))
    for mode in MODES:
        retriever = Retriever(store, encoder, mode)
        [everything] = retriever.retrieve([query], 60)
        assert len(everything) == 60 <= FUSED_DEPTH
        assert all(retriever.retrieve([query], k) == [everything[:k]] for k in (1, 2, 7, 33))


def test_a_sample_never_finds_itself_nor_its_likeness(tmp_path: Path, encoder: Colors) -> None:
    red, pink, yellow = (picture(tmp_path, color) for color in ("red", "pink", "yellow"))
    samples = [
        sample("own", "red", red),
        sample("same picture", "blue and other words", picture(tmp_path, "red", "copy")),
        sample("near", "red but less", pink),
        sample("same words", "red", yellow),
        sample("only words", "red"),
        sample("far words", "blue"),
    ]
    store = Datastore.build(tmp_path / "store", samples, encoder)
    retriever = Retriever(store, encoder, "text-text", duplicate_above=0.98)
    assert ids(retriever.retrieve([Query("red", red, id="own")], 9)) == [["same words", "near", "far words"]]
    # A query with an id that is not in the datastore is held against its own picture.
    assert ids(retriever.retrieve([Query("red", red, id="test 1")], 9)) == [["same words", "near", "far words"]]
    # Without an id it is a question of a user, who may well ask about a picture that is there.
    assert set(ids(retriever.retrieve([Query("red", red)], 9))[0]) == {item.id for item in samples}
    stricter = Retriever(store, encoder, "text-text", duplicate_above=0.9)
    assert ids(stricter.retrieve([Query("red", red, id="own")], 9)) == [["same words", "far words"]]
    lenient = Retriever(store, encoder, "text-text", duplicate_above=None)
    assert set(ids(lenient.retrieve([Query("red", red, id="own")], 9))[0]) == {item.id for item in samples} - {"own"}


def test_a_narrow_encoder_leaves_neighbors(tmp_path: Path) -> None:
    """To it any two pictures and any two texts have a cosine above 0.98."""

    class Narrow(Colors):
        def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
            return narrowed(super().embed_texts(texts))

        def embed_images(self, images: Sequence[Image.Image]) -> np.ndarray:
            return narrowed(super().embed_images(images))

    def narrowed(vectors: np.ndarray) -> np.ndarray:
        moved = vectors + np.float32(20)
        return moved / np.linalg.norm(moved, axis=1, keepdims=True)

    encoder = Narrow()
    store = flags(tmp_path, encoder, sample("green", "green", picture(tmp_path, "green")))
    copy = sample("copy", "red of another kind", tmp_path / "green.png")
    store.add([copy])
    for mode in ("auto", "image-image"):
        [context] = Retriever(store, encoder, mode).retrieve([Query("green", tmp_path / "green.png", id="green")], 5)
        assert len(context) == 5
        assert "copy" not in [neighbor.sample.id for neighbor in context]
        assert Retriever(store, encoder, mode, 0.98).retrieve(
            [Query("green", tmp_path / "green.png", id="green")], 5
        ) == [()]


def test_another_picture_under_the_same_id_is_another_sample(store: Datastore, encoder: Colors, tmp_path: Path) -> None:
    [context] = Retriever(store, encoder, "image-image").retrieve([Query("", picture(tmp_path, "purple"), id="g")], 2)
    assert [neighbor.sample.id for neighbor in context] == ["b", "r"]


def test_the_stored_vector_is_used_for_a_sample(store: Datastore, encoder: Colors, tmp_path: Path) -> None:
    encoder.calls.clear()
    query = Query("green", store["y"].image, id="y")
    assert ids(Retriever(store, encoder, "image-image").retrieve([query], 2)) == [["g", "r"]]
    assert encoder.calls == []


def test_neighbors_that_say_the_same_come_once(tmp_path: Path, encoder: Colors) -> None:
    samples = [
        sample("1", "the capital is Paris", picture(tmp_path, "red", "style1")),
        sample("2", "the capital is Paris", picture(tmp_path, "red", "style2")),
        sample("3", "the capital is Paris", picture(tmp_path, "yellow")),
        sample("4", "the capital is Rome", picture(tmp_path, "red", "style4")),
        sample("5", "the capital is Paris"),
        sample("6", "the capital is Paris"),
    ]
    store = Datastore.build(tmp_path / "store", samples, encoder)
    query = Query("red", picture(tmp_path, "pink"))
    assert ids(Retriever(store, encoder, "image-image").retrieve([query], 9)) == [["4", "2", "3"]]
    assert ids(Retriever(store, encoder, "image-image").retrieve([query], 2)) == [["4", "2"]]
    assert ids(Retriever(store, encoder, "text-text").retrieve([query], 9)) == [["6", "4", "3", "2"]]
    assert set(ids(Retriever(store, encoder, "fused").retrieve([query], 9))[0]) == {"2", "3", "4", "6"}
    everything = Retriever(store, encoder, "image-image", duplicate_above=None).retrieve([query], 9)
    assert ids(everything) == [["4", "2", "1", "3"]]


def test_near_duplicates_are_told_with_the_nearer_sample(tmp_path: Path, encoder: Colors) -> None:
    samples = [sample(name, "red bearing") for name in "abc"] + [sample("d", "blue bearing")]
    store = Datastore.build(tmp_path / "store", samples, encoder)
    told: set[tuple[str, str]] = set()
    retriever = Retriever(
        store, encoder, on_duplicate=lambda left_out, nearer: told.add((left_out.sample.id, nearer.sample.id))
    )
    [[first, second]] = ids(retriever.retrieve([Query("red")], 2))
    assert second == "d"
    assert told == {(name, first) for name in {"a", "b", "c"} - {first}}


def test_it_fetches_on_until_k_are_left(tmp_path: Path, encoder: Colors) -> None:
    """Two hundred copies come before the one that is wanted."""
    samples = [sample(f"copy{n}", "red", picture(tmp_path, "red")) for n in range(200)]
    samples.append(sample("wanted", "green", picture(tmp_path, "green")))
    store = Datastore.build(tmp_path / "store", samples, encoder)
    for mode in ("image-image", "text-text", "fused"):
        retriever = Retriever(store, encoder, mode)
        assert ids(retriever.retrieve([Query("red", picture(tmp_path, "red"))], 2)) == [["copy199", "wanted"]]


def test_where(store: Datastore, encoder: Colors) -> None:
    retriever = Retriever(store, encoder, "text-text")
    assert ids(retriever.retrieve([Query("red")], 4, where={"kind": "mixed"})) == [["y"]]
    assert ids(retriever.retrieve([Query("green")], 4, where=lambda item: item.id in "rb")) == [["r", "b"]]


def test_one_call_per_modality_and_batch(store: Datastore, encoder: Colors, tmp_path: Path) -> None:
    queries = [Query("red"), Query("blue", tmp_path / "red.png"), Query("green", tmp_path / "blue.png", id="new")]
    encoder.calls.clear()
    together = Retriever(store, encoder, "fused").retrieve(queries, 2)
    assert encoder.calls == [("text", 3), ("image", 2)]
    assert together == [Retriever(store, encoder, "fused").retrieve([query], 2)[0] for query in queries]
    assert Retriever(store, encoder).retrieve([], 3) == []


def test_more_than_there_is_gives_all(store: Datastore, encoder: Colors) -> None:
    assert len(Retriever(store, encoder, "text-text").retrieve([Query("red")], 100)[0]) == 5


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one(store: Datastore, encoder: Colors, k: int) -> None:
    with pytest.raises(OptionError, match=f"at least 1, not {k}"):
        Retriever(store, encoder).retrieve([Query("red")], k)


def test_settings_out_of_range(store: Datastore, encoder: Colors) -> None:
    with pytest.raises(OptionError, match=r"'nearest' is unknown.*auto, text-image, image-image, text-text, fused"):
        Retriever(store, encoder, "nearest")
    for value in (0.0, 1.5, -1.0):
        with pytest.raises(OptionError, match="duplicate_above"):
            Retriever(store, encoder, duplicate_above=value)
    with pytest.raises(OptionError, match=r"'red'.*it has no image"):
        Retriever(store, encoder, "image-image").retrieve([Query("red")], 1)


def test_an_empty_datastore(tmp_path: Path, encoder: Colors) -> None:
    store = Datastore.build(tmp_path / "store", [], encoder)
    for mode in MODES:
        with pytest.raises(EmptyStoreError, match="add some"):
            Retriever(store, encoder, mode).retrieve([Query("red")], 1)


def test_a_picture_of_several_queries_is_embedded_once(store: Datastore, encoder: Colors, tmp_path: Path) -> None:
    red, blue = tmp_path / "red.png", tmp_path / "blue.png"
    seen, embed = [], encoder.embed_images
    encoder.embed_images = lambda images: seen.append(len(images)) or embed(images)
    opened = Image.open(blue)
    queries = [Query("a", red), Query("b", blue), Query("c", red), Query("d", opened), Query("e", opened)]
    result = ids(Retriever(store, encoder, "image-image").retrieve(queries, 1))
    assert result == [["r"], ["b"], ["r"], ["b"], ["b"]]
    assert seen == [3]


def test_queries_that_the_mode_cannot_serve_get_nothing_where_that_is_allowed(
    store: Datastore, encoder: Colors, tmp_path: Path
) -> None:
    retriever = Retriever(store, encoder, "image-image")
    queries = [Query("a word"), Query("another", tmp_path / "red.png"), Query("last")]
    with pytest.raises(OptionError, match="it has no image"):
        retriever.retrieve(queries, 2)
    first, second, third = retriever.retrieve_some(queries, 2)
    assert (first, third) == ((), ())
    assert second == retriever.retrieve(queries[1:2], 2)[0]
    assert retriever.retrieve_some([Query("a word")], 2) == [()]


def test_weights_decide_between_picture_and_words(store: Datastore, encoder: Colors, tmp_path: Path) -> None:
    query = Query("a picture of blue", tmp_path / "red.png")
    by_picture = Retriever(store, encoder, weights={"image": 1}).retrieve([query], 1)
    by_words = Retriever(store, encoder, weights={"text": 1}).retrieve([query], 1)
    assert ids(by_picture) == ids(Retriever(store, encoder, "image-image").retrieve([query], 1))
    assert ids(by_words) == ids(Retriever(store, encoder, "text-text").retrieve([query], 1))


def test_weights_change_nothing_without_a_picture(store: Datastore, encoder: Colors) -> None:
    plain = Retriever(store, encoder).retrieve([Query("a picture of blue")], 4)
    assert Retriever(store, encoder, weights={"image": 1}).retrieve([Query("a picture of blue")], 4) == plain


@pytest.mark.parametrize("weights", [{"sound": 1}, {"image": -1}, {"image": 0, "text": 0}])
def test_weights_that_cannot_be_are_refused(store: Datastore, encoder: Colors, weights: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="give image, text or both"):
        Retriever(store, encoder, weights=weights)


def quarters(path: Path, *colors: str) -> Path:
    """A picture of four quarters."""
    image = Image.new("RGB", (2, 2))
    image.putdata([RGB[color] for color in colors])
    image.resize((16, 16), Image.Resampling.NEAREST).save(path)
    return path


@pytest.fixture
def parted(tmp_path: Path) -> Datastore:
    """Pictures with the same mean colour, whose quarters differ; and one picture that is gone."""
    made = {
        "mixed": ("purple", "purple", "purple", "purple"),
        "half": ("red", "red", "blue", "blue"),
        "gone": ("purple", "blue", "purple", "red"),
    }
    samples = [sample(name, name, quarters(tmp_path / f"{name}.png", *colors)) for name, colors in made.items()]
    store = Datastore.build(tmp_path / "store", [*samples, sample("words", "red blue")], Quarters())
    (tmp_path / "gone.png").unlink()
    return store


class InPlace(Quarters):
    """Compares each quarter with the one at its place; colors of whole pictures count nothing."""

    def likeness(self, asked: Vectors, patches: Patches, stored: Vectors, others: Sequence[Patches]) -> Vectors:
        first = unit(patches[1:])
        return np.asarray([(first * unit(its[1:])).sum(axis=1).mean() for its in others], np.float32)


class TestPatches:
    def test_put_pictures_that_look_alike_into_order(self, parted: Datastore, tmp_path: Path) -> None:
        asked = quarters(tmp_path / "asked.png", "blue", "red", "blue", "red")
        query = Query("", asked)
        whole = Retriever(parted, Colors(), "image-image").retrieve([query], 3)
        assert all(neighbor.score == pytest.approx(1, abs=1e-3) for neighbor in whole[0])  # which tells nothing
        [context] = Retriever(parted, Quarters(), "image-image").retrieve([query], 3)
        assert [neighbor.sample.id for neighbor in context] == ["half", "gone", "mixed"]
        likeness = [neighbor.likeness or 0.0 for neighbor in context]
        assert likeness == sorted(likeness, reverse=True)
        assert likeness[0] == pytest.approx((context[0].score + 2) / 3, abs=1e-3)  # its quarters match entirely
        assert context[0].score == pytest.approx(context[2].score, abs=1e-2)  # the cosine of the whole stays

    def test_reach_beyond_the_samples_wanted(self, parted: Datastore, tmp_path: Path) -> None:
        query = Query("", quarters(tmp_path / "asked.png", "blue", "red", "blue", "red"))
        assert ids(Retriever(parted, Quarters(), "image-image").retrieve([query], 1)) == [["half"]]

    def test_leave_what_words_found_where_it_is(self, parted: Datastore, tmp_path: Path) -> None:
        query = Query("red blue", quarters(tmp_path / "asked.png", "blue", "red", "blue", "red"))
        plain = ids(Retriever(parted, Colors()).retrieve([query], 4))[0]
        [context] = Retriever(parted, Quarters()).retrieve([query], 4)
        assert plain.index("words") == [neighbor.sample.id for neighbor in context].index("words")
        assert [neighbor.likeness is None for neighbor in context] == [n.sample.id == "words" for n in context]
        assert ids(Retriever(parted, Quarters()).retrieve([Query("red blue")], 1)) == [["words"]]

    def test_of_a_sample_are_those_that_were_stored(self, parted: Datastore, tmp_path: Path) -> None:
        encoder = Quarters()
        query = Query("half", tmp_path / "half.png", id="half")
        [context] = Retriever(parted, encoder, "image-image", duplicate_above=None).retrieve([query], 2)
        assert [neighbor.sample.id for neighbor in context] == ["gone", "mixed"]
        assert all(neighbor.likeness is not None for neighbor in context)

    def test_of_pictures_that_are_gone_count_as_the_middle(self, parted: Datastore, tmp_path: Path) -> None:
        shutil.rmtree(tmp_path / "store" / "patches")
        store = Datastore.open(tmp_path / "store", Quarters())
        query = Query("", quarters(tmp_path / "asked.png", "blue", "red", "blue", "red"))
        [context] = Retriever(store, Quarters(), "image-image").retrieve([query], 3)
        assert [neighbor.sample.id for neighbor in context] == ["half", "gone", "mixed"]

    def test_that_nobody_has_change_nothing(self, tmp_path: Path) -> None:
        store = Datastore.build(tmp_path / "s", [sample("r", "red", picture(tmp_path, "red"))], Quarters())
        (tmp_path / "red.png").unlink()
        shutil.rmtree(tmp_path / "s" / "patches")
        store = Datastore.open(tmp_path / "s", Quarters())
        [[only]] = Retriever(store, Quarters(), "image-image").retrieve([Query("", picture(tmp_path, "pink"))], 3)
        assert (only.sample.id, only.likeness) == ("r", None)

    def test_of_a_sample_that_is_removed_meanwhile_are_not_missed(
        self, parted: Datastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        patches = parted.patches

        def then_removed(names: Sequence[str], encoder: Quarters) -> dict[str, Patches]:
            result = patches(names, encoder)
            parted.remove(["mixed"])
            return result

        monkeypatch.setattr(parted, "patches", then_removed)
        query = Query("", quarters(tmp_path / "asked.png", "blue", "red", "blue", "red"))
        [context] = Retriever(parted, Quarters(), "image-image").retrieve([query], 1)
        assert context[0].sample.id in ("half", "mixed")

    def test_are_compared_with_the_turned_picture_where_several_look_alike(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A turn of 90 degrees, so that quarters compared in place tell two pictures apart."""
        monkeypatch.setattr(turning, "TURNS", (-90, 90))
        layouts = {
            "upright": ("red", "blue", "blue", "blue"),
            "other": ("green", "green", "blue", "purple"),
            "far": ("green", "green", "green", "green"),
        }
        samples = [sample(name, name, quarters(tmp_path / f"{name}.png", *colors)) for name, colors in layouts.items()]
        encoder = InPlace()
        store = Datastore.build(tmp_path / "store", samples, encoder)
        asked = quarters(tmp_path / "asked.png", "blue", "red", "blue", "blue")
        encoder.calls.clear()
        queries = [Query("", asked), Query("", asked), Query("", tmp_path / "far.png")]
        contexts = Retriever(store, encoder, "image-image").retrieve(queries, 2)
        assert [context[0].sample.id for context in contexts] == ["upright", "upright", "far"]
        assert contexts[0][0].likeness == pytest.approx(1, abs=0.02), "turned it is the same picture"
        assert encoder.calls == [("patches", 2), ("patches", 2)], (
            "two pictures asked about, and one of them turned twice"
        )
        encoder.calls.clear()
        stored = Query("", tmp_path / "other.png", id="other")
        assert ids(Retriever(store, encoder, "image-image").retrieve([stored], 2)) == [["far", "upright"]]
        assert encoder.calls == [], "a stored sample is compared as it is stored"

    def test_of_a_picture_that_goes_away_are_those_of_the_first_look(
        self, parted: Datastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = quarters(tmp_path / "asked.png", "blue", "red", "blue", "red")
        monkeypatch.setattr(turning, "UNDECIDED", 9.0)
        encoder = Quarters()
        likeness = encoder.likeness

        def then_deleted(*arguments: Any) -> Vectors:
            asked.unlink(missing_ok=True)
            return likeness(*arguments)

        monkeypatch.setattr(encoder, "likeness", then_deleted)
        assert ids(Retriever(parted, encoder, "image-image").retrieve([Query("", asked)], 1)) == [["half"]]


class TestPassages:
    @pytest.fixture
    def told(self, tmp_path: Path) -> Datastore:
        samples = [
            sample("mixed", "Red red green. Red red green."),
            sample("parted", "Green blue blue. Red."),
            sample("one", "red blue"),
            sample("other", "green green"),
        ]
        return Datastore.build(tmp_path / "told", samples, Sentences(joint=False))

    def test_put_texts_into_order_by_the_nearest(self, told: Datastore) -> None:
        query = Query("red")
        assert ids(Retriever(told, Colors(joint=False)).retrieve([query], 3)) == [["mixed", "one", "parted"]]
        [context] = Retriever(told, Sentences(joint=False)).retrieve([query], 4)
        assert [neighbor.sample.id for neighbor in context] == ["mixed", "one", "parted", "other"]
        by_name = {neighbor.sample.id: neighbor for neighbor in context}
        assert by_name["parted"].score == pytest.approx(1 / 6**0.5, abs=1e-2)  # the cosine of the whole stays
        assert by_name["parted"].likeness == pytest.approx((by_name["parted"].score + 1) / 2, abs=1e-2)
        assert by_name["one"].likeness == pytest.approx(by_name["one"].score)  # it has one passage

    def test_reach_beyond_the_samples_wanted(self, told: Datastore) -> None:
        encoder = Sentences(joint=False)
        encoder.passage_share = 1.0
        assert ids(Retriever(told, encoder).retrieve([Query("red")], 1)) == [["parted"]]

    def test_leave_what_pictures_found_where_it_is(self, parted: Datastore, tmp_path: Path) -> None:
        query = Query("red blue", quarters(tmp_path / "asked.png", "blue", "red", "blue", "red"))
        plain = ids(Retriever(parted, Colors()).retrieve([query], 4))
        assert ids(Retriever(parted, Sentences()).retrieve([query], 4)) == plain
        [context] = Retriever(parted, Sentences(), "image-image").retrieve([query], 4)
        assert all(neighbor.likeness is None for neighbor in context)

    def test_of_a_sample_that_is_removed_meanwhile_are_not_missed(
        self, told: Datastore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        passages = told.passages

        def after_removal(names: Sequence[str], encoder: Sentences) -> dict[str, Vectors]:
            told.remove(["parted"])
            return passages(names, encoder)

        monkeypatch.setattr(told, "passages", after_removal)
        [context] = Retriever(told, Sentences(joint=False)).retrieve([Query("red")], 3)
        assert {neighbor.sample.id for neighbor in context} == {"mixed", "one", "parted"}


class TestIdentifiers:
    @pytest.fixture
    def numbered(self, tmp_path: Path) -> Datastore:
        samples = [sample(str(number), f"Red pump {number}", None, {"even": number % 2 == 0}) for number in range(60)]
        return Datastore.build(tmp_path / "numbered", samples, Sentences(joint=False))

    def test_decide_among_texts_that_are_alike(self, numbered: Datastore) -> None:
        retriever = Retriever(numbered, Sentences(joint=False))
        for number in (3, 57):  # the latter is not among those whose passages are compared
            [context] = retriever.retrieve([Query(f"What of pump {number}? Red?")], 3)
            assert context[0].sample.id == str(number)
            assert len(context) == 3
            assert context[0].score == pytest.approx(context[1].score)

    def test_are_looked_for_among_what_may_be_found(self, numbered: Datastore) -> None:
        [context] = Retriever(numbered, Sentences(joint=False)).retrieve([Query("red 57")], 3, where={"even": True})
        assert "57" not in [neighbor.sample.id for neighbor in context]

    def test_are_not_those_of_the_question_itself(self, numbered: Datastore) -> None:
        [context] = Retriever(numbered, Sentences(joint=False)).retrieve([Query("Red pump 57", id="57")], 3)
        assert "57" not in [neighbor.sample.id for neighbor in context]

    def test_count_only_where_passages_are_compared(self, numbered: Datastore) -> None:
        plain = ids(Retriever(numbered, Colors(joint=False)).retrieve([Query("red")], 3))
        assert ids(Retriever(numbered, Colors(joint=False)).retrieve([Query("red 57")], 3)) == plain
