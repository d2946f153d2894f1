"""The commands of the README reach what it promises."""

import re
from pathlib import Path

from camml import weights
from camml.model.retrieval_settings import settings_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_store_that_the_small_model_answers_from_is_built_for_it() -> None:
    commands = next(block for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) if "store build" in block)
    named = {
        verb: re.findall(rf"camml {verb} [^#\n]*--model (\S+)", commands) for verb in ("store build", "ask", "serve")
    }
    assert len(set(map(tuple, named.values()))) == 1, named  # one model for all of them, named or not
    [model] = {model for models in named.values() for model in models} or {weights.DEFAULT_MODEL}
    assert Path(str(settings_of(weights.folder(model)).encoder_options["heads"])).is_file()


def test_the_example_in_python_takes_the_same_model() -> None:
    example = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "camml.load" in block)
    [model] = re.findall(r'camml\.load\("([^"]+)"\)', example)
    assert weights.folder(model).is_dir()
    compile(example, "README.md", "exec")


def test_it_is_short() -> None:
    assert len(README.split()) <= 900


def test_its_links_lead_to_files() -> None:
    targets = {target for target in re.findall(r"\]\(([^)#]+)", README) if "://" not in target}
    assert len(targets) > 20
    assert [target for target in sorted(targets) if not (ROOT / target).exists()] == []
