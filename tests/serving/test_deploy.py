"""The files for people who deploy say what the program understands."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from camml.cli import build_parser
from camml.weights import DEFAULT_MODEL, SHIPPED

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def load(name: str) -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((DEPLOY / name).read_text())


def entrypoint() -> list[str]:
    match = re.search(r"^ENTRYPOINT (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert match
    return [str(word) for word in load_words(match[1])]


def load_words(text: str) -> list[str]:
    import json

    words: list[str] = json.loads(text)
    return words


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_compose_files_give_options_that_there_are(name: str) -> None:
    service = load(name)["services"]["camml"]
    program, *arguments = [*entrypoint(), *service["command"]]
    assert program == "camml"
    args = build_parser().parse_args(arguments)
    assert args.api_keys == Path("/run/secrets/api_keys")
    assert args.host == "0.0.0.0"


def test_the_cpu_file_is_whole_and_private() -> None:
    document = load("compose.yaml")
    service = document["services"]["camml"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert set(service["secrets"]) <= set(document["secrets"])
    named = [volume.split(":")[0] for volume in service["volumes"] if not volume.startswith(".")]
    assert set(named) == set(document["volumes"])
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace > build_parser().parse_args(["serve"]).drain_seconds


def test_the_image_holds_the_default_model() -> None:
    """The package names it by a link out of `src`, which must lead somewhere in the image too."""
    [link] = (path for path in SHIPPED.iterdir() if path.name == DEFAULT_MODEL)
    place = link.resolve().relative_to(DEPLOY.parent)
    assert f"COPY {place} ./{place}\n" in DOCKERFILE
    assert f"!{place}" in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()


def test_the_image_copies_what_there_is_and_runs_as_nobody_special() -> None:
    sources = [words[0] for words in re.findall(r"^COPY (?!--from)(.+) \./?\S*$", DOCKERFILE, re.MULTILINE)]
    assert sources
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        assert all((DEPLOY.parent / word).exists() for word in source.split()), source
    assert "USER camml" in DOCKERFILE[DOCKERFILE.rindex("FROM") :]
    assert ":latest" not in DOCKERFILE
    assert all(":" in image for image in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))


def test_the_systemd_unit() -> None:
    unit = (DEPLOY / "camml.service").read_text()
    match = re.search(r"^ExecStart=\S+/camml (.*)$", unit, re.MULTILINE)
    assert match
    args = build_parser().parse_args(shlex.split(match[1]))
    stop = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert stop
    assert int(stop[1]) > args.drain_seconds
    if program := shutil.which("systemd-analyze"):
        said = subprocess.run([program, "verify", str(DEPLOY / "camml.service")], capture_output=True, text=True).stderr
        about = [line for line in said.splitlines() if "camml.service" in line and "is not executable" not in line]
        assert about == []
