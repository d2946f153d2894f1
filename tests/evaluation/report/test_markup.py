"""What is not markup is escaped."""

from hypothesis import given
from hypothesis import strategies as st

from camml.evaluation.report.markup import Markup, document, element, joined

EVIL = '<img src=x onerror="alert(1)">&\''


def test_text_is_escaped_once_and_markup_is_not() -> None:
    inner = element("b", EVIL)
    assert inner == "<b>&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;&#x27;</b>"
    assert element("p", inner, " & ", None) == f"<p>{inner} &amp; </p>"


def test_attributes_are_escaped_named_and_left_out() -> None:
    made = element("td", class_='a"b', aria_label="x", hidden=True, title=None, disabled=False, colspan=2)
    assert made == '<td class="a&quot;b" aria-label="x" hidden colspan="2"></td>'
    assert element("img", src="a.jpg") == '<img src="a.jpg">'


@given(st.text())
def test_no_text_can_open_an_element_or_leave_an_attribute(text: str) -> None:
    made = element("p", text, title=text)
    assert made.count("<") == 2
    assert made.count('"') == 2
    assert isinstance(joined(text), Markup)


def test_a_page_forbids_scripts_of_its_own_and_survives_half_a_character() -> None:
    page = document("a<b \ud800", "..", element("p", "\udfff"), ("records.js",)).decode()
    assert "<title>a&lt;b ?</title>" in page
    assert "<p>?</p>" in page
    assert "default-src 'none'" in page
    assert page.index("records.js") < page.index("../assets/report.js")
