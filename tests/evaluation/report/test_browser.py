"""The pages in a real browser, opened from the disk as a person does."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from camml.datastore import Datastore
from camml.encoders import load
from camml.evaluation.report import write_report
from camml.types import Sample
from tests.evaluation.report.conftest import record, write_run
from tests.layouts import picture

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install 'camml[dev]'")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs a browser: apt-get install chromium chromium-driver"
)

EVIL = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>\"'>${window.hacked=1}"
PHONE = 360
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-sync", "--disable-background-networking", "--disable-component-update", "--window-size=1200,900",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a run of sixty questions, whose every text is an attack; a third of the answers is wrong."""
    folder = tmp_path_factory.mktemp("report")
    name = picture(folder / "a.png", 3)
    samples = [Sample("s0", f"zebra {EVIL}", folder / name), Sample("s1", "giraffe", folder / name)]
    Datastore.build(folder / "evidence", samples, load("hashed"))
    records = [
        record(n, (0.0, 0.5, 1.0)[n % 3], prompt=EVIL, truth=EVIL,
               question=f"What is {n}? {EVIL}", answer=f"Answer-{n} {EVIL}",
               notes=[EVIL], image=str(folder / name), used=["s0"] if n < 10 else ["s1"],
               retrieved=[{"id": "s0", "score": 0.9}] if n < 10 else [{"id": "s1", "score": 0.5}])
        for n in range(60)
    ]  # fmt: skip
    write_run(folder / "runs" / "a", records, model={"name": f"model {EVIL}", "use": EVIL})
    write_run(folder / "runs" / "b", [record(0, 1.0, id=EVIL, retrieved=[{"id": EVIL, "score": None}], used=[EVIL])],
              model={"name": "another model"})  # fmt: skip
    write_report([folder / "runs"], folder / "out", stores=[str(folder / "evidence")], title=f"Title {EVIL}")
    return folder / "out"


@pytest.fixture
def page(browser, report: Path) -> Iterator[Any]:
    """The browser on the page of the run, as wide as a desk; what it complains of is a failure."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    look(browser, "light")
    browser.get((report / "index.html").as_uri())
    browser.execute_script("localStorage.clear()")
    open_page(browser, run_page(report))
    wait(lambda: answers(browser))
    yield browser
    assert browser.get_log("browser") == []


def run_page(report: Path, start: str = "okvqa-model") -> str:
    [folder] = (report / "runs").glob(f"{start}*")
    return (folder / "index.html").as_uri()


def open_page(browser, address: str) -> None:
    """Open it anew, even where only what follows # is another, and wait for what its script draws."""
    browser.get("about:blank")
    browser.get(address)
    wait(lambda: texts(browser, ".theme"))


def look(browser, scheme: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )


def texts(browser, selector: str) -> list[str]:
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(node => node.textContent)", selector
    )


def answers(browser) -> list[str]:
    return [text.split()[0] for text in texts(browser, "article .answer")]


def press(browser, keys: str) -> None:
    webdriver.ActionChains(browser).send_keys(keys).perform()


def click(browser, selector: str) -> None:
    browser.execute_script("document.querySelector(arguments[0]).click()", selector)


def wait(condition: Callable[[], object]) -> None:
    """Until it holds.

    Raises:
      AssertionError: it does not within a minute.
    """
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def background(browser) -> int:
    """Red, green and blue of the page, added up."""
    color = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    return sum(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(","))


@pytest.mark.long
def test_wrong_answers_are_filtered_and_the_address_remembers(page) -> None:
    assert texts(page, ".choices button") == ["All 60", "Right 20", "Partly 20", "Wrong 20"]
    click(page, "[data-show=wrong]")
    assert texts(page, ".count") == ["20 of 60 questions"]
    assert answers(page) == [f"Answer-{n}" for n in range(0, 60, 3)]
    assert texts(page, "article.wrong .badge") == ["Wrong"] * 20
    address = page.current_url
    assert address.endswith("#show=wrong")
    open_page(page, address)
    assert len(answers(page)) == 20
    assert texts(page, "[aria-pressed=true]") == ["Wrong 20"]


def test_search_finds_all_words_in_questions_answers_and_samples(page) -> None:
    press(page, "/")
    press(page, "ZEBRA answer-7")
    wait(lambda: texts(page, ".count") == ["1 of 60 questions"])
    assert answers(page) == ["Answer-7"]
    assert texts(page, "mark") == ["Answer-7", "zebra"]
    click(page, "[data-show=wrong]")
    assert texts(page, ".nothing") == ["No question fits. Search for fewer words, or show all."]


@pytest.mark.long
def test_questions_come_in_pages_and_in_order_of_score(page) -> None:
    assert answers(page) == [f"Answer-{n}" for n in range(25)]
    press(page, "n")
    press(page, "n")
    assert answers(page) == [f"Answer-{n}" for n in range(50, 60)]
    assert texts(page, ".pager span") == ["Page 3 of 3"]
    page.execute_script("const s = document.querySelector('select'); s.value = 'best'; s.onchange()")
    assert answers(page)[:3] == ["Answer-2", "Answer-5", "Answer-8"]
    page.execute_script("const s = document.querySelector('select'); s.value = 'worst'; s.onchange()")
    assert answers(page)[:3] == ["Answer-0", "Answer-3", "Answer-6"]


@pytest.mark.long
def test_the_keyboard_walks_over_the_edge_of_a_page_and_opens_a_prompt(page) -> None:
    focused = "return document.activeElement.querySelector('.answer')?.textContent.split(' ')[0]"
    press(page, "j")
    assert page.execute_script(focused) == "Answer-0"
    for _ in range(25):
        press(page, "j")
    assert page.execute_script(focused) == "Answer-25"
    press(page, "k")
    assert page.execute_script(focused) == "Answer-24"
    press(page, "o")
    wait(lambda: EVIL in texts(page, "details.prompt[open] pre"))


def test_a_link_to_a_question_shows_it(page) -> None:
    page.execute_script("location.hash = '#id=q42'")
    wait(lambda: "Answer-42" in answers(page))
    assert page.execute_script("return document.activeElement.querySelector('.answer').textContent").startswith(
        "Answer-42"
    )


def test_a_question_shows_picture_samples_truth_and_notes(page) -> None:
    wait(lambda: page.execute_script("return document.querySelector('.picture img').naturalWidth") == 40)
    assert page.execute_script("return document.querySelector('.samples img').naturalWidth") == 40
    assert texts(page, "article:first-child .samples .text") == [f"zebra {EVIL}"]
    assert texts(page, "article:first-child .about") == ["1. s00.900"]
    assert texts(page, "article:first-child .truth") == [EVIL]
    assert texts(page, "article:first-child .notes li") == [EVIL]


@pytest.mark.long
def test_nothing_in_a_run_is_ever_executed(page, report: Path) -> None:
    board, searching = (report / "index.html").as_uri(), "#q=%3Cimg%20src%3Dx%20onerror%3D'window.hacked%3D1'%3E"
    addresses = [board, run_page(report), run_page(report, "okvqa-another"), run_page(report) + searching]
    for address in addresses:
        open_page(page, address)
        page.execute_script("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
        wait(lambda: "…" not in texts(page, "details.prompt pre"))
        assert page.execute_script("return window.hacked") is None
        assert page.execute_script("return document.querySelectorAll('[onerror]').length") == 0
        scripts = page.execute_script("return [...document.scripts].map(one => one.src.split('/').pop())")
        assert all(name in ("records.js", "report.js", "prompts-0.js") for name in scripts)
    open_page(page, board)
    assert texts(page, "h1") == [f"Title {EVIL}"]


def test_every_score_is_drawn_inside_its_table(page, report: Path) -> None:
    open_page(page, (report / "index.html").as_uri())
    boxes = page.execute_script(
        "return [...document.querySelectorAll('.whiskers circle')].map(dot => [dot, dot.closest('svg')]"
        ".map(node => node.getBoundingClientRect()).map(box => [box.left, box.width]))"
    )
    assert len(boxes) == 4  # two runs, two published models
    for (left, width), (start, whole) in boxes:
        assert width == 8
        assert start <= left <= start + whole - width


def test_links_lead_to_pages_and_back(page, report: Path) -> None:
    open_page(page, (report / "index.html").as_uri())
    click(page, ".ranking a[href$='#show=wrong']")
    wait(lambda: len(answers(page)) == 20)
    click(page, ".crumbs a")
    wait(lambda: texts(page, "h2")[:1] == ["Overview"])


@pytest.mark.parametrize("name", ["index.html", "run"])
def test_pages_are_dark_where_the_system_is_and_by_choice(page, report: Path, name: str) -> None:
    address = run_page(report) if name == "run" else (report / name).as_uri()
    open_page(page, address)
    assert background(page) > 600
    look(page, "dark")
    assert background(page) < 120
    click(page, ".theme")
    assert background(page) > 600
    open_page(page, address)
    assert background(page) > 600


@pytest.mark.parametrize("name", ["index.html", "run"])
def test_a_phone_shows_pages_without_scrolling_sideways(page, report: Path, name: str) -> None:
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": PHONE, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    )
    open_page(page, run_page(report) if name == "run" else (report / name).as_uri())
    page.execute_script("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    assert page.execute_script("return innerWidth") == PHONE
    assert page.execute_script("return document.documentElement.scrollWidth") == PHONE
    assert page.execute_script("window.scrollTo(1000, 0); return scrollX") == 0


def test_data_that_is_not_there_is_said(browser, report: Path, tmp_path: Path) -> None:
    shutil.copytree(report / "assets", tmp_path / "assets")
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    page = next((report / "runs").glob("okvqa-model*")) / "index.html"
    shutil.copy(page, folder)
    open_page(browser, (folder / "index.html").as_uri())
    assert texts(browser, ".nothing") == ["records.js is not beside this page, or is broken: make the report again."]
    browser.get_log("browser")  # it complains of the file that is not there
