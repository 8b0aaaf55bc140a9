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
        pytest.param("STOPGAP_ALERTS_PORT", "9095", "takes nothing from strangers: name the file of its tokens", id="alerts of strangers"),
        pytest.param("STOPGAP_ALERTS_NAMESPACE", "../x", "'../x' cannot be the name of a namespace", id="records in a path"),
        pytest.param("STOPGAP_OWN_NAMESPACE", "", "'' cannot be the name of a namespace", id="no own namespace"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Unusable, match=said):
        Settings()


def test_alerts_about_nothing_known_are_recorded_where_this_copy_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().alert_records == "stopgap-system"
    assert Settings(namespaces=("shop", "desk")).alert_records == "shop"
    monkeypatch.setenv("STOPGAP_ALERTS_NAMESPACE", "bank")
    with pytest.raises(Unusable, match="cannot be recorded in bank: this copy is for shop, desk only"):
        Settings(namespaces=("shop", "desk"), alerts_port=9095, alerts_tokens="tokens")
