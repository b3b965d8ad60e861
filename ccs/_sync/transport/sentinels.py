# Generated from ccs/_async/transport/sentinels.py by scripts/twin. Do not edit.
"""Asks Sentinels where the primary is."""

from __future__ import annotations

import time
from functools import partial

from ccs._compat import call, side_by_side
from ccs._core.names.server_url import Endpoint
from ccs._core.names.target import Target
from ccs._core.nodes.cluster_layout import Node
from ccs._core.retry import Patience
from ccs._protocol.faults import Disconnected, denied
from ccs._protocol.replies import InvalidReply, ServerError
from ccs._protocol.sentinel_question import SentinelQuestion
from ccs._protocol.sockets import tls_context
from ccs._sync.transport.sockets import hang_up, open_socket
from ccs.errors import Unavailable

__all__ = ["Sentinels"]

# Seconds that one Sentinel may take to answer.
_ANSWER = 0.5

Asked = SentinelQuestion | Exception


class Sentinels:
    """The Sentinels of a target. A majority of them is asked: one that is cut off may name an earlier primary."""

    def __init__(self, target: Target) -> None:
        self._target = target
        # Those that answered last time come first.
        self._order = target.seeds

    def __repr__(self) -> str:
        return f"<Sentinels of {self._target.address}>"

    def primary(self, patience: Patience) -> Node:
        """Returns where the primary is, by the latest failover that any of the asked Sentinels knows of.

        Raises `Disconnected` if none answers, and `Unavailable` if none of them knows its name.
        """
        waiting = list(self._order)
        answered: dict[Endpoint, SentinelQuestion] = {}
        failed: dict[Endpoint, Exception] = {}
        while waiting and len(answered) <= len(self._order) // 2:
            some = waiting[: len(self._order) // 2 + 1 - len(answered)]
            waiting = waiting[len(some) :]
            asking = [partial(self._ask, sentinel, patience) for sentinel in some]
            for sentinel, found in zip(some, side_by_side(asking), strict=True):
                if isinstance(found, SentinelQuestion):
                    answered[sentinel] = found
                else:
                    failed[sentinel] = found
        self._order = (*answered, *waiting, *failed)
        return self._chosen(list(answered.values()), list(failed.values()))

    def _chosen(self, answers: list[SentinelQuestion], failures: list[Exception]) -> Node:
        if not answers:
            raise next(
                (error for error in failures if isinstance(error, Unavailable)),
                Disconnected(f"no Sentinel answers: {failures[-1]}", sent=False),
            )
        newest = max(answers, key=lambda answer: answer.epoch)
        if newest.primary is None:
            raise Unavailable(
                self._target.address, reason=f"its Sentinels know no primary of the name {self._target.primary!r}"
            )
        return newest.primary

    def _ask(self, sentinel: Endpoint, patience: Patience) -> Asked:
        question = SentinelQuestion(sentinel, self._target.primary)
        try:
            context = call(tls_context, sentinel.tls, self._target.address) if sentinel.tls else None
            left = min(_ANSWER, patience.left(time.monotonic()))
            hang_up(open_socket(sentinel, context, question, _ANSWER, left))
        except ServerError as error:
            if denied(error) or error.code in ("NOAUTH", "WRONGPASS"):
                return Unavailable(self._target.address, reason=f"a Sentinel refuses us: {error}")
            return error
        except (InvalidReply, OSError, Unavailable) as error:
            return error
        return question
