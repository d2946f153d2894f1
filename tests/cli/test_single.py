"""Options that name one input and are given twice."""

import pytest

from camml.cli import build_parser, main

ASK = ["ask", "what"]
SEARCH = ["store", "search", "--store", "A"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*ASK, "--store", "A", "--store", "B"], "store: takes one value, but is given 'A' and then 'B'; `camml"),
        ([*ASK, "--image", "a.png", "--ima", "b"], "image: takes one value, but is given 'a.png' and then 'b'; leave"),
        ([*ASK, "--context", "a", "--context", "b"], "context: takes one value"),
        ([*SEARCH, "--store", "B"], "store: takes one value"),
        ([*SEARCH, "--text", "a", "--text", "b"], "text: takes one value, but is given 'a' and then 'b'; leave"),
        (["store", "build", "x", "--out", "A", "--out", "B"], "out: takes one value"),
    ],
)  # fmt: skip
def test_the_second_value_is_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    errors = capsys.readouterr().err
    assert (ended.value.code, errors.count("\n")) == (2, 1)
    assert f"camml: error: argument --{said}" in errors


def test_the_same_value_again_and_other_options_pass() -> None:
    parse = build_parser().parse_args
    again = ["--shots", "2", "--shots", "3", "--device", "cpu", "--device", "cuda"]
    args = parse([*ASK, "--store", "A", "--store", "A", "--model", "a", "--model", "b", *again])
    assert (args.store, args.shots, args.device, args.model) == ("A", 3, "cuda", "b")
    assert parse([*ASK, "--store", "A"]).image is None
    assert parse(["serve", "--store", "A", "--store", "B"]).store == ["A", "B"]
    assert parse(["store", "build", "x", "--out", "A", "--vectors", "memory"]).store == "memory"
