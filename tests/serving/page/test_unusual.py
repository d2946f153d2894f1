"""The page with what people really have: long ids, many lines, other scripts, wrong settings, servers that go away."""

import threading
from pathlib import Path
from typing import Any

import pytest

from camml.types import Sample
from tests.serving.page.conftest import PHONE, Parrot, ask, make_store, service_of, serving, texts, wait

LONG_ID = "https://example.org/" + "very-long-path/" * 12 + "picture.png"
LINES = Sample("lines", "\n".join(f"line {n}" for n in range(40)), None, {"country": "France", "page": 12})


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The address of a server whose samples are unusual, and its service."""
    folder = tmp_path_factory.mktemp("unusual")
    extra = (Sample(LONG_ID.replace("/", "|"), "a long id", None), LINES, Sample("arabic", "علم فرنسا أزرق", None))
    service = service_of(make_store(folder, 2, extra=extra), Parrot())
    with serving(service) as address:
        yield address, service


def lines_of(page: Any, selector: str) -> int:
    """How many lines of text the first such element takes."""
    return int(
        page.locator(selector).first.evaluate(
            "node => { const range = document.createRange(); range.selectNodeContents(node); "
            "return new Set([...range.getClientRects()].map(one => Math.round(one.top))).size }"
        )
    )


@pytest.mark.long
def test_a_long_id_leaves_the_score_its_place(open_page: Any, there: Any) -> None:
    page = open_page(there[0])
    ask(page, "chat", "a long id")
    assert texts(page, "#chat .evidence .id")[0].startswith("https")
    assert lines_of(page, "#chat .evidence .score") == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.long
def test_a_text_of_many_lines_is_cut_and_can_be_cut_again(open_page: Any, there: Any) -> None:
    page = open_page(f"{there[0]}/#datastore")
    text = page.locator("#datastore .sample", has_text="lines").locator(".text")
    text.wait_for()
    assert "line 5" in text.text_content()
    assert "line 6" not in text.text_content()
    text.get_by_text("more").click()
    assert "line 39" in text.text_content()
    text.get_by_text("less").click()
    assert "line 6" not in text.text_content()


@pytest.mark.long
def test_other_scripts_run_their_own_way(open_page: Any, there: Any) -> None:
    page = open_page(f"{there[0]}/#datastore")
    text = page.locator("#datastore .sample", has_text="arabic").locator(".text")
    assert text.evaluate("node => getComputedStyle(node).direction") == "rtl"


@pytest.mark.long
def test_metadata_is_shown_searched_and_entered(open_page: Any, tmp_path: Path) -> None:
    with serving(service_of(make_store(tmp_path, 2, extra=(LINES,)), Parrot())) as address:
        page = open_page(f"{address}/#datastore")
        wait(lambda: texts(page, "#datastore .meta div") == ["countryFrance", "page12"])
        page.locator("#datastore").get_by_label("Its text").fill("Ruritania has a flag.")
        page.locator("#datastore").get_by_label("What else is known").fill("country: Ruritania\nfree=true")
        page.get_by_role("button", name="Add the sample").click()
        wait(lambda: "countryRuritania" in texts(page, "#datastore .meta div"))
        page.locator("#datastore input[type=search]").fill("flag")
        page.locator("#datastore .only").fill("free: true")
        page.locator("#datastore .only").press("Enter")
        wait(lambda: texts(page, "#datastore .meta div") == ["countryRuritania", "freetrue"])
        page.locator("#datastore .only").fill("nonsense")
        page.locator("#datastore .only").press("Enter")
        wait(lambda: "should be a name and a value" in texts(page, "#datastore .finder .problem")[0])


@pytest.mark.long
def test_a_setting_out_of_range_is_said_with_what_holds_instead(open_page: Any, there: Any) -> None:
    page = open_page(there[0])
    page.locator("[name=shots]").fill("999")
    assert texts(page, "#unfit") == ["Samples: from 0 to 64. Until then 1 is used."]
    page.locator("[name=shots]").fill("2")
    assert not page.locator("#unfit").is_visible()


@pytest.mark.long
def test_searches_are_made_the_way_the_settings_say(open_page: Any, there: Any) -> None:
    page = open_page(f"{there[0]}/#datastore")
    page.locator("[name=mode]").select_option("text-text")
    page.locator("#datastore input[type=search]").fill("dog")
    with page.expect_request("**/search") as sent:
        page.locator("#datastore input[type=search]").press("Enter")
    assert sent.value.post_data_json["mode"] == "text-text"


@pytest.mark.long
def test_thinking_ends_when_the_text_comes(open_page: Any, there: Any) -> None:
    page = open_page(there[0])
    ask(page, "chat", "go on for ever", whole=False)
    wait(lambda: "on and" in "".join(texts(page, "#chat .reply")))
    assert "Thinking" not in "".join(texts(page, "#chat .facts"))
    page.locator("#chat .composer button.stop").click()


@pytest.mark.long
def test_on_a_phone_the_form_comes_before_the_cards(open_page: Any, there: Any) -> None:
    page = open_page(f"{there[0]}/#datastore", size=PHONE)
    page.locator("#datastore .sample").first.wait_for()
    form, card = page.locator("#datastore .adder"), page.locator("#datastore .sample").first
    assert form.bounding_box()["y"] < card.bounding_box()["y"]
    assert not page.locator("#datastore").get_by_label("Its text").is_visible(), "and takes no room before it is wanted"
    form.locator("summary").click()
    page.locator("#datastore").get_by_label("Its text").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.long
def test_examples_follow_the_datastore(open_page: Any, tmp_path: Path) -> None:
    from camml.serving.service import Service
    from camml.serving.settings import Settings
    from camml.serving.shelf import ServedDatastore

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    stores = {name: str(make_store(tmp_path / name, 3)) for name in ("one", "two")}
    shelves = {name: ServedDatastore.open(name, place) for name, place in stores.items()}
    with serving(Service.of(Settings(model="parrot", stores=stores), Parrot(), shelves)) as address:
        page = open_page(address)
        first = page.locator("#chat .example img").first
        assert "/one/" in first.get_attribute("src")
        page.locator("[name=store]").select_option("two")
        wait(lambda: "/two/" in page.locator("#chat .example img").first.get_attribute("src"))


@pytest.mark.long
def test_a_key_that_no_server_can_have_is_said_to_be_one(open_page: Any, tmp_path: Path) -> None:
    with serving(service_of(make_store(tmp_path), Parrot(), api_keys=("12345678",))) as address:
        page = open_page(address, quiet=True)
        page.locator("#key-field").fill("ключ1234")
        page.get_by_role("button", name="Use it").click()
        wait(lambda: texts(page, "#problem")[0].startswith("A key has Latin letters"))
        page.locator("#key-field").fill(" 12345678 ")
        page.get_by_role("button", name="Use it").click()
        page.locator("#settings").wait_for()


@pytest.mark.long
def test_a_server_that_ends_is_said_in_words(open_page: Any, tmp_path: Path) -> None:
    import uvicorn

    from camml.serving.application import create

    server = uvicorn.Server(
        uvicorn.Config(create(service_of(make_store(tmp_path), Parrot())), port=0, log_level="error")
    )
    server.config.timeout_graceful_shutdown = 1
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait(lambda: server.started)
    page = open_page(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", quiet=True)
    ask(page, "chat", "go on for ever", whole=False)
    wait(lambda: "on and" in "".join(texts(page, "#chat .reply")))
    for connection in list(server.server_state.connections):
        server.servers[0].get_loop().call_soon_threadsafe(connection.transport.abort)
    wait(
        lambda: (
            texts(page, "#chat .remarks .problem")[:1]
            == ["The connection broke before the answer was whole. Ask again."]
        )
    )
    server.should_exit = True
    thread.join(30)
    ask(page, "chat", "again", whole=False)
    wait(lambda: "cannot be reached" in "".join(texts(page, "#chat .remarks .problem")))


@pytest.mark.long
def test_a_sequence_of_another_datastore_is_not_asked(open_page: Any, tmp_path: Path) -> None:
    from camml.serving.service import Service
    from camml.serving.settings import Settings
    from camml.serving.shelf import ServedDatastore

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    stores = {name: str(make_store(tmp_path / name, 3)) for name in ("one", "two")}
    shelves = {name: ServedDatastore.open(name, place) for name, place in stores.items()}
    with serving(Service.of(Settings(model="parrot", stores=stores), Parrot(), shelves)) as address:
        page = open_page(f"{address}/#sequences")
        page.get_by_role("button", name="Add s0 to the sequence").click()
        page.locator("[name=store]").select_option("two")
        page.locator("#sequences .composer textarea").fill("What comes next?")
        page.locator("#sequences .composer button[type=submit]").click()
        problem = "s0 is from the datastore one. Choose that one, or take it out."
        wait(lambda: texts(page, "#sequences .composer .problem") == [problem])
