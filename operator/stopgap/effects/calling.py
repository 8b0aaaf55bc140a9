"""Sends the HTTP calls of actions: what comes back is judged by its status alone, and shown nowhere."""

from stopgap.effects.egress import Egress
from stopgap.effects.outside import Fate, Order, Receipt, Send
from stopgap.effects.secrets import Secrets
from stopgap.model.http import HttpCall
from stopgap.model.observation import Refusal
from stopgap.model.query import PLATFORM, Request, Response, Silence
from stopgap.model.reasons import Reason

_SERVER_ERROR, _OTHERWISE = 500, 300


class Caller:
    """Does what `http` steps declare."""

    def __init__(self, egress: Egress, secrets: Secrets) -> None:
        self._egress = egress
        self._secrets = secrets

    async def ready(self, order: Order) -> Send | Receipt | Refusal:
        """Read the Secrets that it takes."""
        change = order.outside.http
        call = change.restore if change and order.inverse else change
        if call is None:
            return Refusal(Reason.Refused, "there is no call for this")
        headers = await self._secrets.headers(self._secrets.where(order.namespace, platform=order.platform), call.headers)
        if isinstance(headers, Refusal):
            return headers
        kind = (("content-type", "application/json"),) if call.body else ()
        sent = (*kind, *headers, ("idempotency-key", order.key))
        request = Request(call.url, method=call.method, headers=sent, content=call.body.encode() or None)
        scope = PLATFORM if order.platform else order.namespace

        async def send() -> Receipt:
            return judged(call, await self._egress.send(request, scope=scope, deadline=call.timeout))

        return send


def judged(call: HttpCall, answer: Response | Silence) -> Receipt:
    """Say what an answer means, or that there was none."""
    if isinstance(answer, Silence):
        return Receipt(Fate.UNKNOWN, answer.why) if answer.sent else Receipt(Fate.NOT_DONE, f"nothing was sent: {answer.why}")
    if answer.status in call.means_done:
        return Receipt(Fate.DONE, f"answered {answer.status}")
    message = f"answered {answer.status}, and not {', '.join(str(one) for one in call.means_done)}"
    # Who answers with an error of its own may have done it, or half of it; so may who answers that it was done in another way.
    if answer.status >= _SERVER_ERROR or answer.status < _OTHERWISE:
        return Receipt(Fate.UNKNOWN, message)
    return Receipt(Fate.NOT_DONE, message)
