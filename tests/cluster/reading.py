"""What the tests read out of the records: conditions, findings, the story, and how pods and actions fare by now."""

from typing import Any

from tests.cluster.harness import Shop, wait_for

Body = dict[str, Any]


def condition(body: Body, kind: str) -> Body:
    """Return a condition of an object, empty where there is none."""
    return next((one for one in body.get("status", {}).get("conditions", []) if one["type"] == kind), {})


def finding(incident: Body, trigger: str) -> Body:
    """Return what an incident says about one trigger."""
    found: Body = next(one for one in incident["status"]["findings"] if one["trigger"] == trigger)
    return found


def told(incident: Body) -> list[str]:
    """Return the types of the timeline's entries."""
    return [entry["type"] for entry in incident["status"]["timeline"]]


def wait_for_reason(shop: Shop, kind: str, reason: str, *, name: str = "", seconds: float = 60) -> Body:
    """Wait until a condition of an incident has this reason; return the incident."""

    def found() -> Body | None:
        for one in shop.items("incidents"):
            if name in {"", one["metadata"]["name"]} and condition(one, kind).get("reason") == reason:
                return one
        return None

    try:
        return wait_for(f"condition {kind} with reason {reason}", found, seconds=seconds) or {}
    except TimeoutError as error:
        raise AssertionError(f"{error}; incidents: {shop.kubectl('get', 'incidents', '-o', 'yaml')}") from error


def refused_only(shop: Shop, reason: str, message: str) -> None:
    """Wait until this alone stands against the action, in these words."""
    wait_for(f"{reason} alone: {message}", lambda: shop.refusals(seconds=20) == {reason: message}, seconds=20)


def wait_for_remediation(shop: Shop, *states: str, seconds: float = 60) -> Body:
    """Wait until the newest remediation is in one of these states, and return it."""

    def found() -> Body | None:
        listed = shop.items("remediations")
        return listed[-1] if listed and listed[-1].get("status", {}).get("state") in states else None

    return wait_for(f"a remediation that is {' or '.join(states)}", found, seconds=seconds) or {}


def wait_for_restarts(shop: Shop, least: int) -> None:
    """Wait until some container was restarted so often: long enough for Stopgap to have acted, if it were going to."""

    def restarted() -> bool:
        listed = [one for pod in shop.items("pods") for one in pod.get("status", {}).get("containerStatuses", [])]
        return any(one["restartCount"] >= least for one in listed)

    wait_for(f"a container that was restarted {least} times", restarted)


def health(shop: Shop) -> Body:
    """Return the status of the only WorkloadHealth."""
    (found,) = shop.items("workloadhealths")
    status: Body = found.get("status", {})
    return status
