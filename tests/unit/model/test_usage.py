"""Quantities, as Kubernetes writes them."""

import pytest

from stopgap.model.usage import quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("2", 2),
        ("250m", 0.25),
        ("123456789n", 0.123456789),
        ("100u", 0.0001),
        ("1.5Gi", 1.5 * 2**30),
        ("34Mi", 34 * 2**20),
        ("128974848", 128974848),
        ("129e6", 129e6),
        ("129M", 129e6),
        ("1E", 1e18),
        ("1E3", 1000),
        (".5", 0.5),
        ("1k", 1000),
        ("2Ki", 2048),
    ],
)
def test_a_quantity_is_read(text: str, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "much", "1 Gi", "1mi", "1e", "NaN", "inf", "0x10", "1e9999"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(text)
