"""What a context's journal holds, read behind the library's back, and what must be true of every journal."""

from collections.abc import Iterable

import redis

from ccs._core.commits.journal import Record, parse_record
from ccs._core.names.keys import keys_of


def records(url: str, namespace: str, address: str) -> list[Record]:
    """Every record of a context, the oldest first."""
    with redis.Redis.from_url(url) as client:
        return [parse_record(raw) for raw in raw_records(client, keys_of(namespace, address).journal)]


def raw_records(client: redis.Redis, journal: str) -> list[bytes]:
    """Every record under a key, the oldest first."""
    return [raw for item in raw_items(client, journal) for raw in item]


def raw_items(client: redis.Redis, journal: str) -> list[list[bytes]]:
    """The records under a key, item by item; each item is named by the last that it holds."""
    # redis-py would make a dictionary of the fields, which all have one name.
    client.set_response_callback("XRANGE", lambda reply, **_: reply)
    items = []
    for name, fields in client.xrange(journal):
        assert set(fields[::2]) == {b"r"}
        items.append(fields[1::2])
        assert name == b"%d-0" % parse_record(fields[-1]).revision
    return items


def identities(found: Iterable[Record]) -> list[bytes]:
    """The identities of the commits that clients made; what the server expired has none."""
    return [record.identity for record in found if not record.identity.startswith(b"- ")]


def check_continuous(found: list[Record]) -> None:
    """Each record names the one before it, revisions only grow, and no identity comes twice."""
    revisions = [record.revision for record in found]
    assert revisions == sorted(set(revisions)), "revisions do not grow"
    assert [record.previous for record in found[1:]] == revisions[:-1], "a record does not name the one before it"
    made = identities(found)
    assert len(made) == len(set(made)), "a commit was applied twice"


def check_consistent(url: str, namespace: str, address: str) -> None:
    """Entries, paths, deadlines and journal tell the same: replaying the journal (it must be whole) gives the entries."""
    keys = keys_of(namespace, address)
    with redis.Redis.from_url(url) as client:
        pipe = client.pipeline(transaction=True)
        pipe.hgetall(keys.entries)
        pipe.zrange(keys.paths, 0, -1)
        pipe.zrange(keys.deadlines, 0, -1)
        entries, paths, deadlines = pipe.execute()
    found = records(url, namespace, address)
    check_continuous(found)
    replayed: dict[bytes, bytes] = {}
    for step in (step for record in found for step in record.operations):
        if step.kind == b"e":
            continue
        if step.after:
            replayed[step.path.encode()] = step.after
        elif step.kind in b"dx":
            replayed.pop(step.path.encode())
    assert entries == replayed, "the entries are not what the journal says"
    assert set(paths) == set(entries), "the paths are not those of the entries"
    expiring = {path for path, raw in entries.items() if int(raw.split(b" ")[4])}
    assert set(deadlines) == expiring, "the deadlines are not those of the entries"
