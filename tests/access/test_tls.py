"""Grants where clients need certificates: the URL of a grant takes the options of TLS that whoever connects has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import ccs
import ccs.aio
from tests.support.colours import COLOURS, connect_in
from tests.support.topologies.cluster import Cluster
from tests.support.waiting import scaled
from tests.transport.test_servers import PASSWORD, kind_with_tls, tls_options


def options_of(authority: Path) -> str:
    key = f"ssl_keyfile={authority}/client.key&ssl_password={PASSWORD}"
    return f"?ssl_ca_certs={authority}/ca.pem&ssl_certfile={authority}/client.pem&{key}&ssl_check_hostname=false"


@pytest.fixture(scope="module")
def tls_cluster(authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Cluster, all of whose connections are encrypted, and whose clients need certificates."""
    kind = kind_with_tls()
    with Cluster(tmp_path_factory.mktemp("tls"), replicas=0, kind=kind, tls=tls_options(authority)) as cluster:
        yield cluster


async def _is_granted(colour: str, url: str, options: str, namespace: str) -> ccs.Grant:
    """Grants, works as the granted user, watches, and is denied what was not granted."""
    async with ccs.aio.connect(url + options, namespace=namespace) as admin:
        grant = await admin.grant(f"u{namespace}", write=["/tasks/4*"], password="another secret")
        assert grant.url.startswith("rediss")
        assert "ssl_" not in grant.url
        async with connect_in(colour, grant.url + options, namespace=namespace, retry_for=scaled(20)) as store:
            for number in range(4):
                task = store.task(f"4{number}")
                async with task.watch("**") as changes:
                    await task.set("a", number)
                    assert (await changes.receive(timeout=scaled(5))).value == number
            with pytest.raises(ccs.Forbidden) as caught:
                await store.task("5").set("a", 1)
            shown = [repr(store), str(caught.value), store.address]
            assert not [text for text in shown if PASSWORD in text or "another secret" in text]
        assert await admin.revoke(grant.user)
    return grant


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_grant_on_a_server_that_wants_certificates(
    colour: str, tls: int, authority: Path, namespace: str
) -> None:
    """Given a server that wants certificates, when a user is granted, then its URL works with these, and not without."""
    grant = await _is_granted(colour, f"rediss://localhost:{tls}", options_of(authority), namespace)
    only_trust = f"{grant.url}?ssl_ca_certs={authority}/ca.pem"
    with pytest.raises(ccs.Unavailable):
        await connect_in(colour, only_trust, retry_for=0.3).__aenter__()


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_grant_on_a_cluster_that_wants_certificates(
    colour: str, tls_cluster: Cluster, authority: Path, namespace: str
) -> None:
    """Given a Cluster that wants certificates, when a user is granted, then each node knows it, and all calls are encrypted."""
    await _is_granted(colour, tls_cluster.tls_url, options_of(authority), namespace)
