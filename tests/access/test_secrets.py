"""No secret is in what a log, an error, a report or a debugger shows: all of it is searched for all of them."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.access.test_rotation import Vault
from tests.access.test_tls import options_of
from tests.support.colours import COLOURS, connect_in
from tests.support.waiting import counts, scaled
from tests.transport.test_servers import PASSWORD as KEY_PASSWORD

GIVEN, RANDOM, WRONG, ROTATED, SENTINEL = (
    f"{kind}-s3cr3t" for kind in ("given", "random", "wrong", "vault", "sentinel")
)
# In short rounds, each kind in one colour.
TRIED = [
    (kind, colour)
    for kind in ("valkey", "cluster", "sentinel")
    for colour in COLOURS
    if counts((colour == "asyncio") == (kind == "valkey"), True)
]


class Seen:
    """All that anybody was shown."""

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        self._log = log
        self.texts: list[str] = []

    def add(self, *shown: Any) -> None:
        """What a program prints of these: of an error, with its causes."""
        for each in shown:
            self.texts += [repr(each), str(each)]
            for error in _with_causes(each):
                self.texts += [repr(error), str(error), repr(vars(error)), repr(error.args)]

    def add_everything(self) -> None:
        """What the `repr` of every object of ours that lives says."""
        ours = [each for each in gc.get_objects() if type(each).__module__.partition(".")[0] == "ccs"]
        assert any(type(each).__name__ == "Target" for each in ours)
        self.texts += [repr(each) for each in ours]

    def tells(self, *secrets: str) -> set[str]:
        """Which secret was shown where, briefly."""
        found = set()
        for text in [*self.texts, self._log.text]:
            for secret in secrets:
                at = text.find(secret)
                if at >= 0:
                    found.add(text[max(0, at - 100) : at + 40])
        return found


def _with_causes(error: Any) -> list[BaseException]:
    """An error, and all that led to it."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            waiting += [each.__cause__, each.__context__]
    return found


@pytest.fixture
def url(request: pytest.FixtureRequest, server_urls: Callable[[str], str]) -> str:
    return server_urls(request.param)


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture) -> Seen:
    caplog.set_level(logging.DEBUG)
    return Seen(caplog)


@pytest.mark.parametrize(("url", "colour"), TRIED, indirect=["url"])
async def test_no_secret_is_shown_anywhere(url: str, colour: str, namespace: str, seen: Seen) -> None:
    """Given passwords of every sort in use, when all goes well and when all goes wrong, then none of them is ever seen."""
    async with connect_in(colour, url, namespace=namespace, agent="admin") as admin:
        grant = await admin.grant(f"s{namespace}", write=["/tasks/1"], read=["/tasks/2"], password=GIVEN)
        drawn = await admin.grant(f"t{namespace}", write=["/tasks/1"])
        secret = drawn.url.split("@")[0].rpartition(":")[2]
        assert len(secret) > 30
        seen.add(grant, drawn, await admin.grants(), admin, admin.stats())
        await _use(colour, grant.url, namespace, seen)
        await _fail(colour, grant.url, namespace, seen)
        await _provide(colour, url, grant.user, namespace, seen)
        seen.add_everything()
        for each in (grant, drawn):
            await admin.revoke(each.user)
    assert seen.texts
    assert not seen.tells(GIVEN, secret, WRONG, ROTATED, SENTINEL)


async def _use(colour: str, url: str, namespace: str, seen: Seen) -> None:
    async with connect_in(colour, url, namespace=namespace, retry_for=scaled(20)) as store:
        task = store.task("1")
        async with task.watch("**") as changes:
            await task.set("a", 1)
            seen.add(await changes.receive(timeout=scaled(5)), changes)
        async with task.transaction() as tx:
            seen.add(tx)
        for forbidden in (store.task("2").set("a", 1), store.task("3").get("a"), store.contexts(), store.grants()):
            with pytest.raises(ccs.Forbidden) as caught:
                await forbidden
            seen.add(caught.value)
        with pytest.raises(ccs.Forbidden) as caught:
            await store.grant("other", read=["/tasks/1"], password=RANDOM)
        seen.add(caught.value, store, task, task.view(read="a"), store.stats(), store.address)
        seen.add_everything()
        assert not seen.tells(RANDOM)


async def _fail(colour: str, url: str, namespace: str, seen: Seen) -> None:
    """Wrong passwords, wrong URLs, and servers that are not there."""
    wrong = url.replace(GIVEN, WRONG)
    gone = f"redis://user:{WRONG}@127.0.0.1:1"
    lost = f"redis+sentinel://user:{WRONG}@127.0.0.1:1/main?sentinel_username=u&sentinel_password={SENTINEL}"
    for target in (wrong, gone, lost, f"redis+cluster://user:{WRONG}@127.0.0.1:1,127.0.0.1:2"):
        store = connect_in(colour, target, namespace=namespace, retry_for=0.2)
        with pytest.raises(ccs.Unavailable) as caught:
            await store.__aenter__()
        seen.add(caught.value, store)
    for slip in (
        f"redis://user:{WRONG}/@h:1",
        f"redis//user:{WRONG}@h",
        f"redis://user:{WRONG}@h:port",
        f"redis+sentinel://:{WRONG}@h",
        f"redis://user:{WRONG}@h/0?sentinel_password={SENTINEL}",
    ):
        with pytest.raises(ccs.CCSError) as refused:
            ccs.connect(slip)
        seen.add(refused.value)


async def _provide(colour: str, url: str, user: str, namespace: str, seen: Seen) -> None:
    vault = Vault(user, GIVEN)
    async with connect_in(colour, url, namespace=namespace, credential_provider=vault) as store:
        await store.task("1").set("a", 2)
        seen.add(store, store.task("1"))
        seen.add_everything()
    vault.password = ROTATED
    store = connect_in(colour, url, namespace=namespace, credential_provider=vault, retry_for=0.2)
    with pytest.raises(ccs.Unavailable) as caught:
        await store.__aenter__()
    seen.add(caught.value, store)


@pytest.mark.parametrize("colour", COLOURS)
async def test_the_password_of_a_key_is_not_shown(
    colour: str, tls: int, authority: Path, namespace: str, seen: Seen
) -> None:
    """Given a client's key with a password, when it works and when the password is wrong, then neither is seen."""
    url = f"rediss://localhost:{tls}{options_of(authority)}"
    async with connect_in(colour, url, namespace=namespace) as store:
        await store.task("1").set("a", 1)
        seen.add(store, store.stats(), store.address)
        seen.add_everything()
    store = connect_in(colour, url.replace(KEY_PASSWORD, WRONG), namespace=namespace, retry_for=0.2)
    with pytest.raises(ccs.Unavailable) as caught:
        await store.__aenter__()
    seen.add(caught.value, store)
    assert not seen.tells(KEY_PASSWORD, WRONG)
