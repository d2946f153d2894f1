"""The datastore tab: what is added there changes the next answer."""

from pathlib import Path
from typing import Any

import pytest

from camml import weights
from camml.serving import engines
from camml.types import Sample
from tests.layouts import picture
from tests.serving.page.conftest import Parrot, ask, make_store, service_of, serving, texts, wait


def add(page: Any, text: str, image: Path, name: str = "") -> None:
    """Fill in the form for a new sample and send it."""
    page.locator("#tab-datastore").click()
    page.locator("#datastore .add input[type=file]").set_input_files(image)
    page.locator("#datastore .add .well img").wait_for()
    page.locator("#datastore").get_by_label("Its text").fill(text)
    page.locator("#datastore").get_by_label("Its id").fill(name)
    page.get_by_role("button", name="Add the sample").click()


def load_pictures(page: Any) -> None:
    """Load the pictures of the list, those below the window too, and wait for them."""
    page.locator("#datastore .grid img").evaluate_all(
        "images => Promise.all(images.map(image => { image.loading = 'eager'; return image.decode(); }))"
    )


@pytest.mark.long
def test_the_same_question_changes_its_answer_and_back(open_page: Any, tmp_path: Path) -> None:
    new = tmp_path / picture(tmp_path / "new.png", 5)
    with serving(service_of(make_store(tmp_path), Parrot())) as address:
        page = open_page(address)
        ask(page, "chat", "What is this?", new)
        before = texts(page, "#chat .reply")[0]
        assert before.startswith("Picture number")
        add(page, "This is the flag of Ruritania.", new, "ruritania")
        wait(lambda: texts(page, "#datastore .news span") == ["Added ruritania. The next question sees it. "])
        wait(lambda: texts(page, "#datastore .grid .id")[0] == "ruritania")
        page.get_by_role("button", name="Ask the last question again").click()
        wait(lambda: texts(page, "#chat .reply") == ["This is the flag of Ruritania."])
        assert texts(page, "#chat .evidence .fresh") == ["new"]
        page.locator("#tab-datastore").click()
        remove = page.get_by_role("button", name="Remove ruritania")
        remove.click()
        assert remove.text_content() == "Really remove?"
        remove.click()
        wait(lambda: texts(page, "#datastore .news") == ["Removed ruritania."])
        wait(lambda: "ruritania" not in texts(page, "#datastore .grid .id"))
        page.locator("#tab-chat").click()
        page.get_by_role("button", name="Ask again").click()
        wait(lambda: texts(page, "#chat .reply") == [before])


@pytest.mark.long
@pytest.mark.weights
def test_a_real_model_learns_of_a_country_that_was_not_there(open_page: Any, tmp_path: Path) -> None:
    engine = engines.load("transformers", weights.folder("smollm2-135m-instruct"), device="cpu")
    flag = tmp_path / picture(tmp_path / "flag.png", 5)
    with serving(service_of(make_store(tmp_path), engine)) as address:
        page = open_page(address)
        page.locator(".settings summary").click()
        page.locator("[name=tokens]").fill("24")
        ask(page, "chat", "What is the capital of this country?", flag)
        assert "Strelsau" not in texts(page, "#chat .reply")[0]
        add(page, "The name of the country is Ruritania. The capital of Ruritania is Strelsau.", flag)
        page.get_by_role("button", name="Ask the last question again").click()
        wait(lambda: "Strelsau" in texts(page, "#chat .reply")[0])


@pytest.mark.long
def test_samples_are_looked_through_and_searched(open_page: Any, tmp_path: Path) -> None:
    with serving(service_of(make_store(tmp_path, 30), Parrot())) as address:
        page = open_page(f"{address}/#datastore")
        wait(lambda: texts(page, "#datastore [role=status].quiet") == ["1–24 of 30 samples in things, newest first"])
        assert texts(page, "#datastore .grid .id") == [f"s{n}" for n in range(29, 5, -1)]
        page.get_by_role("button", name="Next").click()
        wait(lambda: texts(page, "#datastore .grid .id") == [f"s{n}" for n in range(5, -1, -1)])
        assert texts(page, "#datastore .pager span") == ["Page  of 2"]
        number = page.locator("#datastore .pager input")
        assert number.input_value() == "2"
        number.fill("1")
        number.press("Enter")
        wait(lambda: texts(page, "#datastore .grid .id")[:1] == ["s29"])
        page.locator("#datastore input[type=search]").fill("Picture number 17 shows a dog.")
        page.locator("#datastore input[type=search]").press("Enter")
        wait(lambda: texts(page, "#datastore .grid .id")[:1] == ["s17"])
        page.locator("#datastore input[type=search]").fill("")
        page.locator("#datastore .finder input[type=file]").set_input_files(tmp_path / "2.png")
        wait(lambda: texts(page, "#datastore .grid .id")[:2] == ["s22", "s2"])  # one color to the encoder, newest first
        page.get_by_role("button", name="Remove the picture").click()
        wait(lambda: len(texts(page, "#datastore .grid .id")) == 24)


@pytest.mark.long
def test_a_search_takes_ranges_of_metadata(open_page: Any, tmp_path: Path) -> None:
    years = tuple(
        Sample(f"y{year}", f"machine of {year}", meta={"year": year, "hall": "B"}) for year in (1890, 1950, 2000)
    )
    with serving(service_of(make_store(tmp_path, 1, extra=years), Parrot())) as address:
        page = open_page(f"{address}/#datastore", quiet=True)  # a refusal is a complaint
        page.locator("#datastore input[type=search]").fill("machine")
        for only, ids in [("year>=1900; year<1999", {"y1950"}), ("hall: B; year>1900", {"y1950", "y2000"})]:
            page.locator("#datastore .only").fill(only)
            page.locator("#datastore .finder button[type=submit]").click()
            wait(lambda ids=ids: set(texts(page, "#datastore .samples .id")) == ids)
        page.locator("#datastore .only").fill("year<old")
        page.locator("#datastore .only").press("Enter")
        wait(lambda: "neither a number nor a date" in "".join(texts(page, "#datastore .finder .problem")))


@pytest.mark.long
def test_a_search_finds_figures_that_are_texts_as_those_of_tables_are(open_page: Any, tmp_path: Path) -> None:
    rows = ({"year": "1900", "code": "1.10"}, {"year": 1900, "code": 7}, {"year": "1950", "code": True}, {"year": None})
    samples = tuple(Sample(f"y{number}", f"machine {'abcd'[number]}", meta=meta) for number, meta in enumerate(rows))
    with serving(service_of(make_store(tmp_path, 1, extra=samples), Parrot())) as address:
        page = open_page(f"{address}/#datastore")
        page.locator("#datastore input[type=search]").fill("machine")
        for only, ids in [
            ("year: 1900", {"y0", "y1"}), ("code: 1.10", {"y0"}), ("code=true", {"y2"}), ("year=1900; code: 7", {"y1"}),
            ("year: null", {"y3", "s0"}),
        ]:  # fmt: skip
            page.locator("#datastore .only").fill(only)
            page.locator("#datastore .finder button[type=submit]").click()
            wait(lambda ids=ids: set(texts(page, "#datastore .samples .id")) == ids)


@pytest.mark.long
def test_the_list_is_whole_after_somebody_else_has_changed_the_datastore(open_page: Any, tmp_path: Path) -> None:
    service = service_of(make_store(tmp_path, 30), Parrot())
    with serving(service) as address:
        page = open_page(f"{address}/#datastore")
        wait(lambda: len(texts(page, "#datastore .grid .id")) == 24)
        load_pictures(page)  # one that is still to come when its sample goes would be a 404, and rightly
        shelf = service.shelves["things"]  # as over the API
        shelf.remove([f"s{number}" for number in range(10, 20)])
        search = page.locator("#datastore .finder button[type=submit]")
        search.click()
        left = [f"s{number}" for number in (*range(29, 19, -1), *range(9, -1, -1))]
        wait(lambda: texts(page, "#datastore .grid .id") == left)
        assert texts(page, "#datastore [role=status].quiet") == ["1–20 of 20 samples in things, newest first"]
        assert "20 samples" in page.locator("#model").text_content()
        shelf.add("the last", None, "last")
        search.click()
        wait(lambda: texts(page, "#datastore .grid .id") == ["last", *left])


@pytest.mark.long
def test_mistakes_in_a_new_sample_are_said(open_page: Any, tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("not a picture")
    with serving(service_of(make_store(tmp_path), Parrot())) as address:
        page = open_page(f"{address}/#datastore", quiet=True)
        page.locator("#datastore .add input[type=file]").set_input_files(tmp_path / "words.png")
        problem = page.locator("#datastore .add .problem:visible")
        problem.wait_for()
        assert texts(page, "#datastore .add .problem")[0].startswith("words.png is not a picture this browser can read")
        page.get_by_role("button", name="Add the sample").click()
        wait(lambda: texts(page, "#datastore .add .problem") == ["A sample needs a text or a picture."])
        add(page, "", tmp_path / "2.png", "alone")
        wait(lambda: "alone" in texts(page, "#datastore .grid .id"))
        add(page, "Again.", tmp_path / "1.png", "s1")
        wait(lambda: texts(page, "#datastore .add .problem") == ["There is a sample 's1' in 'things' already."])
        assert (
            page.locator("#datastore").get_by_label("Its text").input_value() == "Again."
        )  # nothing that was written is lost


@pytest.mark.long
def test_what_may_only_be_read_offers_no_change(open_page: Any, tmp_path: Path) -> None:
    with serving(service_of(make_store(tmp_path), Parrot(), read_only=True)) as address:
        page = open_page(f"{address}/#datastore")
        wait(lambda: len(texts(page, "#datastore .grid .id")) == 3)
        assert page.locator("#datastore .danger").count() == 0
        assert not page.locator("#datastore .add").is_visible()


@pytest.mark.long
def test_codes_of_figures_stay_as_they_are(open_page: Any, tmp_path: Path) -> None:
    with serving(service_of(make_store(tmp_path), Parrot())) as address:
        page = open_page(f"{address}/#datastore")
        page.locator("#datastore").get_by_label("Its text").fill("A parcel.")
        page.locator("#datastore").get_by_label("What else is known").fill(
            "zip: 01234\ncode: 12345678901234567\nn: 7\n"
            "version: 1.10\nprice: 2.5\nzero: -0\nlong: 0.12345678901234567890"
        )
        page.get_by_role("button", name="Add the sample").click()
        shown = ["zip01234", "code12345678901234567", "n7", "version1.10", "price2.5", "zero-0"]
        shown.append("long0.12345678901234567890")
        wait(lambda: texts(page, "#datastore .meta div") == shown)


@pytest.mark.long
def test_the_last_page_may_lose_its_only_sample(open_page: Any, tmp_path: Path) -> None:
    with serving(service_of(make_store(tmp_path, 25), Parrot())) as address:
        page = open_page(f"{address}/#datastore")
        page.get_by_role("button", name="Next").click()
        wait(lambda: texts(page, "#datastore .grid .id") == ["s0"])
        page.get_by_role("button", name="Remove s0").click()
        page.get_by_role("button", name="Remove s0").click()  # really
        wait(lambda: texts(page, "#datastore [role=status].quiet") == ["1–24 of 24 samples in things, newest first"])
