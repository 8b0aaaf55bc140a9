"""What is done once a second, whatever happens."""

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest

from stopgap.effects.housekeeping import Housekeeping


@pytest.mark.parametrize(
    ("heard", "made_up_for"),
    [
        pytest.param([True, True, True], 0, id="always"),
        pytest.param([True, False, False, True, True], 1, id="again after a while"),
        pytest.param([True, False, True, False, True], 2, id="again twice"),
        pytest.param([False, False], 0, id="not yet"),
    ],
)
async def test_what_came_while_a_watch_was_in_trouble_is_looked_at_once_it_is_heard_again(
    heard: list[bool], made_up_for: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, over, again = iter(heard), asyncio.Event(), list[bool]()

    def counts_are_true() -> bool:
        answer = next(answers, None)
        if answer is None:
            over.set()
        return bool(heard[-1] if answer is None else answer)

    async def at_once(_: float) -> None:
        await _Turn()

    monkeypatch.setattr("asyncio.sleep", at_once)
    parts: dict[str, Any] = dict.fromkeys(("own", "policies", "storm", "recorder", "now"))
    gauge = SimpleNamespace(set=lambda _: None)
    keeping = Housekeeping(
        SimpleNamespace(workload_uids=list),  # type: ignore[arg-type]  # stands in for it
        SimpleNamespace(open_incidents=list),  # type: ignore[arg-type]  # stands in for it
        telemetry=SimpleNamespace(leading=gauge, workloads=gauge, open_incidents=gauge),  # type: ignore[arg-type]  # stands in for it
        leading=lambda: False,
        counts_are_true=counts_are_true,
        heard_again=lambda: again.append(True),
        own_namespace="stopgap-system",
        **parts,
    )
    task = asyncio.create_task(keeping.run())
    await over.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert len(again) == made_up_for


class _Turn:
    """Lets others run once, without asyncio.sleep."""

    def __await__(self) -> Any:
        yield
