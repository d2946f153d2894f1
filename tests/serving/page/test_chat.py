"""Chat: streaming, evidence, stopping, history, examples; nothing of a text is ever executed."""

from pathlib import Path
from typing import Any

import pytest

from camml.types import Sample
from tests.layouts import picture
from tests.serving.page.conftest import EVIL, Parrot, ask, make_store, service_of, serving, texts, wait


@pytest.mark.long
def test_an_answer_comes_with_the_samples_it_was_made_from(open_page: Any, address: str, tmp_path: Path) -> None:
    page = open_page(address)
    ask(page, "chat", "What is this?", tmp_path / picture(tmp_path / "q.png", 2))
    assert texts(page, "#chat .reply") == ["Picture number 2 shows a dog."]
    assert texts(page, "#chat .evidence .text") == ["Picture number 2 shows a dog."]
    assert texts(page, "#chat .evidence .id") == ["s2"]
    assert float(texts(page, "#chat .evidence .score")[0]) > 0.9
    page.locator("#chat .evidence img").scroll_into_view_if_needed()
    wait(lambda: page.locator("#chat .evidence img").evaluate("image => image.naturalWidth") == 40)
    assert "tokens" in texts(page, "#chat .facts")[0]
    page.locator("[name=shots]").fill("2")
    ask(page, "chat", "And what is this? note")
    assert texts(page, "#chat .turn:last-child .evidence h3") == ["Made from 2 samples"]
    assert texts(page, "#chat .turn:last-child .note") == ["The picture was not looked at."]
    page.locator("[name=shots]").fill("0")
    ask(page, "chat", "What do you know?")
    assert texts(page, "#chat .turn:last-child .reply") == ["I do not know."]
    assert texts(page, "#chat .turn:last-child .evidence") == ["Answered without samples."]


LONG = "Hall B has many machines, and much is known of them. " * 9
"""More than a card shows at first."""


@pytest.mark.long
@pytest.mark.parametrize(("before", "after"), [("", LONG), (LONG, ""), (LONG, LONG), ("", "")])
def test_the_passage_that_an_answer_comes_from_is_marked_and_seen(
    open_page: Any, tmp_path: Path, before: str, after: str
) -> None:
    class Clerk(Parrot):
        def say(self, request: Any) -> str:
            return "4711" if "spare" in request.query.text else "The samples do not say."

    passage = "It needs the spare part 4711."
    extra = (Sample("pump", f"{before}{passage} {after}".strip()), Sample("lamp", "The lamp needs a bulb."))
    with serving(service_of(make_store(tmp_path, 1, extra=extra), Clerk())) as address:
        page = open_page(address)
        page.locator("[name=shots]").fill("3")
        ask(page, "chat", "Which spare part does hall B need?")
        wait(lambda: texts(page, "#chat .evidence mark") == [passage])
        assert texts(page, "#chat .evidence .source .id") == ["pump"]
        assert page.locator("#chat .evidence mark").is_visible()
        for _ in range(2 if before or after else 0):
            page.locator("#chat .source .more").click()
            assert texts(page, "#chat .evidence mark") == [passage]
        assert texts(page, "#chat .evidence h3") == ["Made from 3 samples"]
        ask(page, "chat", "Who owns it?")
        assert texts(page, "#chat .turn:last-child .note") == ["The model found no answer in the samples."]
        assert texts(page, "#chat .turn:last-child .evidence h3") == ["Nearest samples"]
        assert texts(page, "#chat .turn:last-child mark") == []


@pytest.mark.long
def test_settings_travel_with_the_question(open_page: Any, address: str, parrot: Parrot) -> None:
    page = open_page(address)
    page.locator("[name=mode]").select_option("text-text")
    page.locator(".settings summary").click()
    page.locator("[name=tokens]").fill("17")
    page.locator("[name=temperature]").fill("0.5")
    ask(page, "chat", "Picture number 1 shows a dog.")
    request = parrot.requests[-1]
    assert (request.decoding.max_new_tokens, request.decoding.temperature) == (17, 0.5)
    assert [neighbor.sample.id for neighbor in request.context] == ["s1"]


@pytest.mark.long
def test_an_answer_streams_and_stops(open_page: Any, address: str, parrot: Parrot) -> None:
    page = open_page(address)
    for how in ("button", "key"):
        parrot.closed.clear()
        ask(page, "chat", "Talk for ever", whole=False)
        reply = page.locator("#chat .turn:last-child .reply")
        wait(lambda reply=reply: "on and on" in reply.text_content())
        assert reply.get_attribute("aria-busy") == "true"
        if how == "button":
            page.get_by_role("button", name="Stop").click()
        else:
            page.locator("#chat textarea").press("Escape")
        wait(lambda: texts(page, "#chat .turn:last-child .facts") == ["Stopped."])
        assert parrot.closed.wait(30)  # the server has ended it too
        assert page.locator("#chat button[type=submit]").text_content() == "Ask"
        assert reply.get_attribute("aria-busy") is None


@pytest.mark.long
def test_a_conversation_goes_on_until_another_picture_comes(open_page: Any, address: str, tmp_path: Path) -> None:
    page = open_page(address)
    ask(page, "chat", "history?", tmp_path / picture(tmp_path / "q.png", 2))
    ask(page, "chat", "history?")
    page.locator("#chat .turn:last-child .again").click()
    wait(lambda: texts(page, "#chat .turn:last-child .facts")[0].endswith("tokens"))
    assert texts(page, "#chat .reply") == ["0 turns before", "1 turns before"]
    ask(page, "chat", "history?", tmp_path / picture(tmp_path / "r.png", 1))
    assert texts(page, "#chat .reply")[-1] == "0 turns before"


@pytest.mark.long
def test_examples_of_the_datastore_are_one_click_away(open_page: Any, address: str) -> None:
    page = open_page(address)
    page.get_by_role("button", name="What is this? (with a picture)").nth(1).click()
    wait(lambda: texts(page, "#chat .reply") == ["Picture number 1 shows a dog."])
    assert not page.locator(".welcome").is_visible()


@pytest.mark.long
def test_texts_of_samples_questions_and_answers_are_never_executed(open_page: Any, tmp_path: Path) -> None:
    name = "<img src=x onerror='window.hacked=1'>"  # an id holds no slash
    evil = Sample(name, EVIL, tmp_path / picture(tmp_path / "evil.png", 5))
    with serving(service_of(make_store(tmp_path, 1, extra=(evil,)), Parrot())) as address:
        page = open_page(address)
        ask(page, "chat", EVIL, tmp_path / "evil.png")
        assert texts(page, "#chat .reply") == [EVIL]
        assert texts(page, "#chat .evidence .id") == [name]
        assert texts(page, "#chat .evidence .text") == [EVIL]
        page.locator("#tab-objects").click()
        ask(page, "objects", EVIL.replace(",", ""))
        page.locator("#tab-datastore").click()
        wait(lambda: EVIL in texts(page, "#datastore .text"))
        page.locator("#tab-sequences").click()
        page.locator("#sequences .shelf button").last.click()
        ask(page, "sequences", f"order {EVIL}")
        assert page.evaluate("window.hacked") is None
        assert page.locator("[onerror], main script").count() == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("question", "change", "said"),
    [
        ("", None, "Write a question first."),
        ("Hello", ("max_tokens", 10**9), "Max_tokens: Input should be less than or equal to 1048576."),
    ],
)
def test_refusals_are_said_in_words(
    open_page: Any, address: str, question: str, change: tuple[str, int] | None, said: str
) -> None:
    page = open_page(address, quiet=True)
    if change:  # the page itself would not send this
        page.route("**/v1/chat/completions", lambda route: route.continue_(
            post_data={**route.request.post_data_json, change[0]: change[1]}))  # fmt: skip
    ask(page, "chat", question)
    assert texts(page, "#chat .problem:visible") == [said]


@pytest.mark.long
def test_a_server_that_has_gone_is_said(open_page: Any, tmp_path: Path) -> None:
    with serving(service_of(make_store(tmp_path), Parrot())) as address:
        page = open_page(address, quiet=True)
    ask(page, "chat", "Are you there?")
    assert texts(page, "#chat .turn .problem") == [
        "The server cannot be reached. Is it running, and are you connected?"
    ]
