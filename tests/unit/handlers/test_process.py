"""The process around Kopf."""

import logging

import pytest

from stopgap.handlers.process import Retried


@pytest.mark.parametrize(
    ("level", "message", "becomes"),
    [
        pytest.param(
            logging.ERROR, "Request attempt #1 failed; will retry: GET /apis -> TimeoutError()", logging.WARNING, id="what is repeated"
        ),
        pytest.param(logging.ERROR, "Request attempt #9 failed; escalating: GET /apis -> TimeoutError()", logging.ERROR, id="what is not"),
        pytest.param(logging.INFO, "Request attempt #1 failed; will retry: GET /apis", logging.INFO, id="what was no error before"),
    ],
)
def test_a_request_that_kopf_repeats_is_no_error(level: int, message: str, becomes: int) -> None:
    record = logging.LogRecord("kopf._cogs.clients.watching", level, "api.py", 1, message, (), None)
    assert Retried().filter(record)
    assert (record.levelno, record.levelname) == (becomes, logging.getLevelName(becomes))
