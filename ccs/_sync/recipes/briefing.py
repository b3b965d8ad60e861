# Generated from ccs/_async/recipes/briefing.py by scripts/twin. Do not edit.
"""Briefings: what an agent reads of a context, and readers, which keep where they stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ccs._core.briefing.briefing import Briefing
from ccs._core.briefing.cursor import Bookmark, bookmark_in, digest_of
from ccs._core.briefing.deciding import REASONS, Moment, decide, finished, notice
from ccs._core.briefing.fitting import Page, Paper, paper_of
from ccs._core.briefing.items import Item, in_priority
from ccs._core.briefing.plain_text import name_text
from ccs._core.briefing.rendering import Layout
from ccs._core.briefing.unfinished import Unfinished
from ccs._core.changes.resuming import check_resume, follow
from ccs._core.codec import decode, encode
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.journal import Cursor, JournalPage, Record
from ccs._core.commits.operations import revision_guard, set_op
from ccs._core.commits.script_calls import entries_call
from ccs._core.names.address import check_path
from ccs._core.names.pattern import Exact, Matcher, compile_patterns, escape
from ccs._core.names.system_paths import system_path
from ccs._core.number_checks import integer, listed
from ccs._core.quoted_values import shown
from ccs._core.recipes.claim import CLAIMS
from ccs._core.recipes.inbox import InboxPaths, inbox_paths
from ccs._core.recipes.presence import EVERYBODY
from ccs._not_copyable import Local
from ccs._sync.changes.time_travel import entries_at
from ccs._sync.context_handle import Handle
from ccs._sync.entries import Entries
from ccs._sync.optimistic import Race
from ccs._sync.reads import matcher_of
from ccs.errors import Conflict, ContextGone, HistoryCompacted, HistoryDamaged, HistoryForked, InvalidValue

__all__ = ["Reader", "brief", "question_of"]

_LEAST = 40
_PAGE = 500
_READERS = "@readers"
_UNTOLD = {HistoryCompacted: "compacted", HistoryForked: "forked", ContextGone: "gone", HistoryDamaged: "damaged"}


@dataclass(frozen=True, slots=True)
class Question:
    """What a briefing is to tell: of which paths and topics, to which role, also of one's own writes, and always of what."""

    patterns: tuple[str, ...]
    inbox: InboxPaths | None
    own: bool
    pinned: tuple[str, ...]
    paper: Paper

    def asked_by(self, handle: Handle) -> tuple[Any, ...]:
        """Returns what decides which items are told: who asks, of what, and what a view shows of that."""
        shown = handle.reach.shown if handle.reach else None
        role = self.inbox and self.inbox.role
        return self.patterns, role, self.own, self.pinned, handle.address, handle.agent, shown

    def always(self) -> list[str]:
        """Returns the patterns of the entries that are read for each briefing."""
        messages = self.inbox.patterns("messages") if self.inbox else ()
        return [*map(escape, self.pinned), *messages, f"{CLAIMS}/**"]


def question_of(
    handle: Handle,
    patterns: tuple[str, ...],
    role: str | None,
    own: bool,
    pinned: Sequence[str],
    max_tokens: int,
    count: Callable[[str], int] | None,
) -> Question:
    """Returns a question, with all that was given checked; `Forbidden` for what a view does not show."""
    matcher_of(patterns)
    most = integer("max_tokens", max_tokens, f"how many tokens a briefing may take, at least {_LEAST}", _LEAST)
    paper = paper_of(most, count)
    inbox = None if role is None else inbox_paths(role)
    if inbox:
        handle.require(*inbox.patterns("messages"))
    paths = listed("pinned", pinned, "a list of paths")
    checked = tuple(handle.check_shown(check_path(path)) for path in paths)
    return Question(patterns or ("**",), inbox, bool(own), checked, paper)


def brief(handle: Handle, question: Question, since: str | None) -> Briefing:
    """Returns a briefing on what has changed since a cursor; None: on the present state."""
    mark = None if since is None else bookmark_in(since, handle.address)
    inquiry = Inquiry(handle, question)
    if mark is None:
        return inquiry.told(inquiry.present(None))
    try:
        return inquiry.told(inquiry.resumed(inquiry.asked_again(mark)))
    except (HistoryCompacted, HistoryForked, ContextGone, HistoryDamaged) as error:
        return inquiry.told(inquiry.present(None, _UNTOLD[type(error)]))


@dataclass(frozen=True, slots=True)
class Findings:
    """What was read for one page: all that is told of a moment, and where that is."""

    entries: dict[str, RawEntry]
    records: list[Record]
    page: JournalPage
    mark: Bookmark


@dataclass(frozen=True, slots=True)
class Found:
    """All that is told of the moment of a bookmark, in the order in which it gets room."""

    items: list[Item]
    mark: Bookmark


class Inquiry:
    """One briefing: reads what it needs of one moment, then has it decided what is told and how much of that fits."""

    def __init__(self, handle: Handle, question: Question) -> None:
        self._handle = handle
        self._question = question
        self._here = digest_of(handle.address)
        self._asked = question.asked_by(handle)
        self._digest = digest_of(*self._asked)
        self._wanted = handle.shown(compile_patterns(question.patterns))
        self._unfinished = handle.engine.shared(("briefings",), Unfinished)

    def __repr__(self) -> str:
        return f"<Inquiry about {self._handle.address}>"

    def asked_again(self, mark: Bookmark) -> Bookmark:
        """Returns a bookmark for this question: of another one, it does not count what was shown."""
        return mark if mark.question in (0, self._digest) else replace(mark, skip=0, question=self._digest)

    def present(self, at: Bookmark | None, reason: str = "") -> Found:
        """Returns the present state; at a bookmark, that of its moment."""
        matcher = self._matcher(*self._question.patterns, EVERYBODY)
        entries, revision, page = self._moment(matcher, at)
        mark = at or Bookmark(self._here, revision, _text(page), 0, self._digest, None, "", reason)
        return self._decided(Findings(entries, [], page, mark))

    def resumed(self, mark: Bookmark) -> Found:
        """Returns what is left at a bookmark, or what came after it; raises the errors of history."""
        if not mark.question:
            return self._since(Cursor(mark.revision, _raw(mark.identity)), None)
        kept = self._unfinished.items(self._asked, mark)
        if kept is not None:
            self._check_stands(mark)
            return Found(kept, mark)
        if mark.since is None:
            return self.present(mark)
        return self._since(Cursor(mark.since, _raw(mark.since_identity)), mark)

    def _since(self, start: Cursor, at: Bookmark | None) -> Found:
        entries, revision, page = self._moment(self._matcher(), at)
        records = self._records(start, revision)
        identity = start.identity.decode("latin-1")
        fresh = Bookmark(self._here, revision, _text(page), 0, self._digest, start.revision, identity)
        return self._decided(Findings(entries, records, page, at or fresh))

    def _decided(self, findings: Findings) -> Found:
        return Found(in_priority(decide(self._decidable(findings))), findings.mark)

    def told(self, found: Found) -> Briefing:
        """Returns the briefing on what was found."""
        mark = found.mark
        items = found.items[mark.skip :]
        title = f"Briefing on {name_text(self._handle.address)}"
        page = Page(self._question.paper, Layout(title, self._intro(mark), items, present=mark.since is None))
        left = len(items) - page.shown
        if left:
            self._unfinished.keep(self._asked, mark, found.items)
        else:
            self._unfinished.forget(self._asked)
        after = Bookmark(self._here, mark.revision, mark.identity)
        return Briefing(
            text=page.text,
            items=tuple(item.public() for item in items[: page.shown]),
            tokens=self._question.paper.tokens(page.text),
            revision=mark.revision,
            complete=not left,
            omitted=left,
            cursor=(replace(mark, skip=mark.skip + page.shown) if left else after).text(),
            address=self._handle.address,
        )

    def _decidable(self, findings: Findings) -> Moment:
        mark = findings.mark
        page = findings.page
        notices = [notice(REASONS[mark.reason])] if mark.reason in REASONS else []
        if page.finished and page.last == mark.revision:
            notices.append(finished(page.outcome, page.finished))
        return Moment(
            agent=self._handle.agent,
            since=mark.since,
            own=self._question.own,
            wanted=self._wanted.matches,
            visible=self._visible,
            pinned=self._question.pinned,
            inbox=self._question.inbox,
            entries=findings.entries,
            records=findings.records,
            notices=notices,
        )

    def _intro(self, mark: Bookmark) -> str:
        more = " Continued." if mark.skip else ""
        if not mark.revision:
            return f"It does not exist yet, or any more.{more}"
        if mark.since is None:
            return f"The present state, at revision {mark.revision} (r means revision).{more}"
        who = "all agents" if self._question.own else f"others than {name_text(self._handle.agent, 60)}"
        return f"What {who} did after r{mark.since}, up to revision {mark.revision}.{more}"

    def _visible(self, path: str) -> bool:
        reach = self._handle.reach
        return reach is None or reach.shows(path)

    def _matcher(self, *patterns: str) -> Matcher:
        return self._handle.shown(compile_patterns((*self._question.always(), *patterns)))

    def _moment(self, matcher: Matcher, at: Bookmark | None) -> tuple[dict[str, RawEntry], int, JournalPage]:
        """Returns the entries at a bookmark, or now; the revision of that moment; and what the journal says of it."""
        if at:
            page = self._check_stands(at)
            entries, _ = entries_at(self._handle, at.revision, matcher)
            return entries, at.revision, page
        call = entries_call(self._handle.keys, matcher.selectors, matcher.matches)
        found = self._handle.opening.call(call)
        return found.entries, found.revision, self._look(found.revision)

    def _check_stands(self, mark: Bookmark) -> JournalPage:
        """Raises an error of history unless the moment of a bookmark is part of it."""
        page = self._look(mark.revision)
        check_resume(Cursor(mark.revision, _raw(mark.identity)), page, self._handle.address)
        return page

    def _records(self, start: Cursor, end: int) -> list[Record]:
        records: list[Record] = []
        cursor = start
        while True:
            page = self._look(cursor.revision, _PAGE)
            some = [record for record in follow(cursor, page, self._handle.address) if record.revision <= end]
            records += some
            if len(some) < len(page.records) or not some or some[-1].revision == end:
                return records
            cursor = some[-1].cursor

    def _look(self, revision: int, count: int = 0) -> JournalPage:
        self._handle.opening.ready()
        return self._handle.engine.look(self._handle.address, revision, count)


def _raw(identity: str) -> bytes:
    return identity.encode("latin-1", "replace")


def _text(page: JournalPage) -> str:
    return page.identity.decode("latin-1")


class Reader(Local):
    """A reader of a context: it has a name, under which the context keeps what it has read. Two of one name share that.

    It moves only on `ack`. A reader that is new starts with the present state.
    """

    def __init__(self, entries: Entries, name: str, role: str | None) -> None:
        self._handle = entries.handle
        self._path = system_path(_READERS, name)
        self._name = name
        self._role = role
        self._handle.require(escape(self._path))

    def __repr__(self) -> str:
        return f"<Reader {self._name!r} of {self._handle.address}>"

    @property
    def name(self) -> str:
        """The name of the reader."""
        return self._name

    def briefing(
        self,
        *patterns: str,
        max_tokens: int = 2000,
        role: str | None = None,
        own: bool = False,
        pinned: Sequence[str] = (),
        count: Callable[[str], int] | None = None,
    ) -> Briefing:
        """Returns a briefing on what has changed since the last one that was acknowledged; see `Context.briefing`.

        `role` is that of the reader, unless it is given.
        """
        asked = question_of(self._handle, patterns, role or self._role, own, pinned, max_tokens, count)
        kept = self._kept()
        return brief(self._handle, asked, decode(kept.value)["cursor"] if kept else None)

    def ack(self, briefing: Briefing) -> None:
        """Notes that a briefing was read: the next one tells what comes after it, or its next page.

        It never moves back: of two briefings, that of the later moment counts. Raises as `Context.set` does.
        """
        if not isinstance(briefing, Briefing):
            raise InvalidValue(f"ack takes a briefing, not {shown(briefing)}")
        mark = bookmark_in(briefing.cursor, self._handle.address)
        race = Race(f"reader {self._name!r}", patience=self._handle.engine.retry_for)
        while True:
            kept = self._kept()
            if kept and bookmark_in(decode(kept.value)["cursor"], self._handle.address).order >= mark.order:
                return
            operation = set_op(self._path, encode({"cursor": briefing.cursor}))
            try:
                self._handle.commit([operation], [revision_guard(self._path, kept.revision if kept else 0)])
                return
            except Conflict as conflict:
                race.lose(conflict)

    def _kept(self) -> RawEntry | None:
        call = entries_call(self._handle.keys, [Exact(self._path)])
        found: Any = self._handle.opening.call(call)
        entry: RawEntry | None = found.entries.get(self._path)
        return entry
