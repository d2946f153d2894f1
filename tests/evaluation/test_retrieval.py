"""How evaluation retrieves: as everything else, and over published indexes as published."""

from pathlib import Path

from camml.datastore import Datastore
from camml.evaluation.cache import Memory
from camml.evaluation.contexts import Variant
from camml.evaluation.evidence import Evidence, unusual
from camml.evaluation.fingerprints import Fingerprints
from camml.evaluation.retrieval import retriever_of
from camml.retriever import Retriever
from camml.types import Query
from tests.colors import Colors, picture, sample


class Pictures:
    """A datastore without vectors of texts, as a published index is."""

    def __init__(self, datastore: Datastore) -> None:
        self._datastore = datastore

    def __getattr__(self, name: str) -> object:
        return getattr(self._datastore, name)

    def count(self, modality: str) -> int:
        return self._datastore.count(modality) if modality == "image" else 0


def test_it_is_the_policy_of_everything_else(tmp_path: Path) -> None:
    store = Datastore.build(tmp_path / "store", [sample("r", "red", picture(tmp_path, "red"))], Colors())
    usual, mine = Retriever(store, Colors()), retriever_of(store, Colors())
    assert (mine.mode, mine.duplicate_above) == (usual.mode, usual.duplicate_above)
    assert retriever_of(store, Colors(), "fused").mode == "fused"
    assert retriever_of(store, Colors(), keep_duplicates=True).duplicate_above is None


def test_over_a_published_index_words_search_pictures(tmp_path: Path) -> None:
    store = Pictures(Datastore.build(tmp_path / "store", [sample("r", "red", picture(tmp_path, "red"))], Colors()))
    assert retriever_of(store, Colors()).mode == "text-image"
    assert retriever_of(store, Colors(joint=False)).mode == "auto"


def test_what_another_encoder_found_is_not_taken_from_the_cache(tmp_path: Path) -> None:
    place, found = tmp_path / "store", Memory(None)
    store = Datastore.build(place, [sample("r", "red", picture(tmp_path, "red"))], Colors())
    for revision, searched in (("1", 1), ("1", 0), ("2", 1)):
        encoder = Colors()
        encoder.revision = revision
        evidence = Evidence(str(place), store, retriever_of(store, encoder), 1, 0, found, Fingerprints())
        evidence.find(Variant("retrieved", 1), [Query("red")], ["q"])
        assert evidence.searched == searched


def test_what_was_found_with_other_options_is_not_taken_from_the_cache(tmp_path: Path) -> None:
    place, found = tmp_path / "store", Memory(None)
    store = Datastore.build(place, [sample("r", "red", picture(tmp_path, "red"))], Colors())
    retriever = retriever_of(store, Colors())
    for opened, searched in ((None, 1), ({}, 0), ({"encoder_options": {"dtype": "bfloat16"}}, 1)):
        evidence = Evidence(str(place), store, retriever, 1, 0, found, Fingerprints(), opened)
        evidence.find(Variant("retrieved", 1), [Query("red")], ["q"])
        assert evidence.searched == searched


def test_a_datastore_is_opened_as_it_says_where_the_same_options_are_given(tmp_path: Path) -> None:
    recorded = {"heads": "/then/heads.safetensors"}
    assert unusual(recorded, None, None) == {}
    assert unusual(recorded, {"heads": "/now/heads.safetensors"}, None) == {}
    fewer = unusual(recorded, {"heads": "/now/heads.safetensors", "patches": 0}, None)
    assert fewer == {"encoder_options": {"heads": "heads.safetensors", "patches": 0}}
    assert unusual(recorded, None, "none") == {"images": "none"}
    assert unusual(recorded, None, str(tmp_path / "a"))["images"] != unusual(recorded, None, str(tmp_path))["images"]
