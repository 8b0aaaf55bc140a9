"""Reading one value of a Secret: what is told where there is none, and that the value itself is told nobody."""

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from stopgap.effects.errors import Forbidden, KubeError, NotFound, Unanswered
from stopgap.effects.secrets import Secrets
from stopgap.model.http import Header
from stopgap.model.observation import Refusal
from stopgap.model.query import PLATFORM, Credentials, Request
from stopgap.model.reasons import Reason
from stopgap.model.refs import SecretKeyRef

REF = SecretKeyRef(name="unleash", key="token")


class Server:
    """Answers with one Secret, or with an error."""

    def __init__(self, data: dict[str, bytes] | None, error: type[KubeError] | None = None) -> None:
        self.data, self.error, self.asked = data, error, list[str]()

    async def get(self, path: str) -> bytes:
        self.asked.append(path)
        if self.error:
            raise self.error("get", path, status=403, message="hidden")
        data = {name: base64.b64encode(value).decode() for name, value in (self.data or {}).items()}
        return msgspec.json.encode({"data": data} if self.data is not None else {})


async def read(server: Server) -> SecretStr | Refusal:
    secrets = Secrets(server, "stopgap-system")  # type: ignore[arg-type]  # the server stands in for it
    return await secrets.read("shop", REF)


async def test_one_value_is_read_by_name_and_masked() -> None:
    server = Server({"token": b"hidden\n", "other": b"x"})
    value = await read(server)
    assert isinstance(value, SecretStr)
    assert value.get_secret_value() == "hidden"
    assert "hidden" not in f"{value} {value!r}"
    assert server.asked == ["/api/v1/namespaces/shop/secrets/unleash"]


@pytest.mark.parametrize(
    ("server", "reason", "said"),
    [
        pytest.param(Server(None, NotFound), Reason.ReferenceMissing, "does not exist", id="no such Secret"),
        pytest.param(Server(None), Reason.ReferenceMissing, "has no key token", id="one without data"),
        pytest.param(Server({"other": b"x"}), Reason.ReferenceMissing, "has no key token", id="no such key"),
        pytest.param(Server({"token": b"\xff\xfe"}), Reason.ReferenceMissing, "is no text", id="bytes"),
        pytest.param(Server(None, Forbidden), Reason.NotAuthorized, "--resource-name=unleash", id="not allowed, and how to allow it"),
        pytest.param(Server(None, Unanswered), Reason.ReferenceMissing, "could not be read", id="no answer"),
    ],
)
async def test_why_there_is_no_value_is_said_in_our_own_words(server: Server, reason: Reason, said: str) -> None:
    refusal: Any = await read(server)
    assert (refusal.reason, said in refusal.message, "hidden" in refusal.message) == (reason, True, False)


@pytest.mark.parametrize(("platform", "where"), [(False, "shop"), (True, "stopgap-system")])
def test_the_platform_s_secrets_are_in_its_own_namespace(platform: bool, where: str) -> None:  # noqa: FBT001 - a column of the table
    secrets = Secrets(Server(None), "stopgap-system")  # type: ignore[arg-type]  # nothing is asked
    assert secrets.where("shop", platform=platform) == where


HEADERS = (Header(name="X-Scope-OrgID", value="shop"), Header(name="Authorization", secret_ref=REF, prefix="Bearer "))


async def complete(server: Server, scope: str = "shop", **needed: Any) -> Request | Refusal:
    secrets = Secrets(server, "stopgap-system")  # type: ignore[arg-type]  # the server stands in for it
    return await secrets.complete(Request("https://prometheus.shop.svc/", credentials=Credentials(scope, **needed)))


async def test_a_request_gets_what_it_needs_when_it_is_sent_and_shows_none_of_it() -> None:
    server = Server({"token": b"hidden\n", "ca.crt": b"-----BEGIN"})
    found = await complete(server, headers=HEADERS, ca=SecretKeyRef(name="unleash", key="ca.crt"))
    assert isinstance(found, Request)
    assert found.headers == (("X-Scope-OrgID", "shop"), ("Authorization", "Bearer hidden"))
    assert found.ca == "-----BEGIN"
    assert found.credentials is None
    assert "hidden" not in repr(found)
    assert "BEGIN" not in repr(found)


async def test_the_platform_s_server_is_known_by_secrets_of_the_platform_and_a_file_that_may_change(tmp_path: Path) -> None:
    file, server = tmp_path / "token", Server({"token": b"hidden"})
    for token in ("first", "second"):
        file.write_text(f"{token}\n")
        found = await complete(server, PLATFORM, headers=HEADERS[:1], bearer_file=str(file))
        assert isinstance(found, Request)
        assert found.headers == (("X-Scope-OrgID", "shop"), ("Authorization", f"Bearer {token}"))
    await complete(server, PLATFORM, headers=HEADERS)
    assert server.asked == ["/api/v1/namespaces/stopgap-system/secrets/unleash"]


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        pytest.param({"headers": HEADERS}, "Secret unleash in shop does not exist", id="no such Secret for a header"),
        pytest.param({"ca": REF}, "Secret unleash in shop does not exist", id="nor for the certificates"),
        pytest.param({"bearer_file": "/nowhere/token"}, "the file /nowhere/token cannot be read", id="no such file"),
    ],
)
async def test_a_request_that_lacks_something_is_not_completed(needed: dict[str, Any], said: str) -> None:
    found = await complete(Server(None, NotFound), **needed)
    assert isinstance(found, Refusal)
    assert said in found.message


async def test_what_needs_nothing_reads_nothing() -> None:
    server, asked = Server(None), Request("http://prometheus.shop.svc/")
    assert await Secrets(server, "stopgap-system").complete(asked) is asked  # type: ignore[arg-type]  # the server stands in for it
    assert server.asked == []
