"""What holds for every question and sample of a build, and for a build as a whole."""

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camml import formats, plugins
from camml.data import llava_json, scienceqa
from camml.errors import OptionError
from camml.factpix import drawing, notes
from camml.factpix.topics import emoji, flags
from camml.factpix.wording import words_of
from tests.factpix.world import FILES, Built, class_of, files_of, text_of

TOPICS = {"flags": flags, "emoji": emoji}
Make = Callable[..., dict[str, Any]]


class TestSplits:
    @pytest.mark.long
    def test_have_no_class_in_common(self, built: Built) -> None:
        classes = {name: set(map(class_of, built.questions[name])) for name in FILES}
        assert classes["train"].isdisjoint(classes["validation"] | classes["heldout"] | classes["late"])
        assert classes["validation"].isdisjoint(classes["heldout"])
        assert classes["style"] <= classes["heldout"]
        assert all(classes.values())

    def test_are_the_same_for_samples_and_questions(self, built: Built) -> None:
        split = {key: {s["meta"]["split"] for s in samples} for key, samples in built.samples_of.items()}
        for name in FILES:
            wanted = {"style": "heldout", "late": "heldout"}.get(name, name)
            assert all(split[class_of(record)] == {wanted} for record in built.questions[name])

    def test_keep_kin_together(self, built: Built) -> None:
        kins: dict[int, set[str]] = {}
        for (topic, key), samples in built.samples_of.items():
            if topic == "emoji":
                kins.setdefault(int(key[1:]) // 3, set()).add(samples[0]["meta"]["split"])
        assert all(len(splits) == 1 for splits in kins.values())

    def test_have_their_shares(self, built: Built) -> None:
        split = Counter(samples[0]["meta"]["split"] for samples in built.samples_of.values())
        assert 0.10 <= split["heldout"] / split.total() <= 0.16
        assert 0.06 <= split["validation"] / split.total() <= 0.12

    def test_of_the_store_are_its_parts(self, built: Built) -> None:
        parts = [built.read(f"store_{split}") for split in ("train", "validation", "heldout")]
        assert sorted(s["id"] for part in parts for s in part) == sorted(s["id"] for s in built.read("samples"))
        assert {s["meta"]["split"] for s in parts[0]} == {"train"}


class TestStyles:
    def test_of_a_question_are_not_stored_for_its_class(self, built: Built) -> None:
        for name in FILES:
            for record in built.questions[name]:
                stored = {sample["meta"]["style"] for sample in built.samples_of[class_of(record)]}
                assert stored
                assert record["meta"]["style"] not in stored

    def test_of_tests_are_one_that_training_asks_in_too(self, built: Built) -> None:
        for topic, module in TOPICS.items():
            asked = {
                name: {r["meta"]["style"] for r in built.questions[name] if r["meta"]["topic"] == topic}
                for name in FILES
            }
            assert asked["validation"] == asked["heldout"] == asked["late"] == {module.ASKED_STYLE}
            assert module.ASKED_STYLE in asked["train"]
            assert len(asked["train"]) > 2

    def test_that_are_new_are_in_the_style_file_alone(self, built: Built) -> None:
        for topic, module in TOPICS.items():
            of_topic = [s for s in built.samples if s["meta"]["topic"] == topic]
            assert module.NEW_STYLE not in {sample["meta"]["style"] for sample in of_topic}
            for name in FILES:
                styles = {r["meta"]["style"] for r in built.questions[name] if r["meta"]["topic"] == topic}
                assert (module.NEW_STYLE in styles) is (name == "style")

    def test_that_are_new_repeat_the_heldout_questions(self, built: Built) -> None:
        heldout = {(class_of(r), text_of(r), r["meta"]["answer"]) for r in built.questions["heldout"]}
        assert {(class_of(r), text_of(r), r["meta"]["answer"]) for r in built.questions["style"]} == heldout


class TestSamples:
    def test_tell_every_fact(self, built: Built) -> None:
        for sample in built.samples:
            for field, value in sample["meta"]["facts"].items():
                assert value in sample["text"], (sample["id"], field)
                assert all(more in sample["text"] for more in sample["meta"]["also"].get(field, []))

    def test_have_pictures_and_ids_of_their_own(self, built: Built) -> None:
        ids = [sample["id"] for sample in built.samples]
        assert len(ids) == len(set(ids))
        assert all((built.folder / sample["image"]).is_file() for sample in built.samples)

    def test_are_a_file_that_a_store_is_built_from(self, built: Built) -> None:
        samples = list(formats.read(built.folder / "samples.json"))
        assert len(samples) == len(built.read("samples"))
        assert samples[0].meta["meta"]["split"] == built.read("samples")[0]["meta"]["split"]

    @pytest.mark.long
    def test_are_worded_in_several_ways(self, built: Built) -> None:
        first = {s["text"].split(built.read("samples")[0]["meta"]["facts"]["name"])[0] for s in built.samples}
        assert len(first) > 2


class TestQuestions:
    def test_are_answered_by_the_samples_of_their_class(self, built: Built) -> None:
        for name in FILES:
            for record in built.of_kind(name, "open"):
                field, answer = record["meta"]["field"], record["meta"]["answer"]
                telling = [s for s in built.samples_of[class_of(record)] if field in s["meta"]["facts"]]
                assert telling
                assert all(answer in sample["text"] for sample in telling)

    def test_have_ids_of_their_own(self, built: Built) -> None:
        ids = [record["id"] for name in FILES for record in built.questions[name]]
        assert len(ids) == len(set(ids))

    def test_do_not_name_the_class(self, built: Built) -> None:
        for name in FILES:
            for record in built.of_kind(name, "open"):
                told = built.samples_of[class_of(record)][0]["meta"]["facts"].get("name", "#")
                assert told not in text_of(record)

    def test_with_yes_or_no_are_balanced_in_every_field(self, built: Built) -> None:
        for name in FILES:
            said = Counter(
                (r["meta"]["field"], r["meta"]["topic"], r["meta"]["answer"]) for r in built.of_kind(name, "yesno")
            )
            for field, topic, _ in list(said):
                assert abs(said[field, topic, "yes"] - said[field, topic, "no"]) <= 1

    def test_with_yes_or_no_are_true(self, built: Built) -> None:
        for name in FILES:
            for record in built.of_kind(name, "yesno"):
                field, value = record["meta"]["field"], record["meta"]["value"]
                for sample in built.samples_of[class_of(record)]:
                    if field in (facts := sample["meta"]["facts"]):
                        true = {facts[field], *sample["meta"]["also"].get(field, [])}
                        assert record["meta"]["answer"] == ("yes" if value in true else "no")

    def test_with_options_have_one_right_one_in_balanced_places(self, built: Built) -> None:
        for name in FILES:
            places: Counter[str] = Counter()
            for record in built.of_kind(name, "choice"):
                options, letter = record["meta"]["choices"], record["meta"]["answer"]
                assert len(set(options)) == len(options) >= 3
                assert f"\n{letter}. {options[ord(letter) - ord('A')]}\n" in text_of(record)
                right = {
                    value
                    for sample in built.samples_of[class_of(record)]
                    if record["meta"]["field"] in sample["meta"]["facts"]
                    for value in (sample["meta"]["facts"][record["meta"]["field"]],)
                }
                assert right == {options[ord(letter) - ord("A")]} == {record["conversations"][1]["value"]}
                places[letter] += len(options) == 4
            assert max(places.values()) - min(places.values()) <= len(TOPICS) * 2 + 2

    def test_with_options_have_none_that_is_true_too(self, built: Built) -> None:
        for record in built.of_kind("train", "choice"):
            if record["meta"]["field"] == "language":
                also = built.samples_of[class_of(record)][0]["meta"]["also"]["language"]
                assert not set(also) & set(record["meta"]["choices"])

    def test_of_training_name_no_held_out_class(self, built: Built) -> None:
        names = {
            samples[0]["meta"]["facts"]["name"]
            for samples in built.samples_of.values()
            if samples[0]["meta"]["split"] != "train" and "name" in samples[0]["meta"]["facts"]
        }
        for record in built.questions["train"]:
            assert not names & {record["meta"].get("value"), *record["meta"].get("choices", [])}

    def test_of_training_use_no_new_wording(self, built: Built) -> None:
        new = {thing for topic in ("flags", "emoji", "notes") for thing in words_of(topic).things["new"]}
        assert not any(thing in text_of(record) for record in built.questions["train"] for thing in new)
        said = Counter(record["meta"]["wording"] for record in built.questions["heldout"])
        assert 0.35 < said["new"] / said.total() < 0.65

    def test_can_be_trained_on(self, built: Built) -> None:
        conversations = llava_json.read(built.folder / "train.json", decode_images=False)
        assert len(conversations) == len(built.questions["train"])


class TestConversations:
    def test_hold_each_training_question_once(self, built: Built) -> None:
        turns = [
            (record["image"], turn["value"].removeprefix("<image>\n"))
            for record in built.read("conversations")
            for turn in record["conversations"]
        ]
        asked = [
            (record["image"], turn["value"].removeprefix("<image>\n"))
            for record in built.questions["train"]
            for turn in record["conversations"]
        ]
        assert Counter(turns) == Counter(asked)

    def test_ask_for_no_fact_twice(self, built: Built) -> None:
        field = {(r["image"], text_of(r)): r["meta"]["field"] for r in built.questions["train"]}
        for record in built.read("conversations"):
            asked = [turn["value"].removeprefix("<image>\n") for turn in record["conversations"][::2]]
            fields = [field[record["image"], text] for text in asked]
            assert len(set(fields)) == len(fields)

    def test_can_be_trained_on(self, built: Built) -> None:
        conversations = llava_json.read(built.folder / "conversations.json", decode_images=False)
        assert (
            len(conversations)
            == len({conversation.id for conversation in conversations})
            < len(built.questions["train"])
        )
        assert all(conversation.image for conversation in conversations)


class TestNotes:
    def test_that_come_late_are_in_no_other_file(self, built: Built) -> None:
        known = "\n".join(sample["text"] for sample in built.read("samples"))
        open_questions = built.of_kind("late", "open")
        assert open_questions
        assert not any(record["meta"]["answer"] in known for record in open_questions)

    def test_share_no_syllable_with_those_of_training(self) -> None:
        assert not set(notes.SYLLABLES["train"].split()) & set(notes.SYLLABLES["late"].split())
        assert not set(notes.LETTERS["train"]) & set(notes.LETTERS["late"])

    def test_of_every_held_out_class_come_late(self, built: Built) -> None:
        noted = {class_of(sample) for sample in built.read("late_samples")}
        assert noted == set(map(class_of, built.questions["heldout"]))
        assert all(sample["id"].endswith("#late") for sample in built.read("late_samples"))

    def test_of_some_training_classes_are_in_the_store_and_asked(self, built: Built) -> None:
        noted = {class_of(s) for s in built.read("samples") if s["id"].endswith("#note")}
        assert noted == {
            class_of(r) for r in built.questions["train"] if r["meta"]["field"] in words_of("notes").fields
        }
        assert noted


class TestBuild:
    @pytest.mark.long
    def test_is_the_same_again(self, make: Make, built: Built, tmp_path: Path) -> None:
        make(tmp_path)
        assert files_of(tmp_path) == files_of(built.folder)

    @pytest.mark.long
    def test_of_another_seed_is_another(self, make: Make, built: Built, tmp_path: Path) -> None:
        make(tmp_path, seed=1, topics=["flags"])
        ours = {class_of(r) for r in Built(tmp_path, {}).questions["heldout"]}
        assert ours != {key for key in map(class_of, built.questions["heldout"]) if key[0] == "flags"}

    @pytest.mark.long
    def test_resumes_and_mends(self, make: Make, tmp_path: Path) -> None:
        make(tmp_path, topics=["flags"])
        before = files_of(tmp_path)
        lost, broken, kept = sorted((tmp_path / "images").rglob("*.png"))[:3]
        untouched = kept.stat().st_mtime_ns
        lost.unlink()
        broken.write_bytes(b"cut short")
        make(tmp_path, topics=["flags"])
        assert files_of(tmp_path) == before
        assert kept.stat().st_mtime_ns == untouched

    @pytest.mark.long
    def test_of_another_seed_leaves_no_picture_of_the_old_one(self, make: Make, tmp_path: Path) -> None:
        make(tmp_path, topics=["emoji"])
        manifest = make(tmp_path, topics=["emoji"], seed=5)
        results = {
            path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png") if "scienceqa" not in str(path)
        }
        assert results == {path for path in manifest["files"] if path.endswith(".png")}

    def test_has_a_manifest_that_is_true(self, built: Built) -> None:
        assert built.read("manifest") == built.manifest
        for path, digest in built.manifest["files"].items():
            assert hashlib.sha256((built.folder / path).read_bytes()).hexdigest() == digest
        assert built.manifest["counts"]["samples"] == len(built.read("samples"))
        assert built.manifest["counts"]["questions"]["train"]["all"] == len(built.questions["train"])

    def test_credits_every_source(self, built: Built) -> None:
        text = (built.folder / "ATTRIBUTION.md").read_text(encoding="utf-8")
        for module in TOPICS.values():
            assert all(source.title in text and source.license in text for source in module.SOURCES)

    @pytest.mark.long
    def test_is_shaped_as_scienceqa_too(self, built: Built, tmp_path: Path) -> None:
        for split, name in (("train", "train"), ("val", "validation"), ("test", "heldout")):
            path, count = scienceqa.convert(built.folder / "scienceqa", split, "CQM-A", out=tmp_path / f"{split}.json")
            assert count == len(built.of_kind(name, "choice"))
            read = llava_json.read(path, built.folder / "scienceqa" / "images" / split, decode_images=True)
            assert [item.turns[0].answer for item in read] == [
                r["meta"]["answer"] for r in built.of_kind(name, "choice")
            ]

    @pytest.mark.long
    def test_small_is_smaller(self, make: Make, built: Built, tmp_path: Path) -> None:
        manifest = make(tmp_path, size="small", topics=["flags"])
        classes = {key: n for key, n in manifest["counts"]["classes"].items() if key.startswith("flags")}
        assert sum(classes.values()) == 40

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"size": "huge"}, "no size 'huge'; there are: small, full"),
            ({"topics": ["cars"]}, "no topic 'cars'; there are: "),
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
        with pytest.raises(OptionError, match="is a file"):
            make(tmp_path / "letter.txt")


def test_every_topic_has_words() -> None:
    for topic in plugins.names("factpix.topics"):
        assert words_of(topic).fields


class TestDrawing:
    def test_removes_nothing_outside_the_folder_of_its_topic(self, tmp_path: Path) -> None:
        other, sums = tmp_path / "other.txt", tmp_path / "out" / "images" / "flags" / drawing.CHECKSUMS
        sums.parent.mkdir(parents=True)
        old = sums.with_name("old.png")
        for file in (other, old):
            file.write_text("x")
        sums.write_text(f"# r\n00  {other}\n00  ../other.txt\n00  images/flags/old.png\n")
        assert drawing.draw_all(tmp_path / "out", "flags", {}, "r", progress=False) == {}
        assert (other.exists(), old.exists()) == (True, False)

    def test_begins_anew_where_the_list_is_empty(self, tmp_path: Path) -> None:
        sums = tmp_path / "images" / "flags" / drawing.CHECKSUMS
        sums.parent.mkdir(parents=True)
        sums.touch()
        assert drawing.draw_all(tmp_path, "flags", {}, "r", progress=False) == {}

    def test_that_was_stopped_at_once_goes_on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(drawing, "ProcessPoolExecutor", stop)
        wanted: dict[str, Any] = {"images/flags/flat/peru.png": None}
        with pytest.raises(KeyboardInterrupt):
            drawing.draw_all(tmp_path, "flags", wanted, "r", progress=False)
        drawing.check_folder(tmp_path)
