"""Run folders: portions, claims, parts."""

import pytest

from camml.errors import OptionError
from camml.evaluation.files import write_lines
from camml.evaluation.folder import RunFolder, differences, portions
from camml.evaluation.task import Item

ITEMS = [Item(str(number), number, "text") for number in range(10)]


def test_portions_keep_the_order_and_hold_four_batches() -> None:
    result = portions(ITEMS, 2)
    assert [item.id for portion in result for item in portion.items] == [item.id for item in ITEMS]
    assert [[len(batch) for batch in portion.batches] for portion in result] == [[2, 2, 2, 2], [2]]


def test_more_questions_leave_the_full_portions_as_they_were() -> None:
    assert portions(ITEMS[:8], 2) == portions(ITEMS, 2)[:1]


def test_a_part_is_there_only_with_all_its_questions(tmp_path) -> None:
    folder, [portion, _] = RunFolder(tmp_path), portions(ITEMS, 2)
    assert folder.part(portion) is None
    records = [{"id": item.id, "answer": "a"} for item in portion.items]
    folder.keep(portion, records[:-1])
    assert folder.part(portion) is None
    folder.keep(portion, records)
    assert folder.part(portion) == records


@pytest.mark.parametrize("damaged", [{}, {"answer": None}, {"answer": 5}])
def test_records_without_an_answer_are_made_again(tmp_path, damaged: dict[str, object]) -> None:
    folder = RunFolder(tmp_path)
    records = [{"id": item.id, "answer": "a"} for item in ITEMS]
    write_lines(tmp_path / "log.jsonl", records)
    assert folder.log(ITEMS) == records
    write_lines(tmp_path / "log.jsonl", [*records[:-1], {"id": records[-1]["id"], **damaged}])
    assert folder.log(ITEMS) is None


def test_waiting_for_the_others_ends(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, parts = RunFolder(tmp_path), portions(ITEMS, 2)
    folder.keep(parts[0], [{"id": item.id, "answer": "a"} for item in ITEMS[:8]])
    monkeypatch.setattr("camml.evaluation.folder.PATIENCE", 0.01)
    with pytest.raises(OptionError, match="has not given portion 1"):
        folder.collect(parts)


def test_what_another_run_of_the_same_folder_completed_is_taken(tmp_path) -> None:
    """Its end takes away the portions of both; those that this run has still written do not count."""
    folder, parts = RunFolder(tmp_path), portions(ITEMS, 2)
    records = [{"id": item.id, "answer": "a"} for item in ITEMS]
    folder.complete(records, [])
    folder.keep(parts[1], records[8:])
    folder.keep_seconds(parts[1], {"answering": 1.0})
    for alone in (True, False):
        assert folder.collect(parts, alone=alone) == records
    assert folder.seconds() == []


def test_the_log_of_before_is_not_taken_for_what_other_processes_ask_anew(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, parts = RunFolder(tmp_path), portions(ITEMS, 2)
    records = [{"id": item.id, "answer": "", "unanswered": "empty reply"} for item in ITEMS]
    folder.complete(records, [])
    before = folder.mark()
    folder.keep(parts[0], records[:8])
    monkeypatch.setattr("camml.evaluation.folder.PATIENCE", 0.01)
    with pytest.raises(OptionError, match="has not given portion 1"):
        folder.collect(parts, before=before)
    assert folder.collect(parts, before=before, alone=True) == records


def test_what_another_run_asked_anew_is_taken_by_several_processes(tmp_path) -> None:
    folder, parts = RunFolder(tmp_path), portions(ITEMS, 2)
    folder.complete([{"id": item.id, "answer": "", "unanswered": "empty reply"} for item in ITEMS], [])
    before = folder.mark()
    records = [{"id": item.id, "answer": "a"} for item in ITEMS]
    folder.complete(records, [])
    assert folder.collect(parts, before=before) == records


def test_several_processes_do_not_wait_where_their_portions_were_taken_away(tmp_path) -> None:
    folder, parts = RunFolder(tmp_path), portions(ITEMS, 2)
    folder.complete([{"id": item.id, "answer": "", "unanswered": "empty reply"} for item in ITEMS], [])
    for path in (tmp_path, tmp_path / "new"):
        folder = RunFolder(path)
        with pytest.raises(OptionError, match=r"portion 0 of .* is gone: another run works there"):
            folder.collect(parts, before=folder.mark())


def test_nobody_is_waited_for_alone(tmp_path) -> None:
    with pytest.raises(OptionError, match=r"portion 0 of .* is gone.*start the run again"):
        RunFolder(tmp_path).collect(portions(ITEMS, 2), alone=True)


def test_a_folder_is_claimed_for_one_run(tmp_path) -> None:
    folder = RunFolder(tmp_path / "new")
    folder.claim({"model": {"hash": "a"}, "shots": 1})
    folder.claim({"shots": 1, "model": {"hash": "a"}})
    with pytest.raises(OptionError, match=r'model\.hash: "a" there, "b" here; shots: 1 there, null here'):
        folder.claim({"model": {"hash": "b"}})


def test_differences_are_named_by_their_path() -> None:
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ["a.c: 2 there, 3 here"]
    assert differences({"a": [1]}, {"a": [1]}) == []
