"""What a service logs: a JSON object a line, and never a text or an answer."""

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

logger = logging.getLogger("onetrunk.service")


def log(event: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with its numbers and names."""
    logger.log(level, event, extra={"fields": fields})


def log_fault(event: str, error: BaseException, **fields: Any) -> None:
    """Log where an error came from. Its message is left out: it may quote a text."""
    where = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    log(event, logging.ERROR, **fields, error=type(error).__name__, where=where)


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """What other libraries log has its message as ``message``."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": at, "level": record.levelname.lower()}
        fields = getattr(record, "fields", None)
        if fields is None:
            line |= {"event": record.name, "message": record.getMessage()}
        else:
            line |= {"event": record.getMessage(), **fields}
        return json.dumps(line)


def log_to(stream: TextIO) -> None:
    """Write what this service and its server log to a stream. Notes of the library are left out:
    those about rows that are taught may quote them."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    for name in (logger.name, "uvicorn.error"):
        logging.getLogger(name).handlers = [handler]
        logging.getLogger(name).propagate = False
    logger.setLevel(logging.INFO)
    logging.getLogger("onetrunk").setLevel(logging.CRITICAL)
