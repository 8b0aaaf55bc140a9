"""Hostile text stays text."""

import pytest

from stopgap.core.reports.markdown import prose, said, within


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("api-1 has_one my_var of 3", "api-1 has_one my_var of 3", id="plain words are left alone"),
        pytest.param("*bold* _it_ ~~no~~ `rm`", r"\*bold\* \_it\_ \~\~no\~\~ \`rm\`", id="emphasis and code"),
        pytest.param("[x](http://evil) www.evil", r"\[x\](http\://evil) www\.evil", id="links"),
        pytest.param("<script> &lt; a & b", r"\<script> \&lt; a & b", id="HTML and entities"),
        pytest.param("# one\n## two\n- three", r"\# one ## two - three", id="one line, and no heading"),
        pytest.param("1. first", r"1\. first", id="no list"),
        pytest.param("3 exits", "3 exits", id="a number is no list"),
        pytest.param("a | b \\| c", r"a \| b \\\| c", id="no column of a table"),
        pytest.param("\x1b[31mred\u202e\u200b\0", r"\[31mred", id="control characters and turned text"),
        pytest.param("> quoted", r"\> quoted", id="no quotation"),
    ],
)
def test_foreign_text_is_shown_as_it_is(text: str, wanted: str) -> None:
    assert said(text, 200) == wanted


def test_a_cut_is_shown_and_never_splits_a_character_or_an_escape() -> None:
    assert within("ä" * 10, 9) == "äää…"
    assert said("x*********", 8) == r"x\*\*…"
    assert within("short", 5) == "short"


def test_what_people_write_keeps_its_paragraphs_lists_and_links_and_nothing_else() -> None:
    text = "It was *us*.\n\n\n\n1. first, see https://wiki/x\n- second <b>\n# Heading\n===\n```\ncode"
    assert prose(text, 500) == ("It was \\*us\\*.\n\n- first, see https://wiki/x\n- second \\<b>\n\\# Heading\n\\===\n\\`\\`\\`\ncode")
