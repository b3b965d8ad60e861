# Generated from ccs/_async/commit_route.py by scripts/twin. Do not edit.
"""How commits reach a context: through the group commit of the present opening, perhaps to be durable."""

from __future__ import annotations

from ccs._core.commits.commit import Applied, Commit, Settings
from ccs._core.recipes.policies import Policies
from ccs._sync.group_commit import GroupCommit
from ccs._sync.opening import Opening
from ccs.types import Durability

__all__ = ["DurableCommits", "DurableRoute", "Route"]


class Route:
    """How commits reach a context: its group commit of the present opening, and the settings that it begins with.

    `format_known`: the context was found to be in a format that this version knows.
    """

    __slots__ = ("__weakref__", "defaults", "format_known", "group_commit", "opening")

    opening: Opening
    group_commit: GroupCommit

    def __init__(self, defaults: Settings) -> None:
        self.defaults = defaults
        self.format_known = False


class DurableCommits:
    """The group commit of a route, for commits that have to be as safe as `asked` before they are answered."""

    __slots__ = ("_asked", "_route")

    def __init__(self, route: Route, asked: Durability) -> None:
        self._route = route
        self._asked = asked

    def commit(self, commit: Commit) -> Applied:
        """Returns what became of the commit, once it is as safe as that. Raises its errors, and `NotDurable`."""
        return self._route.group_commit.commit(commit, self._asked)

    @property
    def last_revision(self) -> int:
        """The newest revision that the server has acknowledged."""
        return self._route.group_commit.last_revision

    @property
    def policies(self) -> Policies:
        """What is known of the policies of the context."""
        return self._route.group_commit.policies

    @policies.setter
    def policies(self, policies: Policies) -> None:
        self._route.group_commit.policies = policies


class DurableRoute:
    """A route whose commits have to be as safe as `asked`. All else is that of the route, which it keeps."""

    __slots__ = ("group_commit", "route")

    def __init__(self, route: Route, asked: Durability) -> None:
        self.route = route
        self.group_commit = DurableCommits(route, asked)

    @property
    def format_known(self) -> bool:
        """Whether the context was found to be in a format that this version knows."""
        return self.route.format_known

    @format_known.setter
    def format_known(self, known: bool) -> None:
        self.route.format_known = known
