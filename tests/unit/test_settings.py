"""What an installation may set."""

import pytest

from stopgap.settings import Settings, Unusable


def test_several_namespaces_may_be_given_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOPGAP_NAMESPACE", "shop, desk bank")
    assert Settings().namespaces == ("shop", "desk", "bank")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        pytest.param("STOPGAP_HEALTH_PORT", "http", "STOPGAP_HEALTH_PORT is 'http'; a port is a number from 0", id="a port in words"),
        pytest.param("STOPGAP_METRICS_PORT", "-1", "STOPGAP_METRICS_PORT is '-1'; a port is a number from 0", id="a port below nothing"),
        pytest.param("STOPGAP_METRICS_PORT", "99999", "99999 is no port; a port is a number from 0", id="a port beyond the last"),
        pytest.param("STOPGAP_NAMESPACE", "shop,Desk", "'Desk' cannot be the name of a namespace", id="a namespace that cannot be"),
        pytest.param("STOPGAP_OWN_NAMESPACE", "", "'' cannot be the name of a namespace", id="no own namespace"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Unusable, match=said):
        Settings()
