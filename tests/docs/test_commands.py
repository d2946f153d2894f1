"""The commands on all pages: their verbs are there, with the flags they are given."""

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.test_advice import PARSERS, flags_of

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("models/*/*.md"), *ROOT.glob("examples/*/*.md")]
)
BEGINNING = re.compile(r"(?:^|`|\$ |\(|&& |; )(camml [a-z][^`]*)")


def commands(page: Path) -> list[str]:
    """The commands of a page, those over several lines joined."""
    text = re.sub(r"\\\n\s*", " ", page.read_text("utf-8"))
    return [match[1] for line in text.splitlines() for match in BEGINNING.finditer(line.strip())]


def words_of(command: str) -> list[str]:
    """The words of a command without the remark behind it, and without what its output is piped into."""
    lexer = shlex.shlex(command.replace("'", '"'), posix=True, punctuation_chars=True)
    lexer.commenters = "#"
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|;&>"):
            break
        words.append(word)
    return words[1:]


def verb_of(words: list[str]) -> str:
    """The verb that a command begins with; "" for none."""
    return next((" ".join(words[:n]) for n in (3, 2, 1) if " ".join(words[:n]) in PARSERS), "")


def mistakes(given: list[str]) -> list[str]:
    """What is wrong with commands."""
    wrong = []
    for command in given:
        try:
            words = words_of(command)
        except ValueError:  # a quotation that is cut off, in running text
            words = command.split()[1:]
        verb = verb_of(words)
        flags = [word.partition("=")[0].rstrip(",.:)") for word in words if re.match(r"--[a-z]", word)]
        if not verb:
            wrong.append(f"no such verb: {command!r}")
        elif unknown := set(flags) - flags_of(verb) - {"--help", "--json"}:
            wrong.append(f"{' '.join(sorted(unknown))}: not of {verb}: {command!r}")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_have_verbs_and_flags_that_are_there(page: Path) -> None:
    assert mistakes(commands(page)) == []


def test_commands_are_seen_and_their_mistakes_too() -> None:
    assert len(mistakes(["camml ask x --crystal-ball", "camml guess", "camml store build x --shots 3"])) == 3
    assert sum(len(commands(page)) for page in PAGES) > 150
    assert words_of("camml ask 'what is it' --store x  # a remark --y")[-2:] == ["--store", "x"]
    assert verb_of(["store", "build", "x"]) == "store build"
