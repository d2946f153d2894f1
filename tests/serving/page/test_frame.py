"""The frame: tabs, keyboard, key, themes, narrow screens, policy."""

from pathlib import Path
from typing import Any

import pytest

from tests.serving.page.conftest import PHONE, Parrot, ask, make_store, service_of, serving, texts, wait

TABS = ("chat", "compare", "sequences", "objects", "boxes", "drawing", "datastore")


def focused(page: Any) -> str:
    """What has the focus, by its name for assistive technology."""
    return str(page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"))


@pytest.mark.long
def test_tabs_follow_arrows_address_and_history(open_page: Any, address: str) -> None:
    page = open_page(address)
    page.locator("#tab-chat").focus()
    for name in (*TABS[1:], TABS[0]):
        page.keyboard.press("ArrowRight")
        assert page.locator(f"#{name}").is_visible()
        assert page.evaluate("document.activeElement.id") == f"tab-{name}"
        assert page.locator("[role=tabpanel]:visible").count() == 1
    page.keyboard.press("End")
    wait(lambda: page.evaluate("location.hash") == "#datastore")
    page.go_back()
    page.locator("#chat").wait_for()
    page.goto("about:blank")
    page.goto(f"{address}/#boxes")
    page.locator("#boxes").wait_for()
    assert page.locator("#tab-boxes").get_attribute("aria-selected") == "true"


@pytest.mark.long
def test_everything_is_reached_and_asked_by_keyboard(open_page: Any, address: str) -> None:
    page = open_page(address)
    page.keyboard.press("Tab")
    seen = [focused(page)]
    while seen[-1] != "Your question" and len(seen) < 30:
        page.keyboard.press("Tab")
        seen.append(focused(page))
    assert seen[0] == "Skip to the page"
    assert seen[2] == "Chat"  # the seven tabs are one stop
    assert {"More", "What is this? (with a picture)", "Add a picture"} <= set(seen)
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.type("What do you know?")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Tell me.")
    page.keyboard.press("Enter")
    wait(lambda: texts(page, "#chat .asked p") == ["What do you know?\nTell me."])


@pytest.mark.long
def test_every_control_has_a_name_and_every_picture_a_text(open_page: Any, address: str) -> None:
    page = open_page(address)
    ask(page, "chat", "What is this?")
    for name in TABS:
        page.locator(f"#tab-{name}").click()
        nameless = page.evaluate(
            "name => [...document.querySelectorAll(`#${name} :is(button, input, select, textarea)`)]"
            ".filter(node => !(node.getAttribute('aria-label') || node.labels?.[0]?.textContent || node.textContent))"
            ".map(node => node.outerHTML)",
            name,
        )
        assert nameless == []
        assert page.locator(f"#{name} img:not([alt])").count() == 0


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_tab_scrolls_sideways_on_a_phone(open_page: Any, address: str, scheme: str) -> None:
    page = open_page(address, size=PHONE, scheme=scheme)
    ask(page, "chat", "What is this?")
    for name in TABS:
        page.locator(f"#tab-{name}").click()
        if name == "compare":
            ask(page, name, "What is this?")
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"], name
    left, right = (page.locator("#compare .half").nth(n) for n in (0, 1))
    page.locator("#tab-compare").click()
    assert left.bounding_box()["y"] < right.bounding_box()["y"]


def in_view(page: Any, name: str) -> bool:
    """Whether all of a tab's button is on the screen."""
    box = page.locator(f"#tab-{name}").bounding_box()
    return bool(box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"])


@pytest.mark.long
@pytest.mark.parametrize("width", [320, 360, 390, 412])
def test_the_chosen_tab_is_on_the_screen(open_page: Any, address: str, width: int) -> None:
    for name in TABS:
        page = open_page(f"{address}/#{name}", size={"width": width, "height": 740})
        wait(lambda name=name, page=page: in_view(page, name))  # type: ignore[misc]
    for name in TABS:
        page.locator(f"#tab-{name}").dispatch_event("click")
        wait(lambda name=name: in_view(page, name))  # type: ignore[misc]
    for _ in range(10):  # one in ten of these turns is over before the browser draws what is between
        page.set_viewport_size({"width": 740, "height": width})
        page.set_viewport_size({"width": width, "height": 740})
        wait(lambda: in_view(page, TABS[-1]))


def brightness(page: Any) -> int:
    """Red, green and blue of the page, added up."""
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(","))


@pytest.mark.long
def test_the_page_is_dark_where_the_system_is_and_by_choice(open_page: Any, address: str) -> None:
    page = open_page(address, scheme="dark")
    assert brightness(page) < 120
    page.get_by_role("button", name="Switch between light and dark").click()
    assert brightness(page) > 600
    page.reload()
    assert brightness(page) > 600


def contrast(page: Any, selector: str) -> float:
    """WCAG's contrast of text and background."""
    script = """selector => {
      const node = document.querySelector(selector);
      let behind = node;
      while (/rgba\\(.*, 0\\)/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
      const light = (color) => {
        const [r, g, b] = color.match(/\\d+/g).map(Number).map((c) => c / 255)
          .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
      };
      const pair = [getComputedStyle(node).color, getComputedStyle(behind).backgroundColor].map(light);
      return Math.max(...pair) / Math.min(...pair);
    }"""
    return float(page.evaluate(script, selector))


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(open_page: Any, address: str, scheme: str) -> None:
    page = open_page(address, scheme=scheme)
    ask(page, "chat", "What is this? note")
    parts = ("facts", "note", "main", "again", "asked p", "sample .text", "sample .id")
    frame = ("body", ".model", "[aria-selected=true]", "[aria-selected=false]")
    for selector in (*frame, *(f"#chat .{part}" for part in parts)):
        assert contrast(page, selector) >= 4.5, selector


@pytest.mark.long
def test_a_key_is_asked_for_and_kept_in_this_tab_alone(open_page: Any, tmp_path: Path) -> None:
    with serving(service_of(make_store(tmp_path), Parrot(), api_keys=("sesame-open",))) as address:
        page = open_page(address, quiet=True)
        page.locator("#key").wait_for()
        for part in ("#settings", "[role=tablist]", "#panels", "#chat .composer"):
            assert not page.locator(part).is_visible(), part
        field = page.get_by_label("This server wants an API key")
        field.fill("wrong")
        page.get_by_role("button", name="Use it").click()
        wait(lambda: texts(page, "#problem:visible") == ["This is not one of the server's keys."])
        field.fill("sesame-open")
        page.get_by_role("button", name="Use it").click()
        page.locator("#settings").wait_for()
        assert not page.locator("#key").is_visible()
        assert page.locator("#tab-chat").is_visible()
        ask(page, "chat", "What is this?")
        wait(lambda: page.locator("#chat .evidence img").evaluate("image => image.naturalWidth") == 40)
        assert page.evaluate("Object.values(localStorage).join()") == ""
        page.reload()
        page.locator("#settings").wait_for()


@pytest.mark.long
def test_a_server_without_datastores_answers_by_itself(open_page: Any) -> None:
    with serving(service_of(None, Parrot())) as address:
        page = open_page(address)
        assert texts(page, "#model") == ["parrot · no datastore"]
        ask(page, "chat", "What do you know?")
        assert texts(page, "#chat .reply") == ["I do not know."]
        page.locator("#tab-datastore").click()
        page.locator("#tab-sequences").click()


@pytest.mark.long
def test_nothing_comes_from_elsewhere_and_nothing_foreign_runs(open_page: Any, address: str) -> None:
    page = open_page(address, quiet=True)
    assert page.evaluate("performance.getEntriesByType('resource').every(one => one.name.startsWith(location.origin))")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    assert page.evaluate("window.ran") is None
