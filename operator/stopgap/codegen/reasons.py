"""`docs/reference/reasons.md`: every reason that Stopgap gives, for the person who found one in `kubectl describe`."""

from stopgap.codegen.markdown import cell, page
from stopgap.model.reasons import Reason

_INTRODUCTION = """\
Every condition, refusal, Event and timeline entry carries one of these words. They are safe to match on in alerts and scripts;
the message beside them is for people and may change.
"""


def render_reasons() -> str:
    """Return the page."""
    rows = [f"| `{reason.value}` | {cell(reason.meaning)} |" for reason in Reason]
    table = "\n".join(["| Reason | What it means |", "| --- | --- |", *rows])
    return page("Reasons", "operator/stopgap/model/reasons.py", f"{_INTRODUCTION}\n{table}\n")
