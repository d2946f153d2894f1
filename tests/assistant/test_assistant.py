"""One door: a model, the datastore that fits it, and answers with their evidence."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camml import assistant
from camml.answering import Decoding
from camml.datastore import Datastore
from camml.encoders import load as load_encoder
from camml.errors import EncoderMismatchError, ImageError, ModelFolderError, OptionError, SampleError, UnknownNameError
from camml.images.data_urls import data_url
from camml.model.retrieval_settings import RetrievalSettings, settings_of
from camml.types import Query, Sample
from tests import tiny

SHORT = Decoding(max_new_tokens=5)


@pytest.fixture
def folder(camml_folder: Path, tmp_path: Path) -> Path:
    """A model that wants small vectors."""
    model = tmp_path / "model"
    shutil.copytree(camml_folder, model)
    wanted = {"encoder": "hashed", "encoder_options": {"joint": True}, "shots": 2}
    (model / "retrieval.json").write_text(json.dumps(wanted))
    return model


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    return tiny.samples(tmp_path)


@pytest.mark.long
def test_index_ask_and_see_the_evidence(folder, samples, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = assistant.load("model")
    store = model.index(samples, "store")
    answer = store.ask("a red square", image=samples[0].image, decoding=SHORT)
    assert answer.text
    assert len(answer.evidence) == 2 == model.shots
    assert answer.evidence[0].sample.id == "red"
    assert answer.new_tokens <= 5
    assert len(store) == len(samples)
    again = assistant.load(folder).open(tmp_path / "store")
    assert again.ask("a red square", image=str(samples[0].image), decoding=SHORT) == answer


def test_bad_files_of_a_folder_are_left_out_where_that_is_said(folder, tmp_path, caplog) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (8, 8), "red").save(photos / "red.png")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut short")
    (photos / "plan.docx").touch()
    model = assistant.load(folder)
    with pytest.raises(OptionError, match="it can be: stop, skip"):
        model.index(photos, tmp_path / "store", on_bad="leave")
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        model.index(photos, tmp_path / "store")
    store = model.index(photos, tmp_path / "store", on_bad="skip")
    assert len(store) == 1
    assert "skipped: sample 'broken.jpg'" in caplog.text
    assert "passed over 1 file: 1 .docx (plan.docx)" in caplog.text


def test_paths_of_pictures_start_where_that_is_said(folder, tmp_path) -> None:
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "pictures" / "red.png")
    (tmp_path / "samples.csv").write_text("id,text,image\nred,a red square,red.png\n")
    images = tmp_path / "pictures"
    store = assistant.load(folder).index(tmp_path / "samples.csv", tmp_path / "store", images=images)
    assert store.search("a red square", k=1)[0].sample.image == images / "red.png"


def test_what_is_added_is_found_by_the_next_question(folder, samples, tmp_path) -> None:
    store = assistant.load(folder).index(samples[:1], tmp_path / "store")
    store.add([Sample("new", "the pump needs seal 4711")])
    assert store.search("which seal does the pump need, 4711?", k=1)[0].sample.id == "new"


@pytest.mark.long
def test_what_is_added_takes_the_options_of_index(folder, samples, tmp_path, caplog) -> None:
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "pictures" / "new.png")
    (tmp_path / "more.csv").write_text("id,text,image\nnew,a new square,new.png\nbad,,\n")
    store = assistant.load(folder).index(samples[:1], tmp_path / "store")
    with pytest.raises(OptionError, match="it can be: stop, skip"):
        store.add([Sample("a", "text")], on_bad="leave")
    with pytest.raises(SampleError, match="line 3"):
        store.add(tmp_path / "more.csv", images=tmp_path / "pictures")
    store.add(tmp_path / "more.csv", images=tmp_path / "pictures", on_bad="skip")
    store.add([Sample("", "nameless"), Sample("named", "a text")], on_bad="skip")
    assert store.datastore["new"].image == tmp_path / "pictures" / "new.png"
    assert [sample.id for sample in store.datastore] == [samples[0].id, "new", "named"]
    assert caplog.text.count("skipped:") == 2


@pytest.mark.parametrize(
    ("question", "said"),
    [("\ud800 pump", r"unpaired surrogate \('\\ud800'\)"), (5, "an int, not a str"), (None, "a NoneType, not a str")],
)
def test_a_question_that_is_no_text_is_refused(folder, samples, tmp_path, question: Any, said: str) -> None:
    model = assistant.load(folder)
    store = model.index(samples[:1], tmp_path / "store")
    for ask in (store.ask, store.search, model.ask):
        with pytest.raises(OptionError, match=f"the question .*{said}"):
            ask(question)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"where": "hall=B"}, r'where is a str; give values of the meta as {"hall": "B"}, or a function'),
        ({"where": 5}, "where is an int"),
        ({"decoding": {"max_new_tokens": 3}}, r"decoding is a dict; give camml\.answering\.Decoding\(max_new_tokens"),
    ],
)
def test_options_of_another_type_are_named_with_what_they_should_be(
    folder, samples, tmp_path, options: dict[str, Any], said: str
) -> None:
    model = assistant.load(folder)
    store = model.index(samples, tmp_path / "store")
    with pytest.raises(OptionError, match=said):
        store.ask("what", **options)
    if "where" in options:
        with pytest.raises(OptionError, match=said):
            store.search("what", **options)
    else:
        with pytest.raises(OptionError, match=said):
            model.ask("what", **options)


def test_a_picture_may_be_an_open_file_and_no_array(folder, samples, tmp_path) -> None:
    store = assistant.load(folder).index(samples, tmp_path / "store")
    data = Path(samples[0].image).read_bytes()
    for source in (io.BytesIO(data), data, data_url(samples[0].image)):
        assert store.search(image=source, k=1)[0].sample.id == "red"
    with pytest.raises(ImageError, match=r"is of type ndarray, not a picture; give a path"):
        store.search(image=np.zeros((4, 4, 3), np.uint8))  # type: ignore[arg-type]


def test_samples_given_by_hand_have_the_right_types(folder, samples) -> None:
    model = assistant.load(folder)
    [neighbor] = model.ask("what", samples=[Sample("a", "red", str(samples[0].image))], decoding=SHORT).evidence
    assert neighbor.sample.image == samples[0].image
    with pytest.raises(SampleError, match="sample 1 of the input is a str, not a Sample"):
        model.ask("what", samples=["red"])


def test_samples_can_be_given_by_hand_in_their_order(folder, samples) -> None:
    model = assistant.load(folder)
    single = model.ask("what", samples=samples[:2], decoding=SHORT)
    assert [neighbor.sample.id for neighbor in single.evidence] == ["red", "green"]
    assert model.ask("what", Image.new("RGB", (9, 9)), decoding=SHORT).evidence == ()


@pytest.mark.long
def test_many_questions_are_answered_as_each_alone(folder, samples, tmp_path) -> None:
    store = assistant.load(folder).index(samples, tmp_path / "store")
    queries = [Query("what is red"), Query("France", samples[1].image), Query("blue")]
    together = store.ask_all(queries, decoding=SHORT, shots=3)
    alone = [store.ask(query.text, query.image, decoding=SHORT, shots=3) for query in queries]
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert [answer.evidence for answer in together] == [answer.evidence for answer in alone]


def test_a_datastore_of_another_encoder_is_refused_with_the_remedy(folder, samples, tmp_path) -> None:
    Datastore.build(tmp_path / "plain", samples, load_encoder("hashed"))
    with pytest.raises(EncoderMismatchError, match=r"joint=True.*camml store build SOURCE --out DIR --model"):
        assistant.load(folder).open(tmp_path / "plain")


@pytest.mark.long
def test_long_texts_are_read_by_the_passages_that_are_asked_for(folder, tmp_path) -> None:
    text = "The crane is old. " * 30 + "Its driver is Agathe. " + "The mill is near. " * 30
    store = assistant.load(folder).index([Sample("a", text)], tmp_path / "store")
    answer = store.ask("Who is its driver, Agathe?", passages="40", decoding=SHORT)
    assert "Agathe" in answer.evidence[0].text
    assert len(answer.evidence[0].text) < len(text) / 4
    assert store.ask("Who is its driver?", passages="off", decoding=SHORT).evidence[0].text == text
    with pytest.raises(OptionError, match="auto, off"):
        store.ask("Who?", passages="some")


def test_no_shots_and_no_model_are_errors(folder, samples, tmp_path) -> None:
    store = assistant.load(folder).index(samples, tmp_path / "store")
    with pytest.raises(OptionError, match="shots is 0"):
        store.ask("what", shots=0)
    with pytest.raises(UnknownNameError, match="nowhere"):
        assistant.load("nowhere")


class TestSettings:
    def test_a_folder_that_says_nothing_wants_the_usual(self, camml_folder: Path) -> None:
        assert settings_of(camml_folder) == RetrievalSettings()

    def test_files_are_sought_in_the_folder_wherever_it_is_reached_from(self, tmp_path, monkeypatch) -> None:
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "maps.bin").touch()
        wanted = {"encoder": "mini", "encoder_options": {"heads": "maps.bin", "side": 224}}
        (tmp_path / "m" / "packed.json").write_text(json.dumps({"retrieval": wanted}))
        monkeypatch.chdir(tmp_path)
        options = settings_of(Path("m")).encoder_options
        assert options == {"heads": str(tmp_path.resolve() / "m" / "maps.bin"), "side": 224}

    @pytest.mark.parametrize("wrong", ["{", "[]", '{"encoder": "mini", "colour": 1}'])
    def test_damage_is_named(self, tmp_path, wrong) -> None:
        (tmp_path / "retrieval.json").write_text(wrong)
        with pytest.raises(ModelFolderError, match=r"retrieval\.json cannot be used"):
            settings_of(tmp_path)

    def test_the_shipped_model_names_its_maps(self) -> None:
        settings = settings_of(Path(__file__).parents[2] / "models" / "camml-mini")
        assert Path(str(settings.encoder_options["heads"])).is_file()
        assert (settings.encoder, settings.shots, settings.passages) == ("mini", 3, "72-144")
