"""A context takes hardly more memory of a server than its data."""

from __future__ import annotations

from typing import Any

import pytest
import redis

import ccs
from ccs._core.names.keys import Keys, keys_of

BEFORE = 5_384
"""Bytes of Valkey 9.1 for a context of one entry, when its journal was left as the server makes it."""


def taken(client: Any, keys: Keys) -> int:
    return sum(client.memory_usage(key, samples=0) or 0 for key in keys.all)


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_context_of_one_entry_takes_less_than_half_of_what_it_took(
    kind: str, server_urls: Any, namespace: str
) -> None:
    """Given a server with its own settings, when contexts are created, also again, then their journals are no larger than needed."""
    url = server_urls(kind)
    with ccs.connect(url, namespace=namespace) as store, redis.Redis.from_url(url) as client:
        task, keys = store.task("42", ttl=60), keys_of(namespace, "/tasks/42")
        for _ in range(2):
            task.set("status", {"state": "running"})
            assert taken(client, keys) < BEFORE / 2
            assert [change.path for change in task.history()] == ["status"]
            assert {client.pttl(key) > 0 for key in keys.all if client.exists(key)} == {True}
            assert len(client.keys(f"*{keys.channel}*")) == len([key for key in keys.all if client.exists(key)])
            task.drop()


@pytest.mark.parametrize("missing", ["copy", "rename"])
def test_a_caller_that_may_not_copy_writes_all_the_same(missing: str, valkey: str, namespace: str) -> None:
    """Given a user without the right to copy, when a context begins, then all of it is there, only larger."""
    user = f"limited-{namespace}"
    with redis.Redis.from_url(valkey) as client:
        client.execute_command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", f"-{missing}")
        try:
            with ccs.connect(valkey.replace("://", f"://{user}:pw@"), namespace=namespace) as store:
                store.task("42").set("status", 1)
                assert store.task("42").get("status") == 1
                assert [change.path for change in store.task("42").history()] == ["status"]
                assert taken(client, keys_of(namespace, "/tasks/42")) > BEFORE / 2
        finally:
            client.acl_deluser(user)
