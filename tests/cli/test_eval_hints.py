"""Hints name flags and commands that are there: every flag in a message of evaluation, and every command in it."""

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import camml
from camml.cli import build_parser, main

SOURCE = Path(camml.__file__).parent
FILES = sorted([*(SOURCE / "evaluation").rglob("*.py"), *(SOURCE / "chat_api").glob("*.py"),
                *(SOURCE / "cli").glob("*eval*.py"), SOURCE / "answering" / "api.py", SOURCE / "cli" / "fetch.py",
                *(SOURCE / "weights").glob("*.py")])  # fmt: skip
COMMAND = re.compile(r"(?:camml|python -m camml) ([a-z]+(?:-[a-z]+)*(?: [a-z]+(?:-[a-z]+)*)*)([^`]*)")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z_-]*")


def messages(file: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each string that may be shown; values in it become MODEL."""
    tree = ast.parse(file.read_text("utf-8"))
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and isinstance(node.body[0], ast.Expr)
    }
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "VALUE" for part in node.values]
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (documents | inner):
            yield node.lineno, node.value


def parser_of(words: list[str]) -> argparse.ArgumentParser:
    """The parser of a command; what is no verb or action ends it."""
    parser: argparse.ArgumentParser = build_parser()
    for word in words:
        actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not actions or word not in actions[0].choices:
            break
        parser = actions[0].choices[word]
    return parser


def flags(parser: argparse.ArgumentParser) -> set[str]:
    return {flag for action in parser._actions for flag in action.option_strings}


def eval_flags() -> set[str]:
    """The flags of all actions of `camml eval`, and of `camml fetch`."""
    evaluation = parser_of(["eval"])
    [actions] = [action for action in evaluation._actions if isinstance(action, argparse._SubParsersAction)]
    return flags(parser_of(["fetch"])).union(*map(flags, actions.choices.values()))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_every_flag_in_a_message_is_there(file: Path) -> None:
    known = eval_flags()
    for line, text in messages(file):
        commands = list(COMMAND.finditer(text))
        for command in commands:
            words = command[1].split()
            parser = parser_of(words)
            assert parser.prog != "camml", f"{file.name}, line {line}: no verb {words[0]!r}"
            assert set(FLAG.findall(command[0])) <= flags(parser), f"{file.name}, line {line}: {text}"
            told = set(FLAG.findall(command[0]))
            # "`camml eval run --max-new-tokens N`" repeats a command that is known, and "..." leaves something out
            if told and "..." not in command[0] and not parser.prog.endswith("eval run"):
                required = (action for action in parser._actions if action.required and action.option_strings)
                lacking = {action.option_strings[-1] for action in required} - told
                assert not lacking, f"{file.name}, line {line}: lacks {lacking}"
        alone = COMMAND.sub("", text)
        assert set(FLAG.findall(alone)) <= known, f"{file.name}, line {line}: {text}"


def test_a_model_that_is_not_here_may_be_behind_an_endpoint(tmp_path, capsys) -> None:
    from tests.layouts import write_benchmarks

    write_benchmarks(tmp_path)
    assert main(["eval", "run", "pope", "--model", "gpt-x", "--context", "none", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "no folder 'gpt-x'" in said
    assert "--use api" in said


def test_the_hint_of_a_run_that_needs_a_judge_works_as_printed(tmp_path, capsys, monkeypatch) -> None:
    import shlex

    from tests.chat_server import chat_server
    from tests.layouts import write_benchmarks

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    write_benchmarks(tmp_path / "the data")
    with chat_server(lambda *_: "1.0") as (url, _):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        command = ["eval", "run", "mmvet", "--use", "api", "--model", "m", "--context", "none", "--out", "my runs"]
        assert main([*command, "--data", "the data"]) == 0
        hint = re.search(r"`camml (eval judge .*?)`", capsys.readouterr().out)
        assert hint
        assert main([word.replace("MODEL", "j") for word in shlex.split(hint[1])]) == 0
        score = capsys.readouterr().out.split("score them with: camml ")[1]
        assert main(shlex.split(score)) == 0
    assert "total" in capsys.readouterr().out
