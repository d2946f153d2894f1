"""The demo from knowledge base to page, with an encoder of colours and a reader of sentences."""

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import build
import demo
import page
import pytest
import questions
import sheet
from countries import Country, describe
from PIL import Image

from camml.answering import Decoding
from camml.assistant import Assistant
from camml.datastore import Datastore
from camml.encoders import hashed
from camml.errors import FetchError
from camml.types import Context, Neighbor, Prediction, Query, Sample


class Reader:
    """Says the sentence of the first text that has the question's fact in it, and nothing without a text."""

    def __init__(self) -> None:
        self.shown: list[int] = []

    def answer(
        self, queries: Sequence[Query], contexts: Sequence[Context], decoding: Decoding | None = None
    ) -> list[Prediction]:
        self.shown += [len(context) for context in contexts]
        return [Prediction(self._say(query.text, context)) for query, context in zip(queries, contexts, strict=True)]

    def budget(self, tokens: int | None = None) -> None:
        """It has room for everything."""

    def _say(self, question: str, context: Context) -> str:
        fact = next((kind for kind in ("region", "capital", "language", "currency") if kind in question), "flag of")
        sentences = context[0].sample.text.split(". ") if context else []
        return next((sentence for sentence in sentences if fact in sentence), "I do not know.") + "\nAnd more talk."


class Counting(hashed.HashedEncoder):
    """Counts the pictures it embeds."""

    images = 0

    def embed_images(self, images: Sequence[Image.Image]) -> "hashed.Vectors":
        self.images += len(images)
        return super().embed_images(images)


def model_of(encoder: Counting, reader: Reader, tmp_path: Path) -> Assistant:
    """An assistant of these parts."""
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "retrieval.json").write_text('{"encoder": "hashed"}')
    model = Assistant(folder, "perceiver")
    vars(model).update(encoder=encoder, answerer=reader)
    return model


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Counting, Reader]:
    encoder, reader = Counting(256, False), Reader()
    monkeypatch.setattr(demo, "load_model", lambda: model_of(encoder, reader, tmp_path))
    monkeypatch.setattr(questions, "DEVELOPMENT", 0)
    return encoder, reader


def run(tmp_path: Path, *options: str) -> int:
    return demo.main(["--data", str(tmp_path / "flags"), "--out", str(tmp_path / "out"), *options])


def test_it_answers_from_another_drawing_style(
    registry: list[str], models: tuple[Counting, Reader], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("resvg_py")
    assert run(tmp_path, "--questions", "3") == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "3 of 3 right"
    assert "without the evidence the same model has 0 of 3 right" in printed
    assert printed.count("->  right") == 3
    assert models[1].shown == [0] * 3 + [demo.SHOTS] * 3
    assert (tmp_path / "out" / "index.html").is_file()
    assert Image.open(tmp_path / "out" / "contact_sheet.png").width > 600


def test_a_second_run_embeds_the_questions_alone(
    registry: list[str], models: tuple[Counting, Reader], tmp_path: Path
) -> None:
    pytest.importorskip("resvg_py")
    run(tmp_path, "--questions", "2")
    assert models[0].images == 7 + 2
    run(tmp_path, "--questions", "2")
    assert models[0].images == 7 + 2 + 2


def test_another_knowledge_base_is_indexed_anew(models: tuple[Counting, Reader], tmp_path: Path) -> None:
    (tmp_path / "samples.json").write_text('[{"id": "a", "text": "one"}, {"id": "b", "text": "two"}]')
    assert len(demo.open_datastore(tmp_path, demo.load_model())) == 2
    (tmp_path / "samples.json").write_text('[{"id": "a", "text": "another"}]')
    assert [sample.text for sample in demo.open_datastore(tmp_path, demo.load_model()).datastore] == ["another"]
    (tmp_path / "store" / Datastore.open(tmp_path / "store").manifest.files[0].name).write_bytes(b"broken")
    assert len(demo.open_datastore(tmp_path, demo.load_model())) == 1


def test_a_wrong_answer_is_printed_as_wrong(tmp_path: Path) -> None:
    assert "->  WRONG" in demo.as_text(1, answered(tmp_path, right=False))
    assert "->  right" in demo.as_text(1, answered(tmp_path, right=True))


def test_a_failure_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise FetchError("the package registry cannot be reached")

    monkeypatch.setattr(demo, "load_model", fail)
    assert run(tmp_path) == 2
    assert capsys.readouterr().err == "demo: error: the package registry cannot be reached\n"
    assert run(tmp_path, "--questions", "0") == 2
    assert "--questions is 0" in capsys.readouterr().err


def answered(folder: Path, *, right: bool, answer: str = "The capital is Town.") -> demo.Answered:
    picture = folder / "flag" / "xx.png"
    picture.parent.mkdir(exist_ok=True)
    Image.new("RGB", (224, 168), "red").save(picture)
    country = Country("xx", 'La<nd & "Co"', "East Asia", ("Town",), ("Landish",), ("coin",))
    sample = Sample("cif-xx", "This is <b>bold</b>.", picture, {"country": country.name})
    context = (Neighbor(sample, 0.9), Neighbor(Sample("cif-yy", "Else.", picture), 0.8))
    return demo.Answered(
        questions.Question("capital", country), picture, context, answer, right, 0.2, 0.7, "None.", False
    )


def test_the_page_tells_how_many_context_tokens_the_model_has(tmp_path: Path) -> None:
    sizes = json.loads((demo.MODEL / "packed.json").read_text())["sizes"]
    text = page.html([answered(tmp_path, right=True)])
    assert f"as {2 * sizes['perceiver_queries']} context tokens" in text


class Outline(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_whole_and_safe(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script> & co"
    text = page.html([answered(tmp_path, right=False, answer=hostile), answered(tmp_path, right=True)])
    outline = Outline(text)
    names = [tag for tag, _ in outline.tags]
    images = [attributes for tag, attributes in outline.tags if tag == "img"]
    assert "script" not in names
    assert "b" not in names
    assert len(images) == 6
    assert all((image["src"] or "").startswith("data:image/png;base64,") and image["alt"] for image in images)
    assert all(image["width"] and image["height"] for image in images)
    assert ("html", {"lang": "en"}) in outline.tags
    assert names.count("article") == 2
    assert "1 of 2" in text


@pytest.mark.long
def test_the_sheet_grows_with_the_questions(tmp_path: Path) -> None:
    single = answered(tmp_path, right=True, answer="A very long answer " * 20)
    assert sheet.draw([single] * 5).width == sheet.draw([single] * 30).width
    assert sheet.draw([single] * 30).height - sheet.draw([single] * 5).height == 5 * sheet.CELL[1]


def test_the_sheet_does_without_a_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "FONTS", ())
    assert sheet.draw([answered(tmp_path, right=True, answer="São Tomé")]).size[0] > 0


@pytest.mark.long
@pytest.mark.weights
def test_the_small_model_reads_the_facts(tmp_path: Path) -> None:
    known = [
        Country("ke", "Kenya", "East Africa", ("Nairobi",), ("English", "Swahili"), ("Kenyan shilling",)),
        Country("jp", "Japan", "East Asia", ("Tokyo",), ("Japanese",), ("Japanese yen",)),
    ]
    picture = tmp_path / "picture.png"
    Image.new("RGB", (90, 60), "red").save(picture)
    answerer = demo.load_model().answerer
    asked = [questions.Question(kind, country) for country in known for kind in questions.WORDING]
    contexts = [
        (Neighbor(Sample(question.country.code, describe(question.country), picture), 1.0),) for question in asked
    ]
    queries = [Query(question.text, picture) for question in asked]
    answers = answerer.answer(queries, contexts, Decoding(demo.MAX_NEW_TOKENS))
    judge = questions.Judge(known)
    assert (
        sum(
            judge.is_right(question, demo.first_line(answer.text))
            for question, answer in zip(asked, answers, strict=True)
        )
        >= 8
    )


def test_the_knowledge_base_lies_outside_version_control() -> None:
    ignored = (build.ROOT / ".gitignore").read_text().splitlines()
    assert "/data/" in ignored
    assert "/demo_output/" in ignored
