"""Who may tell us of alerts: the file, tokens and signatures."""

import hashlib
import hmac
import logging
from datetime import timedelta
from pathlib import Path

import pytest
from tests.conftest import NOW

from stopgap.effects.tokens import SIGNATURE, SIGNED_AT, Credentials, parse

TOKEN, OTHER, KEY = "0123456789abcdef-a", "0123456789abcdef-b", "0123456789abcdef-k"


def credentials(tmp_path: Path, text: str) -> Credentials:
    file = tmp_path / "tokens"
    file.write_text(text)
    return Credentials(file)


def test_a_token_is_recognised_with_the_namespaces_that_it_is_bound_to(tmp_path: Path) -> None:
    known = credentials(tmp_path, f"# who\nbearer {TOKEN} shop, desk # the team\n\nbearer {OTHER}\n")
    found, free = known.bearer(f"Bearer {TOKEN}"), known.bearer(f"bearer  {OTHER}")
    assert found is not None
    assert free is not None
    assert found.namespaces == ("shop", "desk")
    assert [found.may_name(one) for one in ("shop", "desk", "bank", "")] == [True, True, False, False]
    assert free.may_name("bank")
    assert found.key != free.key
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(
    "shown", ["", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer ", f"Bearer {KEY}", "Bearer \udcff"]
)
def test_nobody_else_is_recognised(tmp_path: Path, shown: str) -> None:
    assert credentials(tmp_path, f"bearer {TOKEN}\nhmac {KEY}\n").bearer(shown) is None


@pytest.mark.parametrize(
    "line",
    ["bearer short", f"basic {TOKEN}", TOKEN, "bearer", f"bearer {TOKEN} ../shop", f"bearer {TOKEN} Shop"],
    ids=["too short", "another kind", "no kind", "no secret", "a namespace that is a path", "a namespace that cannot be"],
)
def test_a_line_that_cannot_be_meant_is_left_out_and_named_by_number(line: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert [one.secret.decode() for one in parse(f"bearer {OTHER}\n{line}")] == [OTHER]
    (said,) = caplog.records
    assert said.__dict__["line"] == 2
    assert TOKEN not in caplog.text


def test_a_changed_file_counts_at_once_and_a_lost_one_lets_nobody_in(tmp_path: Path) -> None:
    known = credentials(tmp_path, f"bearer {TOKEN}\n")
    assert known.bearer(f"Bearer {TOKEN}")
    (tmp_path / "tokens").write_text(f"# turned over\nbearer {OTHER}\n")
    assert known.bearer(f"Bearer {TOKEN}") is None
    assert known.bearer(f"Bearer {OTHER}")
    (tmp_path / "tokens").unlink()
    assert known.known() == ()
    assert known.bearer(f"Bearer {OTHER}") is None


def signature(text: bytes) -> str:
    return hmac.new(KEY.encode(), text, hashlib.sha256).hexdigest()


def test_a_body_that_is_signed_as_grafana_signs_is_recognised(tmp_path: Path) -> None:
    known = credentials(tmp_path, f"bearer {TOKEN}\nhmac {KEY} shop\n")
    found = known.signed({SIGNATURE: signature(b"{}")}, b"{}", NOW)
    assert found is not None
    assert found.namespaces == ("shop",)
    assert known.signed({SIGNATURE: signature(b"{}")}, b"{} ", NOW) is None
    assert known.signed({SIGNATURE: ""}, b"{}", NOW) is None


@pytest.mark.parametrize(
    ("minutes", "recognised"),
    [(0, True), (4, True), (-4, True), (6, False), (-6, False)],
    ids=["now", "a little ago", "by a clock that is ahead", "recorded and sent again", "far ahead"],
)
def test_a_signed_time_must_be_near(tmp_path: Path, minutes: int, recognised: bool) -> None:  # noqa: FBT001 - a column of the table
    known = credentials(tmp_path, f"hmac {KEY}\n")
    at = str(int((NOW - timedelta(minutes=minutes)).timestamp()))
    headers = {SIGNED_AT: at, SIGNATURE: signature(f"{at}:{{}}".encode())}
    assert (known.signed(headers, b"{}", NOW) is not None) is recognised


@pytest.mark.parametrize("at", ["yesterday", "9" * 400, "-1"])
def test_a_time_that_is_none_is_no_signature(tmp_path: Path, at: str) -> None:
    known = credentials(tmp_path, f"hmac {KEY}\n")
    assert known.signed({SIGNED_AT: at, SIGNATURE: signature(f"{at}:{{}}".encode())}, b"{}", NOW) is None
