"""Log lines: what they have in common is told, what tells them apart is folded, and what is secret is never shown."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopgap.model.logs import LONGEST_SHAPE, MOST_TOLD, LogCount, redacted, shape

HIDDEN = "hunter2"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("ERROR db: connection refused", "ERROR db: connection refused", id="words stay"),
        pytest.param("2026-11-23T23:00:01.000001Z ERROR at 12:03:04,123", "# ERROR at #", id="times are folded"),
        pytest.param(
            "GET /orders/4711/items 500 in 12.5ms", "GET /orders/#/items # in #ms", id="numbers are folded, the words of a path stay"
        ),
        pytest.param("dial tcp 10.0.0.17:5432: refused", "dial tcp #: refused", id="an address is a number"),
        pytest.param("order 123e4567-e89b-12d3-a456-426614174000 lost", "order … lost", id="a uuid is an id"),
        pytest.param("at 0xc000123 and deadbeef01", "at … and …", id="hexadecimal numbers are ids"),
        pytest.param("pod api-6d9f8b7c5-x2x9z is gone", "pod … is gone", id="a generated name is an id"),
        pytest.param("user \"bob\" and 'eve' failed", "user “…” and “…” failed", id="quoted values are folded"),
        pytest.param('level=error msg="db is down" n=3', 'level=error msg="db is down" n=#', id="a quoted sentence stays"),
        pytest.param('{"level":"error","msg":"db: refused","id":"7"}', "db: refused", id="of JSON, what it says"),
        pytest.param('{"message":"failed","error":"timeout after 3s"}', "failed: timeout after #s", id="of JSON, the error too"),
        pytest.param('{"level":"error", cut', "{“…”:“…”, cut", id="what only looks like JSON is text"),
        pytest.param("\x1b[31mERROR\x1b[0m \u202egnp.exe\x00\r\nx", "ERROR gnp.exe x", id="colours, control and direction characters go"),
        pytest.param("java.lang.NullPointerException (Cart.java:12)", "java.lang.NullPointerException (Cart.java:#)", id="classes stay"),
    ],
)
def test_a_line_is_folded_into_its_shape(line: str, expected: str) -> None:
    assert shape(line.encode()) == expected


@pytest.mark.parametrize(
    "line",
    [
        f"password={HIDDEN}",
        f"DB_PASSWORD: {HIDDEN}",
        f'{{"user":"a","password":"{HIDDEN} {HIDDEN}"}}',
        f'body {{\\"clientSecret\\": \\"{HIDDEN}\\"}} refused',
        f"pwd => '{HIDDEN}'",
        f"login with password {HIDDEN} failed",
        f"mysqldump --password {HIDDEN} --host db",
        f"GET /x?access_token={HIDDEN}&y=1",
        f"X-Api-Key: {HIDDEN}",
        f"Authorization: Basic {HIDDEN}",
        f"sent Cookie: a=1; session={HIDDEN}",
        f"used Bearer {HIDDEN}A",
        f"postgres://app:{HIDDEN}@db.shop.svc/orders: timeout",
        f"amqp://{HIDDEN}:x@mq",
        f"mail to {HIDDEN}@example.com bounced",
        f"eyJ{HIDDEN}.eyJ{HIDDEN}.{HIDDEN}",
        f"ghp_{HIDDEN}{HIDDEN}{HIDDEN}",
        f"sk-{HIDDEN}{HIDDEN}abcdef",
        f"AccountKey={HIDDEN};EndpointSuffix=x",
        f"-----BEGIN RSA PRIVATE KEY-----{HIDDEN}",
        f"secret: |{HIDDEN}",
    ],
)
def test_what_looks_like_a_secret_is_not_shown(line: str) -> None:
    assert HIDDEN not in redacted(line)
    assert "hunter" not in shape(line.encode())


NAMES = st.sampled_from(["password", "DB_PASSWORD", "api_key", "client-secret", "token", "accessKey", "session_id"])
SECRETS = st.text(st.characters(codec="ascii", categories=["Lu", "Ll", "Nd"]), min_size=8, max_size=80).map("Q7".__add__)


@given(
    name=NAMES,
    glue=st.sampled_from(["=", ": ", ":", " = ", "=>", '="', "='", '":"', '\\":\\"']),
    secret=SECRETS,
    before=st.text(max_size=40),
)
def test_a_named_secret_is_never_shown(name: str, glue: str, secret: str, before: str) -> None:
    assert secret not in redacted(f"{before} {name}{glue}{secret}")


@given(line=st.binary(max_size=6000))
def test_a_shape_is_short_printable_and_without_a_number(line: bytes) -> None:
    found = shape(line)
    assert len(found) <= LONGEST_SHAPE
    assert found.isprintable()
    assert not any(one.isdecimal() for one in found)


@given(first=st.integers(0, 10**9), second=st.integers(0, 10**9), ids=st.tuples(st.uuids(), st.uuids()))
def test_lines_that_differ_in_numbers_and_ids_have_one_shape(first: int, second: int, ids: tuple[object, object]) -> None:
    one, other = (f"ERROR order {number} of {key} failed after {number}.5ms" for number, key in zip((first, second), ids, strict=True))
    assert shape(one.encode()) == shape(other.encode())


PIECES = [*"\"'-@:/=.\\ {}ae1", "token", "://", "--key ", "password=", "eyJ", "Basic ", "-----BEGIN "]


@given(st.lists(st.sampled_from(PIECES), max_size=12).flatmap(lambda some: st.integers(1, 400).map(lambda times: "".join(some) * times)))
def test_no_line_takes_long_to_fold(line: str) -> None:
    began = time.perf_counter()
    shape(line.encode())
    assert time.perf_counter() - began < 0.2


def counted(*lines: bytes, pattern: str = "ERROR") -> LogCount:
    count = LogCount(pattern)
    for line in lines:
        count.take(line)
    return count


def test_only_what_matches_is_counted_and_the_most_frequent_shapes_are_told() -> None:
    lines = [*(b"ERROR db: refused %d" % one for one in range(180)), *[b"ERROR cart"] * 34, *[b"INFO fine"] * 50]
    found = counted(*lines).digest(3)
    assert (found.lines, found.matching, found.containers, found.missed) == (264, 214, 3, "")
    assert found.shapes == (("ERROR db: refused #", 180), ("ERROR cart", 34))
    assert found.most_frequent() == "most frequent (180): 'ERROR db: refused #'"


def test_many_different_lines_are_counted_and_few_are_kept() -> None:
    words = [f"ERROR {one:b}".replace("0", "a").replace("1", "b").encode() for one in range(3000)]
    count = counted(*words, *[b"ERROR abba"] * 100)
    assert count.digest(1).matching == 3100
    assert len(count.digest(1).shapes) == MOST_TOLD
    assert len(count._known) <= 250
    assert counted(b"INFO fine").digest(1).most_frequent() == ""


def test_an_expression_that_would_never_end_elsewhere_ends_here() -> None:
    began = time.perf_counter()
    assert counted(*[b"a" * 4000 + b"!"] * 20, pattern="(a+)+$").digest(1).matching == 0
    assert time.perf_counter() - began < 1


def test_a_line_that_is_no_text_is_counted() -> None:
    assert counted(b"\xff\xfe ERROR \xff", pattern="(?i)error").digest(1).matching == 1
