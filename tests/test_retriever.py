"""One policy: modes, what never comes back, what comes once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camml.datastore import Datastore
from camml.errors import EmptyStoreError, OptionError
from camml.retriever import FUSED_DEPTH, MODES, RANK_OFFSET, Retriever, fuse
from camml.types import Context, Neighbor, Query, Sample
from tests.colors import Colors, picture, sample


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
        "auto": ["r", "y", "g"],  # the words are of "g", and the picture is nothing like that of "b"
    }
    assert {mode: ids(Retriever(store, encoder, mode).retrieve([query], 3))[0] for mode in expected} == expected
    assert set(MODES) == {*expected, "fused"}
    assert ids(Retriever(store, encoder).retrieve([Query("blue")], 1)) == [["b"]]


def test_what_was_added_about_a_picture_comes_before_what_it_adds_to(
    store: Datastore, encoder: Colors, tmp_path: Path
) -> None:
    store.add([sample("new", "blue is said of it since", tmp_path / "red.png")])
    assert ids(Retriever(store, encoder).retrieve([Query("what is this?", tmp_path / "red.png")], 2)) == [["new", "r"]]


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


def test_fuse_keeps_the_order_of_equals() -> None:
    a, b = (Neighbor(Sample(name, name), 0.5) for name in "ab")
    assert [neighbor.sample.id for neighbor in fuse([(a, b), (b, a)])] == ["a", "b"]
    assert fuse([]) == ()


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
    assert set(ids(retriever.retrieve([Query("red", red)], 9))[0]) == {one.id for one in samples}
    stricter = Retriever(store, encoder, "text-text", duplicate_above=0.9)
    assert ids(stricter.retrieve([Query("red", red, id="own")], 9)) == [["same words", "far words"]]
    lenient = Retriever(store, encoder, "text-text", duplicate_above=None)
    assert set(ids(lenient.retrieve([Query("red", red, id="own")], 9))[0]) == {one.id for one in samples} - {"own"}


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
    assert ids(retriever.retrieve([Query("green")], 4, where=lambda one: one.id in "rb")) == [["r", "b"]]


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
    found = ids(Retriever(store, encoder, "image-image").retrieve(queries, 1))
    assert found == [["r"], ["b"], ["r"], ["b"], ["b"]]
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


class TestAuto:
    """Words find texts, pictures find pictures, and a clear hit in one is not buried by the other."""

    @pytest.fixture
    def notes(self, tmp_path: Path, encoder: Colors) -> Datastore:
        """Thirty pictures of three colors that all say the same, and two notes, one of them without a picture."""
        from camml import encoders

        names = ("red", "green", "blue")
        same = [
            sample(f"{name}{n}", f"a square, number {n}", picture(tmp_path, name)) for n in range(10) for name in names
        ]
        pump = sample("pump", "pump nine was scrapped in may", picture(tmp_path, "yellow"))
        seal = sample("seal", "the crane needs a new seal")
        return Datastore.build(tmp_path / "notes", [*same, pump, seal], encoders.load("hashed", joint=True))

    def find(self, store: Datastore, query: Query, **options: object) -> list[str]:
        assert store.encoder is not None
        [context] = Retriever(store, store.encoder).retrieve([query], 3, **options)
        return [neighbor.sample.id for neighbor in context]

    def test_a_question_in_words_finds_a_note_with_a_picture(self, notes: Datastore) -> None:
        assert self.find(notes, Query("what happened to pump nine"))[0] == "pump"

    def test_a_question_in_words_finds_a_note_without_a_picture(self, notes: Datastore) -> None:
        assert self.find(notes, Query("which seal does the crane need"))[0] == "seal"

    def test_a_question_with_a_picture_finds_what_looks_like_it(self, notes: Datastore, tmp_path: Path) -> None:
        found = self.find(notes, Query("what number is the square", picture(tmp_path, "blue")))
        assert all(name.startswith("blue") for name in found)

    def test_a_picture_with_words_finds_what_the_words_are_plainly_about(
        self, notes: Datastore, tmp_path: Path
    ) -> None:
        asked = Query("the crane needs a new seal", picture(tmp_path, "blue"))
        assert "seal" in self.find(notes, asked)

    def test_words_find_pictures_where_no_text_has_them(self, notes: Datastore) -> None:
        assert self.find(notes, Query("yellow"))[0] == "pump"

    def test_a_filter_holds_for_all_comparisons(self, notes: Datastore) -> None:
        assert "pump" not in self.find(notes, Query("pump nine"), where=lambda one: one.id != "pump")

    def test_the_score_is_the_cosine_of_the_comparison_that_found_it(self, notes: Datastore) -> None:
        assert notes.encoder is not None
        [auto] = Retriever(notes, notes.encoder).retrieve([Query("pump nine")], 1)
        [words] = Retriever(notes, notes.encoder, "text-text").retrieve([Query("pump nine")], 1)
        assert auto == words
