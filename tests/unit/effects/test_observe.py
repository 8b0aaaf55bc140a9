"""What a case knows of other workloads: actions that are out and not proved, from records and reservations."""

from datetime import timedelta
from typing import Any

from tests.conftest import NOW, executed, make_remediation, make_waiting
from tests.unit.effects.test_census import World
from tests.unit.effects.test_storm import Copy

from stopgap.api import Remediation
from stopgap.core.limits import perhaps_spent
from stopgap.effects.observe import Observer
from stopgap.model.refs import Target


class Scene:
    """Three workloads of one namespace, and the observer of one copy."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.world.policy("shop", there=True)
        for name in "abc":
            self.world.deploy("shop", name)
        self.observer = Observer(
            self.world.index,
            self.world.records,
            storm=Copy(self.world).keeper,
            headcount=self.world.headcount,
            rosters=self.world.rosters,
            namespaces=self.world.namespaces,
            samples=lambda _target, _policy: {},
            synced=lambda _: True,
            leading=lambda: True,
        )

    def act(self, name: str, **status: Any) -> Remediation:
        made = make_remediation(name=f"{name}-g1", targetRef={"name": name, "uid": f"shop-{name}"}, status=status or None)
        self.world.version += 1
        body = made.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.world.records.take(Remediation, {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.world.version)}})
        return made

    def unverified(self, name: str) -> int:
        return self.observer.case(Target("shop", "Deployment", name)).unverified


def test_an_action_counts_for_the_others_from_its_record_until_it_ends() -> None:
    scene = Scene()
    assert scene.unverified("a") == 0
    scene.act("b")
    assert (scene.unverified("a"), scene.unverified("b")) == (1, 0)
    scene.act("b", **executed(NOW))
    assert scene.unverified("a") == 1
    scene.act("b", **executed(NOW, state="Succeeded"))
    assert scene.unverified("a") == 0


def test_an_action_counts_from_the_decision_on_and_only_once() -> None:
    scene = Scene()
    work = scene.world.index.workload(Target("shop", "Deployment", "b"))
    assert work is not None
    with scene.observer.reserved(work, make_remediation().spec):
        assert scene.unverified("a") == 1
        scene.act("b")
        assert scene.unverified("a") == 1
    assert scene.unverified("a") == 1, "the record goes on counting when the reservation ends"


def test_actions_count_after_a_restart() -> None:
    before = Scene()
    before.act("b", **executed(NOW))
    before.act("c")
    assert Scene(before.world).unverified("a") == 2


def test_what_was_deleted_proves_nothing_any_more() -> None:
    scene = Scene()
    scene.act("b", **executed(NOW))
    scene.world.delete("shop", "b")
    scene.act("c", **executed(NOW))
    scene.world.records.drop(Remediation, "shop", "c-g1")
    assert scene.unverified("a") == 0


def test_what_a_crash_left_unsaid_counts_against_the_budgets_until_it_is_known() -> None:
    def spent(scene: Scene) -> list[str]:
        return [one.target_uid for one in scene.observer.case(Target("shop", "Deployment", "a")).spent]

    scene = Scene()
    scene.act("b")
    assert spent(scene) == ["shop-b"]
    work = scene.world.index.workload(Target("shop", "Deployment", "b"))
    assert work is not None
    with scene.observer.reserved(work, make_remediation().spec):
        assert spent(scene) == ["shop-b"], "and once only while this copy carries it out"
    scene.act("b", **executed(NOW))
    assert spent(scene) == ["shop-b"]
    other = Scene()
    other.act("b")
    other.act("b", state="Superseded")
    assert spent(other) == []


def test_an_intent_of_long_ago_fills_no_budget_for_ever() -> None:
    made = make_remediation(notAfter=NOW - timedelta(hours=2))
    assert [one.at for one in perhaps_spent([made], NOW)] == [NOW - timedelta(hours=2)]
    assert [one.at for one in perhaps_spent([make_remediation()], NOW)] == [NOW]
    assert list(perhaps_spent([make_remediation(status=executed(NOW)), make_waiting()], NOW)) == []
