"""A primary with one replica, a proxy before it, and folders."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.embedded.conftest import folder, root
from tests.support.proxy import Proxy
from tests.support.topologies import Cluster, Replicated, SharedTopologies

__all__ = ["folder", "root"]


@pytest.fixture(scope="module")
def topologies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedTopologies]:
    with SharedTopologies(tmp_path_factory.mktemp("servers")) as shared:
        yield shared


@pytest.fixture
def replicated(topologies: SharedTopologies) -> Iterator[Replicated]:
    """A primary with one replica, which a test may break."""
    with topologies.lent(Replicated) as servers:
        yield servers


@pytest.fixture
def before_primary(replicated: Replicated) -> Iterator[Proxy]:
    """A proxy before that primary."""
    with Proxy(replicated.primary.port) as proxy:
        yield proxy


@pytest.fixture
def cluster(topologies: SharedTopologies) -> Iterator[Cluster]:
    """A Cluster, which a test may break."""
    with topologies.lent(Cluster) as servers:
        yield servers
