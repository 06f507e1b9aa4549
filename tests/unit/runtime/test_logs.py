"""What a line of log looks like."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from aurora_runtime.logs import configure_logging


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_event_keys_level_logger_and_time(stream: io.StringIO) -> None:
    configure_logging("info", stream=stream)

    structlog.get_logger("aurora.test").info("trainer job applied", job="a", attempt=2)

    [line] = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "trainer job applied",
        "job": "a",
        "attempt": 2,
        "level": "info",
        "logger": "aurora.test",
    }


def test_bound_context_is_on_every_line(stream: io.StringIO) -> None:
    configure_logging("info", stream=stream)

    with structlog.contextvars.bound_contextvars(namespace="team"):
        structlog.get_logger("aurora.test").info("one")
        logging.getLogger("aiohttp.server").warning("two")

    assert [(line["event"], line["namespace"]) for line in lines(stream)] == [("one", "team"), ("two", "team")]


def test_an_exception_is_part_of_the_line(stream: io.StringIO) -> None:
    configure_logging("info", stream=stream)

    try:
        raise ValueError("no such column")
    except ValueError:
        structlog.get_logger("aurora.test").exception("reconcile failed")

    [line] = lines(stream)
    assert "ValueError: no such column" in line["exception"]


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    configure_logging("WARNING", stream=stream)

    structlog.get_logger("aurora.test").info("quiet")
    structlog.get_logger("aurora.test").warning("loud")

    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_values_that_json_does_not_know_are_written_as_text(stream: io.StringIO) -> None:
    configure_logging("info", stream=stream)

    structlog.get_logger("aurora.test").info("odd", value=frozenset({1}), numbers={1: "one"})

    [line] = lines(stream)
    assert (line["value"], line["numbers"]) == ("frozenset({1})", {"1": "one"})
