"""An owner is paused only where that lasts, and resumed only when it no longer wants what was denied, or a person says so."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.conftest import BAD, GOOD, NOW, ago, executed, make_case, make_incident, make_live, make_policy, make_remediation, make_workload

from stopgap.api import Remediation
from stopgap.api.policy import GitOps
from stopgap.api.remediation import RemediationState
from stopgap.api.suspension import SuspensionState
from stopgap.core import drift, pausing, suspending
from stopgap.core.case import Case, Decision
from stopgap.core.decide import decide
from stopgap.core.pausing import Mark
from stopgap.core.suspending import Pause
from stopgap.model.observation import Observation, Pausable, Refusal
from stopgap.model.reasons import Reason

OWNER = "Argo CD application web syncs this by itself; revert the change in shop/api of https://git.example/fleet"
SELF_HEAL = {"prune": True, "selfHeal": True}
PLANNED: dict[str, Any] = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Application",
    "namespace": "argocd",
    "name": "web",
    "uid": "app-uid",
    "before": json.dumps(SELF_HEAL),
    "expiresAt": NOW + timedelta(hours=4),
}


def pausable(**changes: Any) -> Pausable:
    fields: dict[str, Any] = {
        "api_version": "argoproj.io/v1alpha1",
        "kind": "Application",
        "namespace": "argocd",
        "name": "web",
        "uid": "app-uid",
        "before": json.dumps(SELF_HEAL),
        "parent": "",
        "may_patch": True,
    }
    return Pausable(**{**fields, **changes})


def owned(found: Pausable | None, git_ops: str = "SuspendOwner") -> Case:
    case = make_case(policy=make_policy(gitOps=git_ops))
    return replace(case, seen=replace(case.seen, live=make_live(owner=OWNER, pausable=found)))


def paused(*, state: str = "Suspended", kind: str = "Application", annotations: dict[str, str] | None = None, **status: Any) -> Remediation:
    planned = {**PLANNED, "kind": kind, **({"before": "null"} if kind != "Application" else {})}
    plan = {**make_remediation().spec.plan.model_dump(by_alias=True, exclude_none=True), "suspends": planned}
    said = {"state": state, "at": ago(minutes=5), "expiresAt": planned["expiresAt"]}
    made = make_remediation(plan=plan, status=executed(ago(minutes=5), **{"state": "Succeeded", "suspension": said, **status}))
    return made.model_copy(update={"metadata": made.metadata.model_copy(update={"annotations": annotations or {}})})


def not_taken(**spec: Any) -> Remediation:
    """A scale for which the owner was paused, and that was not written then."""
    scale = {"summary": "scale 3 → 5 replicas", "field": "Replicas", "before": 3, "ours": 5, "suspends": PLANNED}
    said = {"state": "Suspended", "at": ago(seconds=55), "expiresAt": PLANNED["expiresAt"]}
    status = {"state": "Superseded", "suspension": said, **spec.pop("status", {})}
    return make_remediation(action="Scale", plan={**scale, **spec}, status=status)


def application(status: str = "Synced", compared: datetime | str = NOW, **entry: Any) -> dict[str, Any]:
    listed = {"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "api", "status": status, **entry}
    return {"status": {"resources": [listed], "reconciledAt": compared if isinstance(compared, str) else compared.isoformat()}}


def together(neighbour: str = "Synced") -> dict[str, Any]:
    """An application of two Deployments and a ConfigMap, which differs and brings no release back."""
    settings = {"group": "", "kind": "ConfigMap", "namespace": "shop", "name": "settings", "status": "OutOfSync"}
    both = [*application()["status"]["resources"], *application(neighbour, name="web")["status"]["resources"], settings]
    return {"status": {"resources": both, "reconciledAt": NOW.isoformat()}}


# ------------------------------------------------------------------------------------------------------------- before the act


@pytest.mark.parametrize(
    ("case", "reasons"),
    [
        pytest.param(owned(pausable()), [], id="one that can be paused is no reason to refuse"),
        pytest.param(owned(pausable(), "Block"), [Reason.GitOpsOwned], id="where the policy says Block it is"),
        pytest.param(owned(pausable(parent="ApplicationSet fleet")), [Reason.GitOpsOwned], id="where a parent would undo the pause it is"),
        pytest.param(owned(None), [Reason.GitOpsOwned], id="one that cannot be read is"),
        pytest.param(owned(pausable(may_patch=False)), [Reason.NotAuthorized], id="one that may not be patched is"),
    ],
)
def test_an_owner_that_can_be_paused_is_no_reason_to_refuse(case: Case, reasons: list[Reason]) -> None:
    decision = decide(case)
    assert [one.reason for one in decision.refusals] == reasons
    assert (decision.intent is None) is bool(reasons)


def test_the_pause_is_part_of_the_stored_intent_and_of_its_summary() -> None:
    intent = decide(owned(pausable())).intent
    assert intent is not None
    plan = intent.spec.plan
    assert plan.summary.endswith(", after suspending Argo CD Application web")
    assert plan.suspends is not None
    assert (plan.suspends.namespace, plan.suspends.name, plan.suspends.uid) == ("argocd", "web", "app-uid")
    assert pausing.before(plan.suspends) == SELF_HEAL
    assert pausing.ours(plan.suspends) == {**SELF_HEAL, "enabled": False}
    assert plan.suspends.expires_at == NOW + timedelta(hours=4)


def test_where_the_policy_just_acts_nothing_is_paused() -> None:
    intent = decide(owned(pausable(), "Act")).intent
    assert intent is not None
    assert intent.spec.plan.suspends is None


def test_without_the_right_the_exact_command_is_told() -> None:
    (refusal,) = decide(owned(pausable(may_patch=False))).refusals
    assert refusal.message == (
        "Stopgap may not suspend Argo CD Application web; it needs to patch applications in argocd; allow it with: kubectl create "
        "rolebinding stopgap-suspend-owner -n argocd --clusterrole=stopgap-action-suspend-owner --serviceaccount=stopgap-system:stopgap"
    )


def test_a_live_read_without_an_owner_blocks_nothing_that_is_asked_to_act() -> None:
    assert not suspending.blocks(GitOps.ACT, make_live(owner=OWNER))


REFUSED = Refusal(Reason.GitOpsOwned, "no")


@pytest.mark.parametrize(
    ("pause", "state"),
    [
        pytest.param(Pause(), SuspensionState.SUSPENDED, id="paused"),
        pytest.param(Pause(REFUSED), SuspensionState.NOT_NEEDED, id="surely not paused"),
        pytest.param(Pause(REFUSED, sure=False), SuspensionState.SUSPENDED, id="perhaps paused is owed"),
        pytest.param(None, SuspensionState.SUSPENDED, id="given up after a crash, perhaps paused"),
    ],
)
def test_what_may_have_been_paused_is_owed(pause: Pause | None, state: SuspensionState) -> None:
    found = suspending.begun(paused(), pause, NOW)
    assert found is not None
    assert found.state is state


def test_an_action_without_a_pause_owes_none() -> None:
    assert suspending.begun(make_remediation(), None, NOW) is None


# -------------------------------------------------------------------------------------------------------------- after the act

ASKED = {"stopgap.dev/revert": "now"}
GIT = "Git no longer holds the bad version"


@pytest.mark.parametrize(
    ("one", "body", "digest", "why"),
    [
        pytest.param(paused(), application(), GOOD.digest, GIT, id="Synced with the template that was put back"),
        pytest.param(paused(), application("OutOfSync"), GOOD.digest, "", id="OutOfSync: Git still holds the bad one"),
        pytest.param(paused(), application(), BAD.digest, "", id="Synced with the bad one"),
        pytest.param(paused(), application(compared=ago(minutes=5)), GOOD.digest, "", id="compared before the act was seen"),
        pytest.param(paused(), application(compared="soon"), GOOD.digest, "", id="a time that cannot be read"),
        pytest.param(paused(), application(compared="2026-11-23T10:00:00"), GOOD.digest, "", id="a time of no zone"),
        pytest.param(paused(), application(name="other"), GOOD.digest, "", id="another object"),
        pytest.param(paused(), together(), GOOD.digest, GIT, id="all workloads of the application are Synced"),
        pytest.param(paused(), together("OutOfSync"), GOOD.digest, "", id="its neighbour, which may be rolled back too, is not"),
        pytest.param(paused(), {}, GOOD.digest, "", id="nothing compared"),
        pytest.param(paused(), application(), "", "", id="a workload that is gone"),
        pytest.param(paused(kind="Kustomization"), application(), GOOD.digest, "", id="Flux compares nothing"),
        pytest.param(paused(state="Failed"), application(), GOOD.digest, "", id="what failed waits for a person"),
        pytest.param(paused(annotations=ASKED), application("OutOfSync"), BAD.digest, "a person asked for it", id="a person"),
        pytest.param(
            paused(kind="Kustomization", annotations=ASKED), {}, GOOD.digest, "a person asked for it", id="a person, where nothing compares"
        ),
        pytest.param(
            paused(executedAt=None),
            application("OutOfSync"),
            BAD.digest,
            "the action was not taken",
            id="nothing was changed, so that nothing comes back",
        ),
        pytest.param(
            paused(executedAt=None), application("OutOfSync"), "", "the action was not taken", id="nor is there what could come back"
        ),
        pytest.param(
            paused(executedAt=None), application("OutOfSync"), GOOD.digest, "", id="somebody else put a fix there, or a later action did"
        ),
        pytest.param(paused(executedAt=None), application(), GOOD.digest, GIT, id="and that fix is in Git by now"),
    ],
)
def test_it_is_resumed_when_its_own_template_is_not_the_denied_one_or_a_person_says_so(
    one: Remediation, body: dict[str, Any], digest: str, why: str
) -> None:
    assert suspending.due(one, body, digest, ago(minutes=4)) == why


@pytest.mark.parametrize(
    ("one", "body", "changed", "why"),
    [
        pytest.param(not_taken(), application("OutOfSync"), ago(minutes=4), "the action was not taken", id="nothing was changed since"),
        pytest.param(not_taken(), application("OutOfSync"), ago(seconds=30), "", id="a later step has rolled the release back"),
        pytest.param(not_taken(), application(compared=ago(seconds=25)), ago(seconds=30), "", id="and nothing was compared since"),
        pytest.param(not_taken(), application(), ago(seconds=30), GIT, id="and Git holds what that has left"),
        pytest.param(
            not_taken(status={"approvedAt": ago(seconds=58)}),
            application("OutOfSync"),
            ago(seconds=59),
            "the action was not taken",
            id="changed before it was approved, and so before the pause",
        ),
        pytest.param(paused(executedAt=None), application("OutOfSync"), ago(seconds=30), "", id="another workload was changed since"),
    ],
)
def test_an_action_that_was_not_taken_brings_nothing_back_only_while_nothing_else_was_changed(
    one: Remediation, body: dict[str, Any], changed: datetime, why: str
) -> None:
    digest = GOOD.digest if one.spec.action == "Scale" else BAD.digest
    assert suspending.due(one, body, digest, changed) == why


@pytest.mark.parametrize(
    ("kind", "spec", "is_paused"),
    [
        pytest.param("Kustomization", {"suspend": True}, True, id="flux suspend"),
        pytest.param("Kustomization", {"suspend": False}, False, id="resumed by hand"),
        pytest.param("HelmRelease", {}, False, id="flux resume removes the field"),
        pytest.param("Application", {"syncPolicy": {"automated": {"prune": True, "enabled": False}}}, True, id="automated sync is off"),
        pytest.param("Application", {"syncPolicy": {"automated": {"prune": True, "enabled": True}}}, False, id="switched on in the UI"),
        pytest.param("Application", {"syncPolicy": {"automated": {}}}, False, id="automated without more is on"),
        pytest.param("Application", {}, True, id="taken away altogether"),
    ],
)
def test_a_person_may_resume_an_owner_by_its_own_command(kind: str, spec: dict[str, Any], is_paused: bool) -> None:  # noqa: FBT001
    assert pausing.is_paused(kind, {"spec": spec}) is is_paused


def test_what_was_compared_before_the_workload_was_changed_again_says_nothing() -> None:
    assert suspending.due(paused(), application(compared=ago(seconds=30)), GOOD.digest, ago(seconds=25)) == ""
    assert suspending.due(paused(), application(compared=ago(seconds=30)), GOOD.digest, ago(seconds=60)) == GIT


def test_an_outcome_that_nobody_knows_is_resumed_by_a_person_only() -> None:
    one = paused(executedAt=None)
    assert one.status is not None
    unknown = one.model_copy(update={"status": one.status.model_copy(update={"state": RemediationState.OUTCOME_UNKNOWN})})
    assert suspending.due(unknown, application(), GOOD.digest, NOW) == ""


def test_when_the_time_is_over_people_are_called_once_and_nothing_is_resumed() -> None:
    one = paused()
    late = NOW + timedelta(hours=4)
    assert suspending.expired(one, late - timedelta(seconds=1)) is None
    held = suspending.expired(one, late)
    assert held is not None
    assert held.state is SuspensionState.HELD
    assert "nothing resumes it by time alone" in held.message
    decision, notice = suspending.told(make_case(), Decision(), one, held)
    assert (notice.reason, notice.warning) == (Reason.SuspensionExpired, True)
    assert decision.remediation is not None
    assert decision.remediation[1].suspension == held
    assert suspending.expired(paused(state="Held"), late) is None


@pytest.mark.parametrize(
    ("case", "looks"),
    [
        pytest.param(make_case(incident=None, remediations=(paused(),)), True, id="also when the incident is over"),
        pytest.param(make_case(incident=None, remediations=(paused(state="Resumed"),)), False, id="not once it is resumed"),
        pytest.param(make_case(incident=None, remediations=(paused(state="Held"),)), True, id="also when people were called"),
        pytest.param(make_case(incident=None, config=None, remediations=(paused(),)), False, id="not while everything is paused"),
        pytest.param(make_case(incident=None, remediations=(make_remediation(status=executed(state="Succeeded")),)), False, id="no pause"),
    ],
)
def test_a_paused_owner_is_looked_at_until_it_is_resumed(case: Case, looks: bool) -> None:  # noqa: FBT001 - a column of the table
    decision = suspending.look(case, Decision())
    assert (decision.paused is not None) is looks
    owes = any(one.owes_resume for one in case.remediations)
    assert decision.look_again == (timedelta(seconds=30) if owes else None)


GONE = replace(make_case().seen, workload=None, template=None, revisions=(), pods=(), exits=())
ANEW = replace(make_case().seen, workload=make_workload(uid="another-uid"))


@pytest.mark.parametrize("kind", ["Application", "Kustomization", "HelmRelease"])
@pytest.mark.parametrize(("seen", "how"), [(GONE, "was deleted, and"), (ANEW, "made anew")], ids=["it is gone", "another one is there"])
def test_when_the_workload_is_gone_people_are_called_once_and_nothing_is_resumed(kind: str, seen: Observation, how: str) -> None:
    one = paused(kind=kind)
    case = make_case(seen=seen, incident=None, left=(one,))
    assert decide(case).paused == one
    held = suspending.bereft(case, one)
    assert held is not None
    assert held.state is SuspensionState.HELD
    assert how in held.message
    assert "kubectl annotate remediation api-d-uid-g4-1 -n shop stopgap.dev/revert=now" in held.message
    decision, notice = suspending.told(case, Decision(), one, held)
    assert (notice.reason, notice.warning) == (Reason.TargetGone, True)
    assert decision.remediation is not None
    assert decision.remediation[1].suspension == held
    again = paused(kind=kind, suspension=held.model_dump(by_alias=True))
    assert suspending.bereft(make_case(seen=seen, left=(again,)), again) is None
    assert decide(make_case(seen=seen, incident=None, left=(again,))).paused == again


def test_its_workload_is_gone_and_a_person_says_so() -> None:
    assert suspending.due(paused(state="Held", annotations={"stopgap.dev/revert": "now"}), {}, "", None) == "a person asked for it"
    assert suspending.due(paused(state="Held"), application(), "", None) == ""


def test_while_the_workload_is_there_nobody_is_called_about_its_owner() -> None:
    assert suspending.bereft(make_case(remediations=(paused(),)), paused()) is None


def test_what_a_person_says_of_one_owner_is_heard_while_another_one_stays_as_it_is() -> None:
    asked = paused(state="Held", annotations={"stopgap.dev/revert": "now"})
    old = asked.model_copy(update={"metadata": asked.metadata.model_copy(update={"name": "older", "uid": "older-uid"})})
    assert suspending.look(make_case(incident=None, remediations=(paused(),), left=(old,)), Decision()).paused == old


def test_nothing_is_looked_at_while_another_record_of_it_is_written() -> None:
    one = paused()
    assert one.status is not None
    busy = Decision(remediation=(one, one.status), look_again=timedelta(seconds=5))
    assert suspending.look(make_case(remediations=(one,)), busy) == busy


def test_its_incident_says_what_is_to_be_done_and_that_it_was_done() -> None:
    one = paused()
    case = make_case(remediations=(one,))
    said = drift.drifting(case)
    assert said.startswith("Argo CD Application web in argocd is suspended and still holds the bad version: revert it in Git")
    assert "kubectl annotate remediation api-d-uid-g4-1 -n shop stopgap.dev/revert=now" in said
    assert one.status is not None
    assert one.status.suspension is not None
    resumed = one.status.suspension.model_copy(update={"state": SuspensionState.RESUMED, "message": "resumed: Git"})
    status = make_incident(status={"detectedAt": NOW}).status
    decision, notice = suspending.told(case, Decision(status=status), one, resumed)
    assert notice.message == "Argo CD Application web in argocd: resumed: Git"
    assert decision.status is not None
    assert [(entry.type, entry.message) for entry in decision.status.timeline] == [("OwnerResumed", notice.message)]


@pytest.mark.parametrize(
    ("one", "automated", "state", "message"),
    [
        pytest.param(paused(), SELF_HEAL, SuspensionState.RESUMED, "it deploys again as before", id="resumed, and the record was lost"),
        pytest.param(
            paused(), {}, SuspensionState.NOT_NEEDED, "somebody changed it since, so it is left as it is", id="changed by a person"
        ),
        pytest.param(paused(executedAt=None), SELF_HEAL, SuspensionState.NOT_NEEDED, "it is not suspended", id="never paused"),
    ],
)
def test_an_owner_that_bears_no_mark_any_more_is_left_as_it_is(
    one: Remediation, automated: dict[str, Any], state: SuspensionState, message: str
) -> None:
    found = suspending.unmarked(one, {"spec": {"syncPolicy": {"automated": automated}}}, NOW)
    assert (found.state, found.message) == (state, message)


def test_how_flux_is_resumed_is_told() -> None:
    assert "does not resume by itself" in suspending.how_to_resume(paused(kind="HelmRelease"))


def test_that_a_fix_forward_is_deployed_by_a_person_is_told() -> None:
    assert suspending.how_to_resume(paused()) == (
        "it resumes by itself once Argo CD finds in Git what is live (the revert); to deploy a fix that is already in Git: "
        "kubectl annotate remediation api-d-uid-g4-1 -n shop stopgap.dev/revert=now"
    )


# ------------------------------------------------------------------------------------------------------------------ the field


def test_a_pause_explains_itself_on_the_object() -> None:
    one = paused()
    plan = one.spec.plan.suspends
    assert plan is not None
    marks = pausing.marks(one, plan)
    assert marks["stopgap.dev/suspended-for"] == "incident shop/api-1, until 2026-11-23T14:00:00Z"
    body = {"metadata": {"annotations": marks}}
    assert pausing.is_marked(one.metadata.uid, body)
    assert pausing.read_mark(marks) == pausing.LostPause.of(one, plan).mark == Mark(one.metadata.uid or "", "api-d-uid-g4-1", "shop")
    for text in ("", "nonsense", "[]", "[" * 100_000, '{"remediationUID": "another"}'):
        assert not pausing.is_marked(one.metadata.uid, {"metadata": {"annotations": {"stopgap.dev/restore": text}}})


@pytest.mark.parametrize(
    ("kind", "resource", "spec"),
    [
        pytest.param(
            "Application", "applications.argoproj.io", '{"syncPolicy":{"automated":{"enabled":true}}}', id="an Argo CD application"
        ),
        pytest.param("HelmRelease", "helmreleases.helm.toolkit.fluxcd.io", '{"suspend":false}', id="what Flux deploys"),
    ],
)
def test_where_the_record_is_lost_it_is_told_why_it_stays_and_how_a_person_ends_it(kind: str, resource: str, spec: str) -> None:
    one = paused(kind=kind)
    plan = one.spec.plan.suspends
    assert plan is not None
    told = suspending.forsaken(pausing.LostPause.of(one, plan), {"metadata": {"annotations": pausing.marks(one, plan)}})
    assert "web in argocd is suspended (incident shop/api-1, until 2026-11-23T14:00:00Z)" in told
    assert "Remediation api-d-uid-g4-1 in shop, was deleted: nothing resumes it any more" in told
    ends_it = f"""kubectl patch {resource} web -n argocd --type=merge -p '{{"spec":{spec}}}'"""
    assert told.endswith(f"Once Git no longer holds the bad version: {ends_it}")


@pytest.mark.parametrize(
    ("kind", "body", "value"),
    [
        pytest.param("Application", {"spec": {"syncPolicy": {"automated": SELF_HEAL}}}, SELF_HEAL, id="an application"),
        pytest.param("Application", {"spec": {"syncPolicy": None}}, None, id="an application without"),
        pytest.param("Kustomization", {"spec": {"suspend": False}}, False, id="a Kustomization"),
        pytest.param("HelmRelease", {"spec": {}}, None, id="a HelmRelease that does not say"),
    ],
)
def test_the_field_of_each_kind_is_known(kind: str, body: dict[str, Any], value: object) -> None:
    assert pausing.value(kind, body) == value
