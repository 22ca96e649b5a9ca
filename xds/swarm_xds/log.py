"""Structured logs: one event a line, on standard error, for people or for programs.

Field names are the same everywhere: ``service``, ``label``, ``node``, ``fleet``, ``type_url``, ``version``, ``error``.
"""

import logging
import sys
from typing import Literal

import structlog


def configure(level: str, style: Literal["console", "json"]) -> None:
    """Set up logging for the process."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(sort_keys=True)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
