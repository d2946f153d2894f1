"""An encoder that takes its time and notes what it did, for processes that get killed."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from camml.encoders import Vectors
from camml.encoders.hashed import HashedEncoder


class SlowEncoder(HashedEncoder):
    """The hashed encoder, which writes a line for each text to `log`, and sleeps."""

    def __init__(self, log: Path, seconds: float, fatal: str | None = None) -> None:
        super().__init__(dim=64)
        self.log = log
        self.seconds = seconds
        self.fatal = fatal

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """As it is; a text `fatal` ends the process."""
        if self.fatal in texts:
            os._exit(1)
        time.sleep(self.seconds)
        vectors = super().embed_texts(texts)
        with self.log.open("a") as file:
            file.write("".join(f"{os.environ.get('CAMML_TEST_NODE', '')} {os.getpid()} {text}\n" for text in texts))
        return vectors
