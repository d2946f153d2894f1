"""After `import camml`, and nothing else of it, transformers' Auto classes and pipelines take folders of CaMML."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import tiny
from tests.fork_server import LIBRARIES, ForkServer

ROOT = Path(__file__).parents[1]

ORDERS = {
    "camml first": "import camml, sys\nassert 'transformers' not in sys.modules\nimport transformers\n",
    "transformers first": "from transformers import AutoModelForImageTextToText, AutoProcessor\nimport camml\n",
}


Said = Callable[[str, Path], list[str]]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Said]:
    """Run a program in a folder, by itself; return the lines it printed.

    Programs are children of a process that has imported torch but neither transformers nor camml.
    """
    server = ForkServer(tmp_path_factory.mktemp("programs"), LIBRARIES)

    def run(code: str, folder: Path) -> list[str]:
        unread = "import sys\nassert not {'camml', 'transformers'} & set(sys.modules)\n"
        done = server.run("-c", unread + code, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert "is not supported for" not in done.stderr  # what a pipeline says of an unknown model
        return done.stdout.splitlines()

    yield run
    server.close()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of parts, another one that was added to a LLaVA, and a picture."""
    place = tmp_path_factory.mktemp("door")
    model, processor = tiny.model(), tiny.processor()
    for name, (made, reader) in {"parts": (model, processor), "added": tiny.added("llava")}.items():
        made.save_pretrained(place / name)
        reader.save_pretrained(place / name)
    tiny.image(place, "red", (220, 20, 20))
    tiny.image(place, "green", (20, 200, 40))
    return place


@pytest.mark.long
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["parts", "added"])
def test_auto_classes_load_a_folder(said: Said, folders: Path, order: str, name: str) -> None:
    code = ORDERS[order] + (
        "from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor\n"
        f"for auto in (AutoConfig, AutoModelForImageTextToText, AutoProcessor):\n"
        f"    print(type(auto.from_pretrained({name!r})).__name__)"
    )
    assert said(code, folders) == ["CamMLConfig", "CamMLForConditionalGeneration", "CamMLProcessor"]


@pytest.mark.long
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("auto", ["AutoConfig", "AutoModelForImageTextToText", "AutoProcessor"])
def test_each_of_them_by_itself(said: Said, folders: Path, order: str, auto: str) -> None:
    code = f"{ORDERS[order]}from transformers import {auto}\nprint(type({auto}.from_pretrained('parts')).__name__)"
    assert said(code, folders)[0].startswith("CamML")


@pytest.mark.long
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["parts", "added"])
def test_a_pipeline_answers_chat_messages(said: Said, folders: Path, order: str, name: str) -> None:
    code = ORDERS[order] + (
        "from transformers import pipeline\n"
        f"pipe = pipeline('image-text-to-text', model={name!r})\n"
        "for image in (['red.png'], ['green.png'], []):\n"
        "    parts = [{'type': 'image', 'url': file} for file in image] + [{'type': 'text', 'text': 'what is it'}]\n"
        "    chat = [{'role': 'user', 'content': parts}]\n"
        "    out = pipe(text=chat, max_new_tokens=8, min_new_tokens=8, return_full_text=False)\n"
        "    print(ascii(out[0]['generated_text']))"
    )
    answers = said(code, folders)
    assert len(set(answers)) == 3, "each of two pictures and of none makes a difference"


@pytest.mark.long
def test_a_model_of_another_kind_does_not_bring_camml_in(said: Said, folders: Path) -> None:
    code = (
        "import camml, sys\nfrom transformers import AutoConfig, AutoModelForCausalLM\n"
        "print(AutoConfig.for_model('llama').model_type, 'camml.model' in sys.modules)"
    )
    assert said(code, folders) == ["llama False"]


@pytest.mark.long
def test_an_unknown_kind_is_still_unknown(said: Said, folders: Path) -> None:
    (folders / "odd").mkdir()
    (folders / "odd" / "config.json").write_text('{"model_type": "crystal_ball"}')
    code = (
        "import camml\nfrom transformers import AutoConfig\n"
        "try:\n    AutoConfig.from_pretrained('odd')\n"
        "except ValueError as error:\n    print('crystal_ball' in str(error))"
    )
    assert said(code, folders) == ["True"]


@pytest.mark.long
def test_the_command_line_stays_quick() -> None:
    """The processor time of `camml --help` beyond that of an empty program."""

    def seconds(*command: str) -> float:
        def once() -> float:
            before = _children()
            subprocess.run([sys.executable, *command], capture_output=True, check=True)
            return _children() - before

        return min(once() for _ in range(3))

    assert seconds("-m", "camml", "--help") - seconds("-c", "pass") < 0.6


def _children() -> float:
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
