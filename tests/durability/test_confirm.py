"""`confirm.lua`: whether a batch still stands, and that something is written if it does."""

from __future__ import annotations

import pytest
import redis

import ccs
from ccs._core.commits.commit import Batch
from ccs._core.commits.script_calls import confirm_call
from ccs._core.names.keys import Keys, keys_of
from ccs._protocol.scripts import SCRIPTS
from tests.support.journal import records

TASK = "/tasks/42"


@pytest.fixture
def client(valkey: str) -> redis.Redis:
    return redis.Redis.from_url(valkey)


def written(client: redis.Redis) -> int:
    return int(client.info("persistence")["rdb_changes_since_last_save"])


def confirmed(client: redis.Redis, keys: Keys, batch: Batch, revision: int) -> bool:
    """What the script says. If the batch stands it has written, else it has not."""
    call = confirm_call(batch, keys, revision)
    before = written(client)
    told = call.parse(client.eval(SCRIPTS[call.script].text, len(call.keys), *call.keys, *call.arguments))
    assert (written(client) > before) == told
    return told


def batches(url: str, namespace: str) -> list[tuple[Batch, int]]:
    """The batches of a context that hold one commit each, and its revision."""
    found = []
    for record in records(url, namespace, TASK):
        client, number, _ = record.identity.decode().split()
        found.append((Batch([], client, int(number)), record.revision))
    return found


def test_a_batch_stands_if_its_answers_are_kept_or_the_journal_has_it(
    client: redis.Redis, valkey: str, namespace: str
) -> None:
    keys = keys_of(namespace, TASK)
    with ccs.connect(valkey, namespace=namespace) as store:
        for number in range(6):
            store.task("42").set("a", number)
    made = batches(valkey, namespace)
    assert len(made) == 6
    assert all(confirmed(client, keys, batch, revision) for batch, revision in made)
    assert [confirmed(client, keys, batch, 0) for batch, _ in made] == [False] * 5 + [True]


def test_a_batch_that_was_lost_does_not_stand(client: redis.Redis, valkey: str, namespace: str) -> None:
    keys = keys_of(namespace, TASK)
    other = keys_of(namespace, "/tasks/other")
    with ccs.connect(valkey, namespace=namespace) as store:
        entry = store.task("42").set("a", 1)
    (batch, revision) = batches(valkey, namespace)[0]
    assert revision == entry.revision
    assert not confirmed(client, other, batch, revision)
    assert not confirmed(client, keys, Batch([], batch.client, batch.number + 2), revision)
    assert not confirmed(client, keys, Batch([], "somebody", batch.number), revision)
    assert not confirmed(client, keys, Batch([], batch.client, batch.number + 1), revision - 1)


def test_a_batch_stands_after_its_context_was_dropped_as_long_as_its_answers_are_kept(
    client: redis.Redis, valkey: str, namespace: str
) -> None:
    keys = keys_of(namespace, TASK)
    with ccs.connect(valkey, namespace=namespace) as store:
        store.task("42").set("a", 1)
        (batch, revision) = batches(valkey, namespace)[0]
        with ccs.connect(valkey, namespace=namespace) as other:
            other.task("42").drop()
    assert confirmed(client, keys, batch, revision)


def test_another_format_is_refused(client: redis.Redis, valkey: str, namespace: str) -> None:
    keys = keys_of(namespace, TASK)
    client.hset(keys.meta, "state", "1796069321125252/9/7.0 rest")
    with pytest.raises(redis.ResponseError, match="CCSFORMAT"):
        confirmed(client, keys, Batch([], "somebody", 2), 1)
