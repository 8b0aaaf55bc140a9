import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiohttp import web

from stopgap.effects.connection import Connection
from stopgap.effects.kube import Kube
from stopgap.effects.lease import Lease

PATH = "/apis/coordination.k8s.io/v1/namespaces/ops/leases"


class Fast(Lease):
    """The same rules, fifty times as fast."""

    LEASE_SECONDS = 1.0  # the API counts whole seconds
    RENEW_DEADLINE = 0.07
    RETRY_PERIOD = 0.02
    RENEW_EVERY = 0.04


class Patient(Fast):
    """Counts itself out only after a long time without a renewal."""

    RENEW_DEADLINE = 60.0


class Lazy(Fast):
    """Does not try again before long."""

    RETRY_PERIOD = 60.0


class Store:
    """One stored Lease, compare-and-swap by resourceVersion; `mood` makes the next answers go wrong."""

    def __init__(self, **spec: Any) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.writes: list[dict[str, Any]] = []
        self.mood = "well"
        self.asked = asyncio.Event()
        if spec:
            self.keep({"metadata": {}, "spec": spec})

    def keep(self, lease: dict[str, Any]) -> web.Response:
        self.version += 1
        lease["metadata"]["resourceVersion"] = str(self.version)
        self.lease = lease
        return web.json_response(lease)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.set()
        if self.mood == "silent":
            await asyncio.sleep(60)
        if self.mood == "failing":
            return web.json_response({}, status=500)
        if request.method == "GET":
            return web.json_response(self.lease) if self.lease else web.json_response({}, status=404)
        body = msgspec.json.decode(await request.read())
        self.writes.append(body)
        return self.create(body) if request.method == "POST" else self.merge(body)

    def create(self, body: dict[str, Any]) -> web.Response:
        return web.json_response({"reason": "AlreadyExists"}, status=409) if self.lease else self.keep(body)

    def merge(self, body: dict[str, Any]) -> web.Response:
        if self.lease is None:
            return web.json_response({}, status=404)
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            return web.json_response({"reason": "Conflict"}, status=409)
        annotations = {**self.lease["metadata"].get("annotations", {}), **body["metadata"].get("annotations", {})}
        kept = {key: text for key, text in annotations.items() if text is not None}
        return self.keep({"metadata": {"annotations": kept}, "spec": {**self.lease["spec"], **body["spec"]}})

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        spec: dict[str, Any] = self.lease["spec"]
        return spec


class Copy:
    """One running copy of the operator, as far as the Lease is concerned."""

    def __init__(self, lease: Fast, won: asyncio.Event, lost: asyncio.Event) -> None:
        self.lease, self.won, self.lost = lease, won, lost
        self.task = asyncio.create_task(lease.run())

    async def wins(self) -> None:
        await asyncio.wait_for(self.won.wait(), 5)
        assert self.lease.leading()

    async def loses(self) -> None:
        await asyncio.wait_for(self.lost.wait(), 5)
        assert not self.lease.leading()

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


async def nobody() -> str | None:
    return None


class House:
    """A store behind a server, and the copies that compete for it."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._stack = contextlib.AsyncExitStack()
        self._copies: list[Copy] = []

    async def copy(self, identity: str, kind: type[Fast] = Fast) -> Copy:
        kube = await self._stack.enter_async_context(Kube(Connection(server=self._server, credentials=nobody)))
        won, lost = asyncio.Event(), asyncio.Event()
        lease = kind(kube, namespace="ops", name="stopgap", identity=identity, won=won.set, lost=lost.set)
        copy = Copy(lease, won, lost)
        self._copies.append(copy)
        return copy

    async def close(self) -> None:
        for copy in self._copies:
            await copy.stop()
        await self._stack.aclose()


@contextlib.asynccontextmanager
async def house(store: Store) -> AsyncIterator[House]:
    application = web.Application()
    application.router.add_post(PATH, store.answer)
    application.router.add_route("*", f"{PATH}/stopgap", store.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made = House(f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        yield made
    finally:
        store.mood = "well"
        await made.close()
        await runner.cleanup()


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the store is plain data; nobody tells when it changes
            await asyncio.sleep(0.002)


async def test_a_lease_that_does_not_exist_is_created_and_renewed() -> None:
    store = Store()
    async with house(store) as copies:
        one = await copies.copy("one", Patient)
        assert not one.lease.leading()
        await one.wins()
        await until(lambda: len(store.writes) >= 3)
        assert one.lease.leading()
        assert one.lease.holder == "one"
        assert store.spec["holderIdentity"] == "one"
        assert store.spec["leaseDurationSeconds"] == 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", store.spec["renewTime"])
        assert store.spec["acquireTime"] < store.spec["renewTime"]
        assert store.spec["leaseTransitions"] == 1
        assert not one.lost.is_set()


async def test_of_two_copies_one_leads_and_the_other_waits() -> None:
    store = Store()
    async with house(store) as copies:
        one = await copies.copy("one", Patient)
        await one.wins()
        two = await copies.copy("two", Patient)
        await until(lambda: two.lease.holder == "one")
        await until(lambda: len(store.writes) >= 4)
        assert (one.lease.leading(), two.lease.leading()) == (True, False)
        assert {write["spec"]["holderIdentity"] for write in store.writes} == {"one"}


async def test_two_copies_that_start_together_do_not_both_win() -> None:
    async with house(Store()) as copies:
        one, two = await copies.copy("one", Patient), await copies.copy("two", Patient)
        await until(lambda: one.lease.leading() or two.lease.leading())
        await until(lambda: one.lease.holder == two.lease.holder)
        assert one.lease.leading() != two.lease.leading()


async def test_a_clean_exit_hands_over_at_once() -> None:
    async with house(Store()) as copies:
        one = await copies.copy("one")
        await one.wins()
        two = await copies.copy("two")
        await until(lambda: two.lease.holder == "one")
        began = asyncio.get_running_loop().time()
        await one.stop()
        assert one.lost.is_set()
        await two.wins()
        assert asyncio.get_running_loop().time() - began < Fast.LEASE_SECONDS / 2


async def test_a_holder_that_is_dead_is_replaced_only_after_it_was_watched_for_the_whole_duration() -> None:
    store = Store(holderIdentity="dead", leaseDurationSeconds=1, renewTime="2020-01-01T00:00:00.000000Z")
    async with house(store) as copies:
        began = asyncio.get_running_loop().time()
        one = await copies.copy("one")
        await one.wins()
        assert 1.0 <= asyncio.get_running_loop().time() - began < 1.5
        assert (store.spec["holderIdentity"], store.spec["leaseTransitions"]) == ("one", 1)


async def test_a_holder_with_a_wrong_clock_stays_alive_as_long_as_its_record_changes() -> None:
    store = Store(holderIdentity="other", leaseDurationSeconds=1, renewTime="2020-01-01T00:00:00.000000Z")
    async with house(store) as copies:
        one = await copies.copy("one")
        for second in range(8):
            await asyncio.sleep(0.2)
            store.keep({"metadata": {}, "spec": {**store.spec, "renewTime": f"2020-01-01T00:00:0{second}.000000Z"}})
        assert store.writes == []
        assert not one.lease.leading()


async def test_a_leader_that_cannot_renew_stops_leading_before_anyone_can_follow() -> None:
    for mood in ("silent", "failing"):
        store = Store()
        async with house(store) as copies:
            one = await copies.copy("one")
            await one.wins()
            store.mood = mood
            began = asyncio.get_running_loop().time()
            await one.loses()
            assert asyncio.get_running_loop().time() - began < Fast.LEASE_SECONDS
            one.won.clear()
            store.mood = "well"
            await one.wins()
            assert store.spec["leaseTransitions"] == 1


async def test_a_leader_is_told_when_its_time_is_up_even_if_it_tries_nothing_then() -> None:
    store = Store()
    async with house(store) as copies:
        one = await copies.copy("one", Lazy)
        await one.wins()
        store.mood = "failing"
        await one.loses()


async def test_a_gap_that_was_noticed_by_asking_is_told_as_lost_and_won_again() -> None:
    async with house(Store()) as copies:
        one = await copies.copy("one")
        await one.wins()
        one.won.clear()
        # The loop stood still past the deadline: what was asked for meanwhile was left undone, and the alarm is as late as the question.
        one.lease._until = time.monotonic() - 0.001
        assert not one.lease.leading()
        assert one.lost.is_set()
        await one.wins()


async def test_a_lease_that_is_deleted_by_hand_is_made_anew() -> None:
    store = Store()
    async with house(store) as copies:
        one = await copies.copy("one", Patient)
        await one.wins()
        store.lease = None
        await until(lambda: store.lease is not None)
        assert store.spec["holderIdentity"] == "one"
        assert one.lease.leading()
        assert not one.lost.is_set()


async def test_a_lease_that_was_taken_is_given_up_as_soon_as_that_is_seen() -> None:
    store = Store()
    async with house(store) as copies:
        one = await copies.copy("one", Patient)
        await one.wins()
        store.keep({"metadata": {}, "spec": {**store.spec, "holderIdentity": "thief"}})
        await one.loses()
        assert one.lease.holder == "thief"


async def test_a_touched_lease_is_renewed_all_the_same() -> None:
    store = Store()
    async with house(store) as copies:
        one = await copies.copy("one", Patient)
        await one.wins()
        assert store.lease is not None
        store.keep({**store.lease, "metadata": {"annotations": {"note": "by hand"}}})
        before = store.version
        await until(lambda: store.version > before + 1)
        assert not one.lost.is_set()
        assert store.lease["metadata"]["annotations"] == {"note": "by hand"}


async def test_what_the_leader_notes_on_the_lease_is_read_by_the_next() -> None:
    store = Store()
    async with house(store) as copies:
        one = await copies.copy("one")
        await one.wins()
        one.lease.annotations["stopgap.dev/breaker"] = "open"
        await until(lambda: store.lease and store.lease["metadata"].get("annotations"))
        two = await copies.copy("two")
        await one.stop()
        await two.wins()
        assert two.lease.annotations == {"stopgap.dev/breaker": "open"}


async def test_what_the_leader_takes_back_is_removed_with_its_next_renewal() -> None:
    store = Store()
    async with house(store) as copies:
        one = await copies.copy("one")
        await one.wins()
        one.lease.annotations.update({"stopgap.dev/breaker": "open", "kept": "yes"})
        await until(lambda: store.lease and store.lease["metadata"].get("annotations"))
        del one.lease.annotations["stopgap.dev/breaker"]
        await until(lambda: store.lease and store.lease["metadata"]["annotations"] == {"kept": "yes"})


async def test_what_a_person_removes_or_changes_on_the_lease_counts() -> None:
    store = Store()
    async with house(store) as copies:
        one = await copies.copy("one")
        await one.wins()
        one.lease.annotations.update({"removed": "open", "changed": "open", "kept": "open"})
        await until(lambda: store.lease and store.lease["metadata"].get("annotations"))
        assert store.lease is not None
        one.lease.annotations["new"] = "open"
        store.keep({**store.lease, "metadata": {"annotations": {"changed": "by hand", "kept": "open"}}})
        wanted = {"changed": "by hand", "kept": "open", "new": "open"}
        await until(lambda: store.lease and store.lease["metadata"]["annotations"] == wanted)
        assert one.lease.annotations == wanted


async def test_an_unanswered_renewal_of_ours_is_nobody_elses_change() -> None:
    store = Store()
    async with house(store) as copies:
        one = await copies.copy("one", Patient)
        await one.wins()
        one.lease.annotations["stopgap.dev/breaker"] = "open"
        store.mood = "failing"
        sent = len(store.writes)
        await until(lambda: one.lease._sent == {"stopgap.dev/breaker": "open"})
        assert len(store.writes) == sent
        assert store.lease is not None
        # It was written all the same, and what is noted has moved on since.
        store.keep({**store.lease, "metadata": {"annotations": {"stopgap.dev/breaker": "open"}}})
        one.lease.annotations["stopgap.dev/breaker"] = "cooling down"
        store.mood = "well"
        await until(lambda: store.lease and store.lease["metadata"]["annotations"] == {"stopgap.dev/breaker": "cooling down"})


async def test_what_a_copy_once_noted_does_not_replace_what_a_later_leader_noted() -> None:
    store = Store()
    async with house(store) as copies:
        one = await copies.copy("one", Patient)
        await one.wins()
        one.lease.annotations["stopgap.dev/breaker"] = "open"
        mine = store.version
        theirs = {"annotations": {"stopgap.dev/breaker": "closed"}}
        store.keep({"metadata": theirs, "spec": {**store.spec, "holderIdentity": ""}})
        await until(lambda: store.version > mine + 1)
        assert one.lease.annotations == {"stopgap.dev/breaker": "closed"}


async def test_what_a_copy_once_noted_does_not_return_with_a_lease_that_was_deleted() -> None:
    store = Store()
    async with house(store) as copies:
        one = await copies.copy("one")
        await one.wins()
        one.lease.annotations["stopgap.dev/breaker"] = "open"
        store.mood = "failing"
        await one.loses()
        store.lease = None
        store.mood = "well"
        one.won.clear()
        await one.wins()
        assert one.lease.annotations == {}


async def test_a_release_that_races_with_a_cut_off_renewal_is_written_all_the_same() -> None:
    store = Store()
    async with house(store) as copies:
        one = await copies.copy("one")
        await one.wins()
        store.asked.clear()
        store.mood = "silent"
        await asyncio.wait_for(store.asked.wait(), 5)
        store.keep({"metadata": {}, "spec": {**store.spec, "renewTime": "2030-01-01T00:00:00.000000Z"}})
        store.mood = "well"
        await one.stop()
        assert store.spec["holderIdentity"] == ""
