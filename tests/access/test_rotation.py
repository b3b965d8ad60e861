"""A password that changes while its user is at work: whoever has a provider of credentials notices nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.support.colours import COLOURS, connect_in
from tests.support.waiting import aeventually, bounded, counts, scaled

KINDS = ("valkey", "cluster", "sentinel")
# In short rounds, both colours on one server, and one of them elsewhere.
TRIED = [
    (kind, colour)
    for kind in KINDS
    for colour in COLOURS
    if counts(kind == "valkey" or (kind == "cluster") == (colour == "asyncio"), True)
]
WRITERS = 4


class Vault:
    """A provider of credentials, whose password is changed from outside."""

    def __init__(self, user: str, password: str) -> None:
        self.user, self.password = user, password
        self.asked = 0

    def get_credentials(self) -> tuple[str, str]:
        self.asked += 1
        return self.user, self.password


@pytest.fixture
def url(request: pytest.FixtureRequest, server_urls: Callable[[str], str]) -> str:
    return server_urls(request.param)


@pytest.mark.parametrize(("url", "colour"), TRIED, indirect=["url"])
async def test_a_password_is_rotated_under_load_and_no_caller_notices(url: str, colour: str, namespace: str) -> None:
    """Given four writers and a watch, when the password changes again and again, then nothing fails and nothing is missed."""
    async with ccs.aio.connect(url, namespace=namespace) as admin:
        everywhere = admin._engine.opening.commands.on_every_server
        vault = Vault(f"u{namespace}", "secret-0")
        await admin.grant(vault.user, write=["/tasks/*"], password=vault.password)
        options: dict[str, Any] = {"namespace": namespace, "credential_provider": vault, "retry_for": scaled(20)}
        async with connect_in(colour, url, **options) as store:
            # One context for each writer: in a Cluster they are on different nodes.
            tasks = [store.task(f"{number}") for number in range(WRITERS)]
            done = asyncio.Event()
            async with tasks[0].watch("n") as changes:
                working = [asyncio.create_task(_write(task, done)) for task in tasks]
                for number in range(counts(3, 20)):
                    before = [task.last_revision for task in tasks]
                    asked = vault.asked
                    password = f"secret-{number + 1}"
                    # At once and without overlap, the server first: the provider has the old one for a while.
                    await everywhere(("ACL", "SETUSER", vault.user, "resetpass", f">{password}"))
                    await everywhere(("CLIENT", "KILL", "USER", vault.user))
                    await asyncio.sleep(0.05)
                    vault.password = password
                    await aeventually(
                        lambda asked=asked, before=before: (
                            vault.asked > asked
                            and all(task.last_revision > old for task, old in zip(tasks, before, strict=True))
                        ),
                        20,
                        "every writer to go on",
                    )
                done.set()
                written = await bounded(asyncio.gather(*working), 30)
                seen = [(await changes.receive(timeout=scaled(10))).value for _ in range(written[0])]
            assert seen == list(range(1, written[0] + 1))
            assert [await task.get("n") for task in tasks] == written
        await admin.revoke(vault.user)


async def _write(task: Any, done: asyncio.Event) -> int:
    written = 0
    while not done.is_set():
        written = await task.increment("n")
    return written


@pytest.mark.parametrize("colour", counts(("blocking",), COLOURS))
async def test_a_provider_that_is_wrong_for_long_is_told_so(colour: str, valkey: str, namespace: str) -> None:
    """Given a provider whose password the server does not know, when a store is entered, then it fails before its patience."""
    vault = Vault("nobody", "secret-0")
    store = connect_in(colour, valkey, namespace=namespace, credential_provider=vault, retry_for=scaled(60))
    with pytest.raises(ccs.Unavailable, match="it refuses us") as caught:
        await bounded(store.__aenter__(), 15)
    assert "secret-0" not in str(caught.value)
    assert vault.asked > 1
