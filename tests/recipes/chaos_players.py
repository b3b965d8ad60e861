"""An agent that does all that the recipes offer at once, and keeps a diary on disk of what it was told: in a `Player`.

The diary outlives a kill -9: a line is with the kernel before the next call is made.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ccs
import ccs._async.opening
import ccs._sync.opening
from tests.support.colours import connect_in
from tests.support.waiting import aeventually, scaled

TTL, TRIES, RESOURCES, ROLES, LIMIT = 0.8, 3, 3, ("reader", "writer"), 100
SETTLE, END = "settle", "end"
"""Files by which the agents are told to do no more than be present, and to go."""


class Diary:
    """The results that an agent got, one line each: the kind, and the facts."""

    def __init__(self, path: Path, agent: str) -> None:
        self._file, self._agent = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), agent

    def note(self, kind: str, **facts: Any) -> None:
        os.write(self._file, json.dumps({"kind": kind, "agent": self._agent, **facts}).encode() + b"\n")


def read_diaries(folder: Path) -> list[dict[str, Any]]:
    """Returns the notes of all agents."""
    return [json.loads(line) for path in sorted(folder.glob("*.diary")) for line in path.read_text().splitlines()]


class Broken(Exception):
    """A piece of work that fails."""


EXPECTED = (ccs.AlreadyClaimed, ccs.ClaimLost, ccs.InboxFull, ccs.Unavailable, TimeoutError, Broken)
"""What may come of any call, and ends no agent."""


class Agent:
    """One task for each recipe, all of them on one store."""

    def __init__(self, task: Any, name: str, diary: Diary, folder: Path, dice: random.Random) -> None:
        self.task, self.name, self.folder, self.dice = task, name, folder, dice
        self.note, self._count, self._forgotten = diary.note, 0, list[Any]()

    async def live(self) -> None:
        """Works until it has to settle; then it is present until it has to end."""
        doing = (self.claim, self.call, self.send, self.receive, self.remember, self.attend)
        await asyncio.gather(*map(self._until_settled, doing))
        async with self.task.join("settled", ttl=TTL):
            await aeventually((self.folder / END).exists, 120, "the end")

    async def _until_settled(self, step: Callable[[], Awaitable[None]]) -> None:
        while not (self.folder / SETTLE).exists():
            try:
                await step()
            except EXPECTED as error:
                self.note(type(error).__name__, at=step.__name__)
            await asyncio.sleep(self.dice.random() / 50)  # a pace, so that the journal of a long run can be read

    async def claim(self) -> None:
        """Writes under a claim, also when the claim seems lost."""
        resource = f"r/{self.dice.randrange(RESOURCES)}"
        async with self.task.claim(resource, ttl=TTL, wait=self.dice.choice((0, 0.5))) as claim:
            for _ in range(self.dice.randrange(1, 5)):
                await self._linger()
                now = time.time()
                if claim.held:
                    self.note("believed", resource=resource, token=claim.token, now=now)
                entry = await claim.context.set(f"work/{resource}", {"token": claim.token})
                self.note("wrote", resource=resource, token=claim.token, revision=entry.revision)

    async def call(self) -> None:
        """Asks for the result of a key that others ask for too; the keys change twice a second."""
        key = f"k/{int(time.time() * 2)}/{self.dice.randrange(3)}"

        def run(*, token: int) -> dict[str, Any]:
            self.note("began", key=key, token=token)
            time.sleep(self.dice.random() / 2)
            if self.dice.random() < 0.3:
                raise Broken(key)
            return {"by": self.name, "token": token}

        try:
            result = await self.task.once(key, run, lease=TTL, attempts=TRIES, timeout=scaled(10))
            self.note("result", key=key, result=result)
        except ccs.RetriesExhausted:
            self.note("exhausted", key=key)

    async def send(self) -> None:
        """Sends one message, or two in one commit."""
        self._count += 1
        role, content = self.dice.choice(ROLES), f"{self.name}.{self._count}"
        if self.dice.random() < 0.7:
            message = await self.task.send(role, content, limit=LIMIT)
            return self.note("sent", content=content, revision=message.revision)
        async with self.task.transaction() as tx:
            for part in (content, f"{content}b"):
                await _maybe(tx.send(role, part, limit=LIMIT))
        revision = await _maybe(tx.revision)
        for part in (content, f"{content}b"):
            self.note("sent", content=part, revision=revision)

    async def receive(self) -> None:
        """Takes messages and acknowledges most; gives some back, and forgets some for long."""
        async with self.task.inbox(self.dice.choice(ROLES), lease=TTL, attempts=TRIES) as inbox:
            for _ in range(self.dice.randrange(1, 30)):
                message = await inbox.receive(timeout=0.5)
                self.note("received", id=message.id, attempts=message.attempts)
                await self._settle(message)

    async def _settle(self, message: Any) -> None:
        chance = self.dice.random()
        with suppress(ccs.ClaimLost):
            if chance < 0.8:
                await self._acknowledge(message)
            elif chance < 0.9:
                await message.release(delay=self.dice.choice((0, 0.1)))
            else:
                self._forgotten.append(message)

    async def _acknowledge(self, message: Any) -> None:
        await message.ack()
        self.note("acknowledged", id=message.id)

    async def remember(self) -> None:
        """Acknowledges the messages that it had forgotten, when another may have taken or acknowledged them."""
        while self._forgotten and self.dice.random() < 0.8:
            await self._linger()
            await self._acknowledge(self._forgotten.pop(0))
        await asyncio.sleep(TTL)

    async def _linger(self) -> None:
        """Time in which it may be stopped."""
        await asyncio.sleep(self.dice.random() / 10)

    async def attend(self) -> None:
        """Is present for a while."""
        async with self.task.join("working", ttl=TTL):
            await asyncio.sleep(self.dice.random())


async def _maybe(result: Any) -> Any:
    """Returns a result that must be awaited in one colour only."""
    return await result if asyncio.iscoroutine(result) else result


def live(url: str, namespace: str, name: str, colour: str, folder: Path, seed: int) -> None:
    """Runs an agent in a process of its own; its diary has an unexpected error, even if it is killed then."""
    for opening in (ccs._async.opening, ccs._sync.opening):
        opening._ANSWER = scaled(0.5)  # so that a connection on which nothing comes any more costs no five seconds
    diary = Diary(folder / f"{name}.diary", name)
    try:
        asyncio.run(_live(url, namespace, name, colour, folder, seed, diary))
    except BaseException:
        diary.note("failed", error=traceback.format_exc())
        raise


async def _live(url: str, namespace: str, name: str, colour: str, folder: Path, seed: int, diary: Diary) -> None:
    async with connect_in(colour, url, namespace=namespace, agent=name) as store:
        await Agent(store.task("t"), name, diary, folder, random.Random(seed)).live()
