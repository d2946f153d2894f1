"""What messages advise works as it is printed: flags belong to the verbs that can raise them, and commands parse."""

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import camml
from camml.cli import build_parser
from camml.training import recipes

SOURCE = Path(camml.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*[a-z0-9]")
COMMANDS = re.compile(r"`(camml [a-z][^`]*)`")
STORES = ["store info", "store search", "ask", "eval run", "neighbors", "serve"]
"""Verbs that open a datastore with an encoder."""

RAISED_BY = {
    "assistant/": ["ask", "serve", "eval run", "neighbors"],
    "cli/_answering.py": ["ask"],
    "cli/_ask_": ["ask"],
    "cli/_bench_": ["bench-data"],
    "cli/_eval_": ["eval run", "eval judge", "eval score", "eval report"],
    "cli/_store": [],
    "cli/_ray.py": ["store build", "store add", "neighbors"],
    "cli/_output.py": [],
    "cli/_datastore.py": STORES,
    "cli/": [],  # a verb's own file
    "data/": ["train"],
    "data/scienceqa.py": ["convert"],
    "data/shards.py": ["convert"],
    "datastore/calibration.py": ["store calibrate"],
    "datastore/checks.py": None,  # of a command, which is parsed below
    "datastore/indexing.py": ["store index"],
    "datastore/manifest.py": None,  # of two commands, which are parsed below
    "datastore/official.py": STORES,
    "datastore/syncing.py": ["store sync"],
    "datastore/table.py": ["store add"],
    "datastore/targets.py": ["store export", "align"],
    "distributed/": ["store build", "store add", "neighbors"],
    "evaluation/": ["eval run", "eval judge", "eval score", "eval report"],
    "factpix/drawing.py": None,  # of the script that draws
    "factpix/": ["bench-data"],
    "formats/webdataset.py": None,  # of tar
    "features/": ["train"],
    "formats/__init__.py": ["store build", "store add"],
    "formats/_walk.py": None,  # of a command, which is parsed below
    "mcp_server.py": ["mcp"],
    "model/": ["train"],
    "serving/engines/_split.py": ["serve"],
    "ownpix/": ["bench-data"],
    "reading/": ["bench-data"],
    "neighbors.py": ["neighbors"],
    "packages.py": None,  # of pip and npm
    "serving/": ["serve"],
    "training/reports.py": None,  # of git, and of the commands on a model card, which are tested there
    "training/": ["train"],
}
"""By the beginning of a file's path the verbs from which its messages reach a person; each must have the flag.

None where the flags are another program's; a verb's own file is asked for by its name. `formats` is read by `ask` and
`serve` too, which have ids mended and raise nothing about them.
"""

ELSEWHERE = {
    "cli/align.py": {"--encoder": "made by"},  # of the store, when it was built
    "cli/train.py": {"--flag": "CONFIG.yaml"},
    "datastore/official.py": {"--encoder": "camml serve", "--store": "--verify", "--verify": "camml store info"},
    "training/processes.py": {"--nproc_per_node": "torchrun"},
    "training/recipes.py": {"--flag": "CONFIG.yaml"},
    "training/rows.py": {"--k": "camml neighbors"},
}
"""Flags that a message names as those of another command, which it names too."""


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each verb and each action, by name."""
    results: dict[str, argparse.ArgumentParser] = {}

    def walk(name: str, parser: argparse.ArgumentParser) -> None:
        results[name] = parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for word, below in action.choices.items():
                    walk(f"{name} {word}".strip(), below)

    walk("", build_parser())
    return results


PARSERS = parsers()


def flags_of(verb: str) -> set[str]:
    """All flags of a verb, with those of its actions."""
    if verb == "train":
        names = recipes.names()
        return {f"--{name}" for name in names} | {f"--{name.replace('_', '-')}" for name in names} | {"--help"}
    own = {flag for action in PARSERS[verb]._actions for flag in action.option_strings}
    return own | {flag for name in PARSERS if name.startswith(f"{verb} ") for flag in flags_of(name)}


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """The texts in a file that are not documentation, an f-string as one text with `{}` for what is filled in."""
    tree = ast.parse(file.read_text())
    skipped: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for item in body if isinstance(body, list) else []:
            if isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
                skipped.add(id(item.value))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
            skipped |= {id(part) for part in node.args}
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


FILES = [file for file in sorted(SOURCE.rglob("*.py")) if any(FLAG.search(text) for _, text in texts(file))]


def verbs_of(path: str) -> list[str] | None:
    """The verbs that can raise what a file says."""
    begin = max((name for name in RAISED_BY if path.startswith(name)), key=len, default=None)
    assert begin is not None, f"{path} names flags: say in RAISED_BY which verbs raise them"
    verbs = RAISED_BY[begin]
    if path.startswith("cli/") and verbs == []:
        name = Path(path).stem.strip("_").replace("_", " ")
        wanted = name.replace(" ", "-") if name.replace(" ", "-") in PARSERS else name
        return [wanted] if wanted in PARSERS else None if path == "cli/_output.py" else ["store"]
    return verbs


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_every_flag_that_a_message_names_is_one_of_the_verb(file: Path) -> None:
    path = file.relative_to(SOURCE).as_posix()
    verbs = verbs_of(path)
    wrong = []
    for line, text in texts(file):
        text = " ".join(text.split())
        for flag in FLAG.findall(COMMANDS.sub("", text)):  # commands are looked at below
            other = ELSEWHERE.get(path, {}).get(flag)
            if other and other in text:
                continue
            if verbs is not None:
                # a message that several verbs raise names a flag that all have; one room's verbs raise different ones
                has = [flag in flags_of(verb) for verb in verbs]
                shared = path.startswith(("datastore/", "formats/", "distributed/", "cli/_ray"))
                if not (all(has) if shared else any(has)):
                    wrong.append(f"line {line}: {flag} is no flag of {', '.join(verbs)}: {text!r}")
    assert wrong == []


def commands() -> list[tuple[str, str]]:
    """All commands in backticks, with their places."""
    results = []
    for file in sorted(SOURCE.rglob("*.py")):
        for line, text in texts(file):
            for command in COMMANDS.findall(" ".join(text.split())):
                results.append((f"{file.relative_to(SOURCE)}:{line}", command))
    return results


@pytest.mark.parametrize(("place", "command"), commands())
def test_every_command_that_a_message_names_is_one(place: str, command: str) -> None:
    """Its verb is there with its flags, and if it has arguments none that is needed is left out."""
    words = [word for word in shlex.split(command.replace("{}", "X"))[1:] if word not in ("...", "|", "FLAGS")]
    verb = next((" ".join(words[:n]) for n in (3, 2, 1) if " ".join(words[:n]) in PARSERS), None)
    assert verb, f"{place}: no verb in {command!r}"
    rest = words[len(verb.split()) :]
    unknown = [word for word in rest if word.startswith("--") and word not in flags_of(verb) | {"--help"}]
    assert unknown == [], f"{place}: {command!r}"
    complete = any(not word.startswith("-") for word in rest) and "..." not in command and verb != "train"
    if complete and verb in PARSERS:
        PARSERS[verb].parse_args([("1" if word == "N" else word) for word in rest])
