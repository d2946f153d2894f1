"""What holds for every question and sample of a build, and for a build as a whole."""

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camml import formats
from camml.errors import OptionError
from camml.factpix import notes
from camml.factpix.questions import fold
from camml.factpix.wording import SEEN, words_of
from camml.ownpix.kinds import kinds, parts
from camml.ownpix.pictures import CHANGES
from camml.ownpix.texts import WORDS
from camml.refusals import REFUSAL
from tests.factpix.world import files_of, text_of
from tests.ownpix.world import FILES, Built

Make = Callable[..., dict[str, Any]]


class TestSamples:
    @pytest.mark.long
    def test_tell_their_facts_and_no_others(self, built: Built) -> None:
        for sample in built.samples.values():
            kind = kinds()[sample["meta"]["topic"]]
            assert all(value in sample["text"] for value in sample["meta"]["facts"].values())
            untold = set(kind.labels) - set(sample["meta"]["facts"])
            assert untold
            assert not any(f"{kind.labels[field]}:" in sample["text"] for field in untold)

    def test_have_as_many_words_as_they_should(self, built: Built) -> None:
        for sample in built.samples.values():
            low, high = WORDS[sample["meta"]["length"]]
            assert low <= len(sample["text"].split()) <= high

    def test_are_short_and_long_in_equal_parts(self, built: Built) -> None:
        lengths = Counter(sample["meta"]["length"] for sample in built.samples.values())
        assert lengths["short"] == lengths["long"]

    def test_are_laid_out_in_several_ways(self, built: Built) -> None:
        assert len({sample["meta"]["layout"] for sample in built.samples.values()}) >= 5

    def test_have_a_name_of_their_own(self, built: Built) -> None:
        names = [sample["meta"]["facts"]["name"] for sample in built.samples.values()]
        assert len(set(names)) == len(names)

    def test_are_a_file_that_a_store_is_built_from(self, built: Built) -> None:
        samples = list(formats.read(built.folder / "samples.json"))
        assert [sample.text for sample in samples] == [row["text"] for row in built.read("samples")]
        assert all(sample.image and sample.image.is_file() for sample in samples)


class TestQuestions:
    def test_are_answered_by_the_text_of_their_thing(self, built: Built) -> None:
        for record in built.all_questions:
            told = built.sample_of(record)["meta"]["facts"].get(record["meta"]["field"], REFUSAL)
            assert record["meta"]["answer"] == record["conversations"][1]["value"] == told
            assert (record["meta"]["kind"] == "unanswerable") is (told == REFUSAL)

    def test_are_in_the_file_of_their_sort(self, built: Built) -> None:
        for length in ("short", "long"):
            assert {(r["meta"]["kind"], r["meta"]["length"]) for r in built.questions[length]} == {("open", length)}
        assert {r["meta"]["kind"] for r in built.questions["unanswerable"]} == {"unanswerable"}
        assert {r["meta"]["length"] for r in built.questions["unanswerable"]} == {"short", "long"}

    def test_of_validation_are_about_other_things(self, built: Built) -> None:
        things = {name: {r["meta"]["class"] for r in built.questions[name]} for name in FILES}
        assert things["validation"]
        assert things["validation"].isdisjoint(things["short"] | things["long"] | things["unanswerable"])
        for record in built.questions["validation"]:
            assert built.sample_of(record)["meta"]["split"] == "validation"

    def test_without_an_answer_are_one_for_each_thing(self, built: Built) -> None:
        unanswerable = [r["meta"]["class"] for r in built.all_questions if r["meta"]["kind"] == "unanswerable"]
        assert sorted(unanswerable) == sorted(built.samples)

    def test_show_the_thing_in_another_picture(self, built: Built) -> None:
        for record in built.all_questions:
            stored = built.sample_of(record)["image"]
            assert record["meta"]["style"] in CHANGES
            assert record["image"] != stored
            assert (built.folder / record["image"]).read_bytes() != (built.folder / stored).read_bytes()

    def test_do_not_name_the_thing_nor_the_answer(self, built: Built) -> None:
        for record in built.all_questions:
            assert built.sample_of(record)["meta"]["facts"]["name"] not in text_of(record)
            assert fold(record["meta"]["answer"]) not in fold(text_of(record))

    def test_have_ids_of_their_own(self, built: Built) -> None:
        ids = [record["id"] for record in built.all_questions]
        assert len(set(ids)) == len(ids)


class TestWords:
    def test_of_every_field_are_several(self) -> None:
        for kind in kinds().values():
            for field in kind.words.fields:
                assert len(kind.words.wordings(field, "ask", SEEN)) >= 20
                assert len(kind.words.fields[field]["tell"]) >= 3

    def test_of_two_fields_of_a_kind_are_never_the_same(self) -> None:
        for kind in kinds().values():
            asked = Counter(pattern for field in kind.words.fields.values() for pattern in field["ask"])
            assert max(asked.values()) == 1

    def test_are_not_those_that_factpix_trains_on(self) -> None:
        ours = {
            wording
            for kind in kinds().values()
            for f in kind.words.fields
            for wording in kind.words.wordings(f, "ask", SEEN)
        }
        for topic in ("flags", "emoji", "maps", "stamps", "notes"):
            words = words_of(topic)
            for field in words.fields:
                if words.asks(field):
                    assert ours.isdisjoint(words.wordings(field, "ask", SEEN))
        assert not set(parts().syllables) & set(notes.SYLLABLES[notes.TRAIN].split())
        assert not set(parts().letters) & set(notes.LETTERS[notes.TRAIN])


class TestBuild:
    @pytest.mark.long
    def test_is_the_same_again_and_resumes(self, make: Make, built: Built, tmp_path: Path) -> None:
        make(tmp_path)
        before = files_of(built.folder)
        assert files_of(tmp_path) == before
        lost, broken = sorted((tmp_path / "images").rglob("*.png"))[:2]
        lost.unlink()
        broken.write_bytes(b"cut short")
        make(tmp_path)
        assert files_of(tmp_path) == before

    @pytest.mark.long
    def test_of_another_seed_has_other_facts(self, make: Make, built: Built, tmp_path: Path) -> None:
        make(tmp_path, seed=1, size="small")
        ours = {sample["meta"]["facts"]["name"] for sample in built.samples.values()}
        other = {sample["meta"]["facts"]["name"] for sample in Built(tmp_path, {}).samples.values()}
        assert len(ours & other) < len(ours) / 4

    def test_has_a_manifest_that_is_true(self, built: Built) -> None:
        assert built.read("manifest") == built.manifest
        for path, digest in built.manifest["files"].items():
            assert hashlib.sha256((built.folder / path).read_bytes()).hexdigest() == digest
        assert built.manifest["counts"]["samples"] == len(built.samples) == 48

    def test_credits_its_sources(self, built: Built) -> None:
        text = (built.folder / "ATTRIBUTION.md").read_text(encoding="utf-8")
        assert "Public domain" in text
        assert "GPL-2.0-or-later" in text
        assert "Every name, number, date, code and place is invented." in text

    @pytest.mark.long
    def test_of_one_topic_has_that_alone(self, make: Make, tmp_path: Path) -> None:
        manifest = make(tmp_path, topics=["portraits"])
        assert set(manifest["counts"]["images"]) == {"member"}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"size": "huge"}, "no size 'huge'; there are: small, full"),
            ({"topics": ["cars"]}, "no topic 'cars'; there are: clipart, portraits"),
        ],
    )
    def test_of_what_there_is_not_says_so(
        self, make: Make, tmp_path: Path, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(OptionError, match=message):
            make(tmp_path / "new", **options)
        assert not (tmp_path / "new").exists()

    def test_into_a_folder_of_something_else_is_refused(self, make: Make, tmp_path: Path) -> None:
        (tmp_path / "letter.txt").write_text("dear")
        with pytest.raises(OptionError, match="holds something else"):
            make(tmp_path)
