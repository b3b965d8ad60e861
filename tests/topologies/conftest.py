"""What several tests of topologies need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.topologies import SharedTopologies
from tests.topologies.failing_over import ALL, Servers


@pytest.fixture(params=ALL)
def servers(request: pytest.FixtureRequest, shared_topologies: SharedTopologies) -> Iterator[Servers]:
    """A Cluster, and Sentinels, to be broken at will."""
    with shared_topologies.lent(request.param) as servers:
        yield servers
