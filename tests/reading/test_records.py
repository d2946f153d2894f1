"""Invented records: what stands beside the point is of no use for an answer."""

from random import Random

import pytest

from camml.reading import records
from camml.reading.words import wordings


def test_sentences_about_other_things_name_them_and_a_field_with_its_value() -> None:
    for pattern in wordings("rival"):
        assert all(slot in pattern for slot in ("{other}", "{l}", "{v}")), pattern


def test_a_record_is_told_beside_values_of_other_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LONG", 1.0)
    monkeypatch.setattr(records, "RIVAL", 0.0)
    plain = [records.invent(Random(seed)) for seed in range(40)]
    monkeypatch.setattr(records, "RIVAL", 1.0)
    beside = [records.invent(Random(seed)) for seed in range(40)]
    for before, record in zip(plain, beside, strict=True):
        assert record.facts == before.facts
        assert record.name == before.name
        assert not any(slot in record.text for slot in ("{other}", "{l}", "{v}"))
    # Fields that a record does not tell are told of others: a reader has to look whose they are.
    assert sum(any(record.nouns[field] in record.text for field in record.untold) for record in beside) > sum(
        any(record.nouns[field] in record.text for field in record.untold) for record in plain
    )


def test_brief_records_are_shorter() -> None:
    lengths = [
        sum(len(records.invent(Random(seed), brief=brief).text) for seed in range(100)) for brief in (True, False)
    ]
    assert lengths[0] < 0.7 * lengths[1]
