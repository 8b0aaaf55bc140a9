"""Queries without literals: what may be shown of them, and that nothing else is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopgap.model.sql import MOST, without_literals


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        pytest.param("select * from a where id = 42 and n = 'x''y'", "select * from a where id = ? and n = ?", id="numbers and strings"),
        pytest.param("select 1 -- of ana@shop\n, 2 /* a /* b */ c */", "select ?", id="comments, also within each other"),
        pytest.param(
            "select b from t1 where x in (1, 2,3)", "select b from t1 where x in (?)", id="a list is folded, a name keeps its number"
        ),
        pytest.param("insert into t values (1, 'a'), (2, 'b')", "insert into t values (?)", id="rows are folded"),
        pytest.param("select E'it\\'s', B'01', x'ff', U&'d', N'e'", "select ?", id="every kind of string"),
        pytest.param("select $$a'b$$, $tag$ c $$ d $tag$, $1", "select ?, $1", id="dollar quotes; a parameter stays"),
        pytest.param('select "My ""Col""" from "T"', 'select "My ""Col""" from "T"', id="quoted names stay"),
        pytest.param("select -1.5e-3, .5, 0x1f, 1_000", "select -?-?", id="however a number is written"),
        pytest.param("begin; SET app.token TO hidden; select 1", "begin; SET …; select ?", id="a setting may be a word"),
        pytest.param("set role hidden", "set …", id="also at the beginning"),
        pytest.param("update t set a = 'x'", "update t set a = ?", id="an update is no setting"),
        pytest.param("select 'cut her", "select ?…", id="a string that was cut"),
        pytest.param("select a /* cut hidden", "select a…", id="a comment that was cut"),
        pytest.param("select $$cut hidden", "select ?…", id="a dollar quote that was cut"),
        pytest.param('select "cut hidden', "select…", id="a name that was cut may be the end of a string"),
        pytest.param("select 'c:\\', a, 'hidden'", "select ?…", id="a backslash, whose meaning depends on a setting"),
        pytest.param("select\x1b[31m\u202e 1", "select [? ?", id="no control characters"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_what_is_shown_of_a_query(query: str, shown: str) -> None:
    assert without_literals(query) == shown


def test_it_is_short() -> None:
    shown = without_literals(f"select {'a, ' * 5000} b")
    assert MOST - 2 < len(shown) <= MOST
    assert shown.endswith("…")


@given(st.text(), st.text(), st.sampled_from(["{0} 'canary {1}'", "{0} E'canary\\'{1}'", "{0} $q$canary{1}$q$", "{0} /* canary {1} */"]))
def test_a_literal_is_never_shown(before: str, after: str, form: str) -> None:
    quoting = set("'\"$\\/-*_") | {"e", "E"}
    before = "".join(one for one in before if one not in quoting and not one.isalnum())
    assert "canary" not in without_literals(form.format(before, after))


@given(st.text(alphabet="'\"$\\/*-eE;set ab1_?\n", max_size=200))
def test_any_text_is_taken_and_no_string_is_left_in_it(text: str) -> None:
    shown = without_literals(text)
    assert len(shown) <= MOST
    assert "'" not in re.sub(r'"(?:[^"]|"")*"', "", shown)
