"""Text in a page of a report is text, whatever it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from camml.evaluation.report.published import measures
from camml.evaluation.report.rendering import page

RUN = {
    "root": "..", "run": type("Run", (), {"system": "s", "score": None}), "measure": measures("okvqa")[0],
    "figure": None, "facts": (), "numbers": (), "remarks": (),
}  # fmt: skip
TAGS = page("run.html", title="", **RUN).count(b"<")


@given(st.text())
def test_no_text_can_open_an_element_or_leave_an_attribute(text: str) -> None:
    made = page("run.html", title=text, **(RUN | {"remarks": [text], "root": text})).decode()
    assert made.count("<") == TAGS + 2  # one remark more
    assert made.count('"') == page("run.html", title="", **(RUN | {"remarks": ["x"]})).decode().count('"')


def test_a_page_forbids_scripts_of_its_own_and_survives_half_a_character() -> None:
    made = page("run.html", title="a<b \ud800", **(RUN | {"remarks": ["\udfff"]})).decode()
    assert "<title>a&lt;b ?</title>" in made
    assert '<p class="remark">?</p>' in made
    assert "default-src 'none'" in made
    assert made.index("records.js") < made.index("../assets/report.js")


def test_what_a_template_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="title"):
        page("run.html", **RUN)
