"""Patterns have what they are filled with, and there are enough of them."""

import re
from random import Random

import pytest

from camml.factpix.catalog import Fact
from camml.factpix.wording import NEW, SEEN, words_of

FIELDS = [(topic, field) for topic in ("emoji", "flags", "maps", "notes", "stamps") for field in words_of(topic).fields]


@pytest.mark.parametrize(("topic", "field"), FIELDS)
class TestField:
    def test_has_enough_wordings(self, topic: str, field: str) -> None:
        words = words_of(topic)
        for what in ("ask", "check") if words.asks(field) else ("check",):
            assert len(words.wordings(field, what, SEEN)) >= 8
            assert len(words.wordings(field, what, NEW)) >= 2
            assert not words.wordings(field, what, SEEN) & words.wordings(field, what, NEW)

    def test_has_patterns_that_can_be_filled(self, topic: str, field: str) -> None:
        lists = words_of(topic).fields[field]
        assert set(lists) <= {"ask", "ask_new", "check", "check_new", "tell"}
        for name, patterns in lists.items():
            wanted = {"ask": set(), "check": {"value"}, "tell": {field}}[name.removesuffix("_new")]
            for pattern in patterns:
                assert set(re.findall(r"{(\w+)}", pattern)) - {"it"} == wanted, pattern
                assert pattern.endswith((".", "?")), pattern
                assert pattern.endswith("?") or name != "check"

    def test_is_filled_whole(self, topic: str, field: str) -> None:
        rng, words = Random(1), words_of(topic)
        texts = [words.check(field, "Value", wording, rng) for wording in (SEEN, NEW) for _ in range(20)]
        texts += [words.tell({field: Fact(("A", "B"))}, rng) for _ in range(5)]
        assert not any(set("{}") & set(text) or text[0].islower() for text in texts)


def test_a_text_tells_the_facts_in_the_order_of_the_topic() -> None:
    facts = {"capital": Fact(("Nairobi",)), "name": Fact(("Kenya",))}
    text = words_of("flags").tell(facts, Random(0))
    assert text.index("Kenya") < text.index("Nairobi")
