"""Logs for machines: one JSON object a line, without what people asked or showed."""

import json
import logging
import sys
import time
import traceback
from typing import Any, TextIO

logger = logging.getLogger("camml.serving")


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON. Of an exception only its kind and place: its message may quote a question."""

    def __init__(self, content: bool = False) -> None:
        super().__init__()
        self._content = content

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, Any] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            kind, error, trace = record.exc_info
            entry["error"] = kind.__name__
            entry["trace"] = [f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(trace)]
            if self._content:
                entry["message"] = str(error)
        return json.dumps(entry, ensure_ascii=False, default=str)


def configure(content: bool = False, stream: TextIO | None = None) -> None:
    """Send the logs of this server and of uvicorn to `stream` (standard error)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(content))
    for name in ("camml", "uvicorn"):
        named = logging.getLogger(name)
        named.handlers = [handler]
        named.propagate = False
        named.setLevel(logging.INFO)


def event(name: str, **fields: Any) -> None:
    """Log that something happened."""
    logger.info(name, extra={"fields": fields})
