"""Replayed are StatefulSets too, as the operator's own watches take them in."""

from datetime import timedelta

from tests.conftest import BAD_IMAGE, GOOD_IMAGE, NOW, make_policy
from tests.stateful import BAD, GOOD, controller_revision, pod, stateful_set

from stopgap.cli.offline import simulated
from stopgap.cli.recording import Body
from stopgap.model.workload import State

POLICY = make_policy(
    targets={"kinds": ["StatefulSet"], "selector": {"matchLabels": {"tier": "web"}}},
    triggers=[{"name": "crash", "crashLoop": {}}, {"name": "http", "httpProbe": {"url": "http://db.shop.svc/"}}],
).model_dump(mode="json", by_alias=True, exclude_none=True)


def recorded(*pods: Body) -> list[Body]:
    kinds = {"StatefulSet": [stateful_set()], "Pod": list(pods)}
    kinds["ControllerRevision"] = [controller_revision(GOOD, GOOD_IMAGE, 1), controller_revision(BAD, BAD_IMAGE, 2)]
    found = [{"kind": kind, "apiVersion": "v1" if kind == "Pod" else "apps/v1", **one} for kind, each in kinds.items() for one in each]
    return [*found, POLICY]


async def test_a_crashing_pod_of_a_stateful_set_is_found() -> None:
    (ill,) = await simulated(recorded(pod(2, BAD, ready=False, restarts=3), pod(0, GOOD)), NOW)
    (well,) = await simulated(recorded(pod(0, GOOD)), NOW)
    states = [{one.trigger: one.state for one in verdict.decision.findings} for verdict in (ill, well)]
    assert states == [{"crash": State.FIRING, "http": State.UNKNOWN}, {"crash": State.QUIET, "http": State.UNKNOWN}]


async def test_what_has_been_so_for_a_while_is_known_to_have_been() -> None:
    policy = {
        **POLICY,
        "spec": {**POLICY["spec"], "triggers": [{"name": "down", "unavailable": {"below": "100%", "for": "1m"}}], "steps": []},
    }
    bodies = [*recorded(pod(0, GOOD))[:-1], policy]
    (new,) = await simulated(bodies, NOW)
    (lasting,) = await simulated(bodies, NOW, timedelta(minutes=2))
    assert [one.decision.findings[0].state for one in (new, lasting)] == [State.UNKNOWN, State.FIRING]
