"""Real Clusters, Sentinels and replicas on loopback, which the tests start, break and mend themselves.

Each is given a folder of its own, and starts within seconds. Where a method changes something, it returns when all
servers that run know of it, but `kill` and `pause`, whose consequences are what a test waits for.
"""

from tests.support.topologies.cluster import SLOTS, Cluster
from tests.support.topologies.nodes import Node, Topology
from tests.support.topologies.replicated import Replicated
from tests.support.topologies.sentinels import NAME, Sentinels
from tests.support.topologies.shared import SharedTopologies

__all__ = ["NAME", "SLOTS", "Cluster", "Node", "Replicated", "Sentinels", "SharedTopologies", "Topology"]
