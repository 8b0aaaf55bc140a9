"""Whatever a paused Argo CD application says, nothing resumes it while it still wants the denied template, and it is resumed once."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import BAD, GOOD, NOW, executed, make_remediation

from stopgap.api import Remediation
from stopgap.api.suspension import SuspensionState
from stopgap.core import suspending

PLANNED = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Application",
    "namespace": "argocd",
    "name": "web",
    "uid": "app-uid",
    "before": "{}",
    "expiresAt": NOW + timedelta(hours=4),
}


def paused(kind: str, state: str) -> Remediation:
    plan = {**make_remediation().spec.plan.model_dump(by_alias=True, exclude_none=True), "suspends": {**PLANNED, "kind": kind}}
    return make_remediation(plan=plan, status=executed(NOW, state="Succeeded", suspension={"state": state}))


def compared(at: datetime, desired: str, live: str) -> dict[str, Any]:
    """What Argo CD says after it has compared what Git wants with what was live then."""
    entry = {
        "group": "apps",
        "kind": "Deployment",
        "namespace": "shop",
        "name": "api",
        "status": "Synced" if desired == live else "OutOfSync",
    }
    return {"status": {"resources": [entry], "reconciledAt": at.isoformat()}}


DIGESTS = st.sampled_from([GOOD.digest, BAD.digest, "another"])
SECONDS = st.integers(min_value=0, max_value=100_000)


@given(
    kind=st.sampled_from(["Application", "Kustomization", "HelmRelease"]),
    state=st.sampled_from(["Suspended", "Held", "Failed"]),
    desired=DIGESTS,
    lives=st.lists(st.tuples(SECONDS, DIGESTS), min_size=1, max_size=4),
    compared_at=SECONDS,
)
def test_it_is_never_resumed_while_the_owner_wants_the_denied_template(
    kind: str, state: str, desired: str, lives: list[tuple[int, str]], compared_at: int
) -> None:
    lives = sorted(lives)
    then = next((digest for at, digest in reversed(lives) if at <= compared_at), BAD.digest)
    body = compared(NOW + timedelta(seconds=compared_at), desired, then)
    changed, live = lives[-1]
    why = suspending.due(paused(kind, state), body, live, NOW + timedelta(seconds=changed))
    assert not (why and desired == BAD.digest)
    assert not (why and kind != "Application")


@given(late=SECONDS, state=st.sampled_from(list(SuspensionState)))
def test_time_alone_calls_people_at_most_once_and_resumes_nothing(late: int, state: SuspensionState) -> None:
    one = paused("Application", state.value)
    after = suspending.expired(one, NOW + timedelta(seconds=late))
    assert after is None or (state is SuspensionState.SUSPENDED and after.state is SuspensionState.HELD)
