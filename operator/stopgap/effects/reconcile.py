"""Observe → decide → record → execute → record, for one workload at a time. The only caller of `decide`."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from stopgap.api import Remediation
from stopgap.api.remediation import RemediationState, RemediationStatus
from stopgap.core import attribution, objecting, restoring, suspending
from stopgap.core.case import Case, Decision, Intent, Lent, Reads
from stopgap.core.changes import change_of
from stopgap.core.decide import decide, judge
from stopgap.core.marks import unheard
from stopgap.effects.execute import Executor
from stopgap.effects.firstsight import FirstSight
from stopgap.effects.live import LiveReads
from stopgap.effects.observe import Observer
from stopgap.effects.opening import Opener
from stopgap.effects.record import Recorder
from stopgap.effects.telemetry import Telemetry
from stopgap.effects.writing import Afterwards, Writing
from stopgap.model.change import Change
from stopgap.model.observation import Live, Refusal
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target

log = logging.getLogger(__name__)

_ROUNDS: Final = 2
"""Times that is read live at one look: what a later step of the ladder needs may show only when the steps before it are ruled out."""


class Reconciler:
    """Looks at one workload and does what follows."""

    def __init__(  # noqa: PLR0913 - the parts that it connects
        self,
        *,
        observer: Observer,
        live: LiveReads,
        recorder: Recorder,
        executor: Executor,
        first_sight: FirstSight,
        telemetry: Telemetry,
        afterwards: Afterwards,
        leading: Callable[[], bool],
        now: Callable[[], datetime],
    ) -> None:
        self._observer = observer
        self._live = live
        self._recorder = recorder
        self._executor = executor
        self._suspender = executor.suspender
        self._first_sight = first_sight
        self._telemetry = telemetry
        self._leading = leading
        self._now = now
        self._opener = Opener(observer, live, recorder, telemetry)
        self._writing = Writing(
            observer, recorder, executor=executor, telemetry=telemetry, afterwards=afterwards, closed=self._opener.forget
        )

    async def __call__(self, target: Target) -> float | None:
        """Look at one workload; return the seconds after which to look again without an event."""
        if not self._leading():
            return None
        case = self._observer.case(target)
        if await self._first_sight.look(case):
            case = self._observer.case(target)
        self._live.expect(case)
        decision = decide(case)
        told = decision.opening is not None or case.incident is not None
        self._observer.note_onset(target, attribution.ill_since(case, decision.findings), told=told)
        for _ in range(_ROUNDS):
            if decision.opening or decision.reads:
                case, decision = await self._opener.open(case, decision)
        if decision.intent:
            case, decision = await self._act(case, decision, decision.intent)
        if decision.approved:
            case, decision = await self._approve(case, decision, *decision.approved)
        if decision.resume:
            case, decision = await self._resume(case, decision.resume)
        if decision.restore:
            decision = await self._restore(case, decision, decision.restore)
        if decision.paused:
            decision = await self._look_at_owner(case, decision, decision.paused)
        await self._writing.write(case, decision, lambda one: self._objection(one, None))
        self._observer.note_written(target)
        return decision.look_again.total_seconds() if decision.look_again else None

    # ---------------------------------------------------------------------------------------------------- the hot path

    async def _act(self, case: Case, decision: Decision, intent: Intent) -> tuple[Case, Decision]:
        """Record the intent, then do it. What was concluded before the act is written after it: the act does not wait for prose."""
        work, target = case.seen.workload, case.seen.target
        self._opener.forget(target)
        if work is None:
            raise ValueError(f"an action on {target} was decided without the workload")
        # No await lies between the last look at the budgets and this line, so that none is spent twice by workers side by side.
        with self._observer.reserved(work, intent.spec):
            return await self._intend_and_do(case, decision, intent)

    async def _intend_and_do(self, case: Case, decision: Decision, intent: Intent) -> tuple[Case, Decision]:
        work, live, target = case.seen.workload, case.seen.live, case.seen.target
        if work is None or live is None:
            raise ValueError(f"an action on {target} was decided without the workload or the live reads")
        plan = intent.spec.plan
        change = change_of(plan, live.templates.get(plan.replica_set_uid) or case.seen.template)
        (remediation, new), confirmed = await asyncio.gather(self._recorder.intend(work, intent.spec), self._live.confirm(case, live))
        if case.incident is not None and decision.status is not None:
            case = replace(case, incident=case.incident.model_copy(update={"status": decision.status}))
        if remediation.state is RemediationState.AWAITING_APPROVAL:
            # Told from what was decided on: a case of now would count the reservation as an action that was sent.
            after = _with(case, remediation)
            then = decide(after)
        else:
            after, then = await self._carry_out(case, remediation, change, first=new, live=None if live.confirmed else confirmed)
        return after, replace(then, notices=(*decision.notices, *then.notices))

    async def _approve(self, case: Case, decision: Decision, waiting: Remediation, status: RemediationStatus) -> tuple[Case, Decision]:
        """Carry out what a person approved. That it was seen is stored first: whoever finds it so looks at the target before writing."""
        work, live, plan = case.seen.workload, case.seen.live, waiting.spec.plan
        if work is None or live is None or case.incident is None:
            raise ValueError(f"an approval for {case.seen.target} was taken without the workload or the live reads")
        self._opener.forget(case.seen.target)
        with self._observer.reserved(work, waiting.spec):
            remediation = await self._recorder.remediation(waiting, status)
            case = replace(case, incident=case.incident.model_copy(update={"status": decision.status}))
            change = change_of(plan, live.templates.get(plan.replica_set_uid) or case.seen.template)
            after, then = await self._carry_out(case, remediation, change, first=True)
        return after, replace(then, notices=(*decision.notices, *then.notices))

    async def _carry_out(
        self, case: Case, remediation: Remediation, change: Change | Refusal, *, first: bool, live: Live | None = None
    ) -> tuple[Case, Decision]:
        def objection() -> Refusal | None:
            return self._objection(remediation, live)

        pause = None
        if remediation.spec.plan.suspends is not None and not isinstance(change, Refusal):
            # Before the act, for the owner would undo it within seconds. A crash in between leaves an intent that says what was paused.
            pause = await self._suspender.pause(remediation, objection)
            change = pause.refusal or change
        if pause and pause.refusal and pause.refusal.reason is Reason.NotLeader:
            return case, Decision()
        outcome = await self._executor.perform(remediation, change, first=first, objection=objection)
        if outcome is None:
            # The next leader finds the intent, looks at the target, and finishes or gives it up.
            return case, Decision()
        self._telemetry.acted(case.seen.target, remediation, outcome)
        log.info("carried out", extra={"remediation": remediation.metadata.name, "state": str(outcome.state), "why": outcome.message})
        remediation = outcome.claimed or remediation
        status = outcome.status(remediation, self._now(), pause)
        done = remediation.model_copy(update={"status": status})
        self._observer.charge(done)
        fresh = replace(_with(self._observer.case(case.seen.target), done), incident=case.incident)
        decision = decide(fresh)
        # The record of the act goes first into the write; what verification adds to it at this very look rides along.
        concluded = decision.remediation
        latest = concluded[1] if concluded and concluded[0].metadata.uid == done.metadata.uid else status
        wait = decision.look_again if status.state is RemediationState.VERIFYING else timedelta(seconds=1)
        return fresh, replace(decision, remediation=(remediation, latest), look_again=wait)

    async def _resume(self, case: Case, remediation: Remediation) -> tuple[Case, Decision]:
        """Finish an intent that was found: after a restart, or of a copy that is no longer the leader."""
        plan, template, work = remediation.spec.plan, case.seen.template, case.seen.workload
        if work is None or work.uid != remediation.spec.target_ref.uid:
            # Nothing is written any more, only found out: what was written to its autoscaler, or to its owner, is still there.
            gone = Refusal(Reason.TargetGone, f"{case.seen.target} was deleted or replaced before the write")
            return await self._carry_out(case, remediation, gone, first=False)
        if plan.replica_set:
            template = await self._live.template(case.seen.target, plan.replica_set)
        change = self._against(remediation, await self._live.read(case, Reads(live=True))) or change_of(plan, template)
        return await self._carry_out(case, remediation, change, first=False)

    def _against(self, remediation: Remediation, live: Live | None = None) -> Refusal | None:
        """Say what now stands against carrying out an intent, by what was just read, or from memory: a person's order to stop above all."""
        if live is not None and not live.policy_current:
            return Refusal(Reason.NoStepApplies, "the policy was changed or deleted meanwhile")
        ref = remediation.spec.target_ref
        fresh = self._observer.case(Target(remediation.metadata.namespace or "", ref.kind, ref.name), live)
        return objecting.objection(fresh, remediation, judge(fresh))

    def _objection(self, remediation: Remediation, live: Live | None) -> Refusal | None:
        """Say what now stands against carrying out an intent. Asked directly before a write, it must not wait."""
        if not self._leading():
            return Refusal(Reason.NotLeader, "this copy does not hold the Lease any more")
        return self._against(remediation, live)

    async def _restore(self, case: Case, decision: Decision, lent: Lent) -> Decision:
        """Put back what was temporary. What is left of a lost record is put back only once the API server says that it is lost."""
        work, target, one = case.seen.workload, case.seen.target, lent.remediation
        if one is None and (one := await self._recorder.record_of(target.namespace, lent.remediation_uid)) is not None:
            if not unheard(one):
                self._observer.found(target, lent)
                return decision
            lent = replace(lent, remediation=one)
        put = await self._executor.put_back(target, one.spec.target_ref.uid if one else (work.uid if work else ""), lent)
        if put is None:
            return decision
        if not put.state.open:
            self._observer.found(target, lent)
        log.info("put back", extra={"target": str(case.seen.target), "state": str(put.state), "why": put.message})
        return restoring.told(case, decision, lent, put)

    async def _look_at_owner(self, case: Case, decision: Decision, paused: Remediation) -> Decision:
        """Look at a GitOps owner that is paused, and resume it where it may be."""
        now = await self._suspender.look(paused, self._now(), case.spent) or suspending.bereft(case, paused)
        if now is None:
            return decision
        log.info("suspended owner", extra={"remediation": paused.metadata.name, "state": str(now.state), "why": now.message})
        decision, notice = suspending.told(case, decision, paused, now)
        # Its incident may be over for long; the remediation is there until nothing is owed.
        await self._recorder.event(paused, notice, case.now)
        return decision


def _with(case: Case, done: Remediation) -> Case:
    others = tuple(one for one in case.remediations if one.metadata.uid != done.metadata.uid)
    left = tuple(done if one.metadata.uid == done.metadata.uid else one for one in case.left)
    # Where its workload was made anew meanwhile, what is there now is not what it was done to.
    return replace(case, left=left) if done in left else replace(case, remediations=(*others, done))
