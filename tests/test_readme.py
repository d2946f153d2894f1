"""The commands of the README reach what it promises."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_store_that_the_small_model_answers_from_is_built_with_its_maps() -> None:
    commands = next(block for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) if "store build" in block)
    mini = re.search(r"^MINI=(\S+)", commands, re.MULTILINE)
    heads = re.search(r"camml store build .*heads=(\S+)", commands)
    assert mini
    assert heads
    assert "--model $MINI" in commands
    assert (ROOT / heads[1].replace("$MINI", mini[1])).is_file()


def test_the_example_in_python_opens_the_store_with_the_encoder_that_built_it() -> None:
    example = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "Retriever" in block)
    heads = re.search(r'heads="([^"]+)"', example)
    assert heads
    assert (ROOT / heads[1]).is_file()
    compile(example, "README.md", "exec")
