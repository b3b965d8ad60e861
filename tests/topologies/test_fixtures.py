"""The Clusters, Sentinels and replicas that tests are given: each operation does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from binascii import crc_hqx
from pathlib import Path

import pytest
import redis

from ccs._core.names.target import parse_target
from tests.support.topologies import SLOTS, Cluster, Node, Replicated, Sentinels
from tests.support.waiting import eventually, scaled


def slot_of(tag: str) -> int:
    return crc_hqx(tag.encode(), 0) % SLOTS


def ports(nodes: list[Node]) -> set[int]:
    return {node.port for node in nodes}


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# A Cluster.


def test_a_cluster_has_three_primaries_with_a_replica_each(cluster: Cluster) -> None:
    assert [len(cluster.replicas_of(primary)) for primary in cluster.primaries] == [1, 1, 1]
    assert sum(node.primary for node in cluster.nodes) == sum(node.replica for node in cluster.nodes) == 3
    assert parse_target(cluster.url).endpoint.port in ports(cluster.nodes)
    assert {seed.port for seed in parse_target(cluster.seeds_url).seeds} == ports(cluster.nodes)


def test_a_slot_has_one_owner_and_the_others_name_it(cluster: Cluster) -> None:
    slot = slot_of("a")
    owner = cluster.owner(slot)
    assert owner.ask("SET", "a", 1)
    for other in cluster.nodes:
        if other is not owner:
            with pytest.raises(redis.ResponseError, match=f"{slot} {owner.place}"):
                other.ask("GET", "a")


def test_a_failover_changes_the_roles_and_loses_nothing(cluster: Cluster) -> None:
    old = cluster.owner(slot_of("a"))
    old.ask("SET", "a", 1)
    replica = cluster.replicas_of(old)[0]
    cluster.failover(replica)
    assert cluster.owner(slot_of("a")) is replica
    assert (replica.primary, old.replica) == (True, True)
    assert replica.ask("GET", "a") == b"1"


def test_a_killed_primary_is_replaced_and_comes_back_as_a_replica(cluster: Cluster) -> None:
    old = cluster.primaries[1]
    (replica,) = cluster.replicas_of(old)
    cluster.kill(old)
    cluster.wait_until_ok()
    assert cluster.primaries[1] is replica
    cluster.restart(old)
    assert cluster.replicas_of(replica) == [old]


def test_a_paused_primary_is_replaced_and_a_replica_once_it_goes_on(cluster: Cluster) -> None:
    old = cluster.primaries[2]
    (replica,) = cluster.replicas_of(old)
    cluster.pause(old)
    cluster.wait_until_ok()
    assert replica.primary
    cluster.resume(old)
    assert old.replica


@pytest.mark.parametrize("at_once", [False, True])
def test_a_slot_moves_with_its_keys(cluster: Cluster, at_once: bool) -> None:
    slot = slot_of("tag")
    source = cluster.owner(slot)
    to = next(node for node in cluster.primaries if node is not source)
    for number in range(150):
        source.ask("SET", f"{{tag}}:{number}", number)
    cluster.move_slot(slot, to, at_once=at_once)
    assert cluster.owner(slot) is to
    assert to.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == 150
    eventually(lambda: source.ask("DBSIZE") == 0)  # at once, its keys are removed after the owner has changed
    assert to.ask("GET", "{tag}:149") == b"149"


def test_the_keys_of_a_slot_may_be_apart_for_a_while(cluster: Cluster) -> None:
    slot = slot_of("tag")
    source = cluster.owner(slot)
    to = next(node for node in cluster.primaries if node is not source)
    for name in ("{tag}a", "{tag}b"):
        source.ask("SET", name, 1)
    with cluster.moving(slot, to):
        cluster.move_keys(slot, to, "{tag}a")
        assert source.ask("GET", "{tag}b") == b"1"
        with pytest.raises(redis.ResponseError, match=f"{slot} {to.place}"):  # ASK
            source.ask("GET", "{tag}a")
        with pytest.raises(redis.ResponseError, match=r"rehashing|between multiple nodes|TRYAGAIN"):
            source.ask("MGET", "{tag}a", "{tag}b")
    assert to.ask("MGET", "{tag}a", "{tag}b") == [b"1", b"1"]


def test_an_emptied_cluster_has_no_key_left(cluster: Cluster) -> None:
    for number in range(30):
        cluster.owner(slot_of(f"{number}")).ask("SET", number, number)
    cluster.empty()
    eventually(lambda: not any(node.ask("DBSIZE") for node in cluster.nodes))


def test_whatever_a_test_broke_is_repaired(cluster: Cluster) -> None:
    slot = slot_of("tag")
    source = cluster.owner(slot)
    with pytest.raises(RuntimeError), cluster.moving(slot, next(n for n in cluster.primaries if n is not source)):
        raise RuntimeError("in between")
    cluster.pause(cluster.replicas_of(source)[0])
    for primary in cluster.primaries:
        cluster.kill(primary)
    cluster.repair()
    assert len(cluster.running) == 6
    assert len(cluster.primaries) == 3
    assert cluster.ok()


def test_a_cluster_may_have_one_node(tmp_path: Path) -> None:
    with Cluster(tmp_path, primaries=1, replicas=0) as cluster:
        (node,) = cluster.nodes
        assert cluster.owner(0) is cluster.owner(SLOTS - 1) is node
        assert node.ask("SET", "a", 1)
        cluster.restart(node)
        assert node.ask("GET", "a") == b"1"
    assert gone_all([node])


def gone_all(nodes: list[Node]) -> bool:
    return not any(node.process for node in nodes) and not any(map(Node.answers, nodes))


# Sentinels.


def test_sentinels_name_the_primary_which_has_two_replicas(sentinels: Sentinels) -> None:
    target = parse_target(sentinels.url)
    assert {seed.port for seed in target.seeds} == ports(sentinels.sentinels)
    for sentinel in sentinels.sentinels:
        place = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", target.primary)
        assert place == [b"127.0.0.1", b"%d" % sentinels.primary().port]
    assert sentinels.primary().primary
    assert sum(node.replica for node in sentinels.nodes) == 2


def test_sentinels_replace_a_killed_primary_which_comes_back_as_a_replica(sentinels: Sentinels) -> None:
    old = sentinels.kill_primary()
    sentinels.wait_until_ok()
    new = sentinels.primary()
    assert new is not old
    assert new.primary
    sentinels.restart(old)
    assert old.follows(new)


def test_sentinels_replace_a_paused_primary(sentinels: Sentinels) -> None:
    old = sentinels.primary()
    sentinels.pause(old)
    sentinels.wait_until_ok()
    assert sentinels.primary() is not old
    sentinels.resume(old)
    assert old.replica


def test_sentinels_make_another_server_the_primary_when_asked(sentinels: Sentinels) -> None:
    old = sentinels.primary()
    old.ask("SET", "a", 1)
    assert old.ask("WAIT", 2, 5000) == 2
    new = sentinels.failover()
    assert new is sentinels.primary() is not old
    assert old.follows(new)
    assert new.ask("GET", "a") == b"1"


def test_a_sentinel_that_was_killed_knows_all_others_again(sentinels: Sentinels) -> None:
    lost = sentinels.sentinels[0]
    sentinels.kill(lost)
    sentinels.wait_until_ok()
    sentinels.restart(lost)
    assert len(lost.ask("SENTINEL", "SENTINELS", "main")) == 2


def test_servers_of_sentinels_can_be_emptied(sentinels: Sentinels) -> None:
    sentinels.primary().ask("SET", "a", 1)
    sentinels.empty()
    eventually(lambda: not any(node.ask("DBSIZE") for node in sentinels.nodes))


# Replicas alone.


def test_a_paused_replica_is_missed_until_it_goes_on(replicated: Replicated) -> None:
    (replica,) = replicated.replicas
    assert parse_target(replicated.url).endpoint.port == replicated.primary.port
    with replicated.primary.client() as client:
        client.set("a", 1)
        assert client.wait(1, 5000) == 1
        replicated.pause(replica)
        client.set("a", 2)
        assert client.wait(1, 100) == 0
        replicated.resume(replica)
        assert client.wait(1, 5000) == 1


def test_a_promoted_replica_is_followed_by_the_others(replicated: Replicated) -> None:
    old = replicated.primary
    (replica,) = replicated.replicas
    replicated.promote(replica)
    assert replicated.primary is replica
    assert replicated.url == replica.url
    assert old.follows(replica)


def test_a_replica_takes_the_place_of_a_killed_primary(replicated: Replicated) -> None:
    old = replicated.primary
    (replica,) = replicated.replicas
    replicated.kill(old)
    replicated.promote(replica)
    assert replica.ask("SET", "a", 1)
    replicated.restart(old)
    assert old.follows(replica)


# Other servers, and their end.


def test_all_of_it_can_be_made_of_redis_7(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("cluster", "sentinels", "replicated")]
    for folder in folders:
        folder.mkdir()
    with Cluster(folders[0], kind="redis") as cluster:
        assert not cluster.moves_at_once
        cluster.failover(cluster.replicas_of(cluster.primaries[0])[0])
        to = cluster.primaries[2]
        cluster.move_slot(7, to, at_once=False)
        assert cluster.owner(7) is to
    with Sentinels(folders[1], kind="redis") as sentinels:
        old = sentinels.kill_primary()
        sentinels.wait_until_ok()
        assert sentinels.primary() is not old
    with Replicated(folders[2], kind="redis") as replicated:
        replicated.promote(replicated.replicas[0])
        assert replicated.primary.primary


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.support.topologies import Cluster
cluster = Cluster(Path(sys.argv[1]), primaries=1, replicas=1).start()
print(*[node.process.pid for node in cluster.nodes], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
FORGOTTEN = """
import os, subprocess
from tests.support import guard
kept, ended = (subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL) for _ in range(2))
for process in kept, ended:
    guard.began(process.pid)
guard.ended(ended.pid)
print(kept.pid, ended.pid, flush=True)
os._exit(0)
"""


def pids_of(program: str, *arguments: object) -> list[int]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=scaled(60), check=False)
    return [int(pid) for pid in done.stdout.split()]


def test_no_server_outlives_a_test_process_that_is_killed(tmp_path: Path) -> None:
    pids = pids_of(KILLED, tmp_path)
    assert len(pids) == 2
    eventually(lambda: all(map(gone, pids)))


def test_a_number_of_a_server_that_has_ended_is_not_killed() -> None:
    kept, ended = pids_of(FORGOTTEN)
    eventually(lambda: gone(kept))
    assert not gone(ended)
    os.kill(ended, 9)
