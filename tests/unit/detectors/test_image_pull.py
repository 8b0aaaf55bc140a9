"""`imagePull`: each kind of waiting under its own name, and the registry's troubles kept apart from the release's."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.conftest import BAD_IMAGE, NEW, OLD, ago, make_container, make_pod, make_seen, make_workload

from stopgap.detectors import ImagePull
from stopgap.model.observation import Finding, Observation
from stopgap.model.reasons import Reason
from stopgap.model.workload import Pod, State

NOT_FOUND = f'rpc error: code = NotFound desc = failed to pull and unpack image "docker.io/{BAD_IMAGE}": not found'
SOME_TIME = timedelta(minutes=1)


def judge(seen: Observation, **fields: Any) -> Finding:
    return ImagePull.model_validate(fields).judge(seen, "pull", after=None, quiet_for=SOME_TIME)


def waiting(why: str = "ErrImagePull", message: str = NOT_FOUND, *, seconds: float = 30, name: str = "p1", **changes: Any) -> Pod:
    one = make_container(waiting=why, waiting_message=message, waiting_since=ago(seconds=seconds))
    return make_pod(name, phase="Pending", containers=(one,), **changes)


def seen_with(*pods: Pod, replicas: int = 1) -> Observation:
    newest = msgspec.structs.replace(NEW, wanted=replicas, replicas=replicas)
    return make_seen(pods=pods, exits=(), revisions=(newest, OLD))


@pytest.mark.parametrize("why", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"])
def test_each_reason_to_wait_is_found_under_its_own_name(why: str) -> None:
    finding = judge(seen_with(waiting(why)))
    assert (finding.state, finding.type) == (State.FIRING, Reason[why])
    assert finding.message.startswith(f"p1 waits: {why} for {BAD_IMAGE} (")
    assert finding.since == ago(seconds=30)
    assert (finding.revision, finding.nodes) == ("rs-2", frozenset({"node-1"}))


def test_of_a_long_message_the_end_is_quoted_for_there_it_says_why() -> None:
    text = f'Back-off pulling image: ErrImagePull: failed to resolve reference "{"x" * 400}": unexpected status: 401 Unauthorized'
    finding = judge(seen_with(waiting("ImagePullBackOff", text)))
    assert finding.message.endswith("unexpected status: 401 Unauthorized)")
    assert "(Back-off pulling image" in finding.message


@pytest.mark.parametrize("why", ["ContainerCreating", "PodInitializing", "CrashLoopBackOff", ""])
def test_other_reasons_to_wait_are_none_of_its_business(why: str) -> None:
    finding = judge(seen_with(waiting(why)))
    assert finding.state is State.QUIET
    assert finding.message == "every container of the newest revision has its image"


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(NOT_FOUND, id="containerd says not found"),
        pytest.param("manifest for shop/api:2.0 not found: manifest unknown: manifest unknown", id="docker says manifest unknown"),
        pytest.param("reading manifest 2.0 in registry.shop/api: name unknown: repository api", id="crio says name unknown"),
        pytest.param("Back-off pulling image: ErrImagePull: shop/api:2.0: not found", id="back-off repeats the reason"),
    ],
)
def test_an_image_that_does_not_exist_is_the_releases_fault(message: str) -> None:
    assert judge(seen_with(waiting("ImagePullBackOff", message))).cause is None


@pytest.mark.parametrize("why", ["InvalidImageName", "CreateContainerConfigError"])
def test_an_invalid_name_and_a_missing_configuration_are_the_releases_fault(why: str) -> None:
    assert judge(seen_with(waiting(why, "couldn't parse image name"))).cause is None


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("unexpected status from HEAD request: 401 Unauthorized", id="401"),
        pytest.param("pull access denied for shop/api, repository does not exist or may require 'docker login'", id="denied"),
        pytest.param("toomanyrequests: 429 Too Many Requests - Server message: rate limit", id="429"),
        pytest.param("received unexpected HTTP status: 503 Service Unavailable", id="503"),
        pytest.param("dial tcp 10.0.0.9:443: i/o timeout", id="timeout"),
        pytest.param("lookup registry.shop: no such host", id="no such host"),
        pytest.param("net/http: TLS handshake timeout", id="TLS"),
        pytest.param("Back-off pulling image", id="back-off that says nothing more"),
        pytest.param("", id="no message at all"),
    ],
)
def test_a_registry_that_refuses_or_does_not_answer_is_not_the_releases_fault(message: str) -> None:
    finding = judge(seen_with(waiting("ErrImagePull", message)))
    assert finding.state is State.FIRING
    assert finding.cause is Reason.RegistryUnavailable


def test_one_pod_that_knows_that_the_image_does_not_exist_is_enough() -> None:
    pods = (waiting("ImagePullBackOff", "Back-off pulling image"), waiting(message=NOT_FOUND, name="p2"))
    assert judge(seen_with(*pods, replicas=2)).cause is None


def test_a_hiccup_shorter_than_the_policy_says_is_unknown_and_looked_at_again_in_time() -> None:
    finding = judge(seen_with(waiting(seconds=15)))
    assert finding.state is State.UNKNOWN
    assert finding.look_again == timedelta(seconds=5)
    assert "not for 20s yet" in finding.message


def test_exactly_as_long_as_the_policy_says_fires() -> None:
    assert judge(seen_with(waiting(seconds=20))).state is State.FIRING
    assert judge(seen_with(waiting(seconds=20)), **{"for": "21s"}).state is State.UNKNOWN


def test_one_bad_pod_of_fifty_does_not_fire() -> None:
    assert judge(seen_with(waiting(), replicas=50)).state is not State.FIRING


def test_two_of_three_fire() -> None:
    assert judge(seen_with(waiting(), waiting(name="p2"), replicas=3)).state is State.FIRING


def test_leaving_pods_are_not_counted() -> None:
    assert judge(seen_with(waiting(leaving=True))).state is State.QUIET


def test_pods_of_an_older_revision_are_not_counted() -> None:
    assert judge(seen_with(waiting(owner="rs-1"))).state is State.QUIET


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(make_seen(pods=(waiting(),), synced=False), id="before every watch has its first list"),
        pytest.param(
            make_seen(pods=(waiting(),), workload=make_workload(generation=5)), id="while the newest template has no replica set yet"
        ),
    ],
)
def test_what_cannot_be_told_is_unknown(seen: Observation) -> None:
    assert judge(seen).state is State.UNKNOWN
