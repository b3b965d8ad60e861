// What the page knows, and what it shows of that: the present, live, or a moment that stays. All of it is bounded.

import { forget, know, settle } from "./agents.js";
import { filterOf } from "./pattern.js";
import * as places from "./place.js";
import { Live, saved } from "./source.js";
import { PATH, REVISION, Table } from "./table.js";
import { Timeline } from "./timeline.js";

const MOST_LOG = 1000;
const MOST_EVENTS = 300;
// Milliseconds for which what is new is tinted.
export const FRESH = 1600;

const NOTHING = { claims: [], members: [], inboxes: [], runs: [], agreements: [], barriers: [], policies: {}, counts: {} };

export class Model {
  constructor(changed) {
    this.changed = changed;
    this.place = places.read();
    this.filter = filterOf(this.place.filter);
    this.contexts = { contexts: [], more: 0, refused: "" };
    this.source = saved() ?? new Live((name, data) => this.hear(name, data), (broken) => this.broken(broken));
    this.link = { broken: false, since: 0 };
    this.shut = false;
    this.skew = 0;
    this.clear();
  }

  clear() {
    this.table = new Table();
    this.timeline = new Timeline();
    this.overview = { ...NOTHING };
    this.seenAt = 0;
    this.log = [];
    this.events = [];
    this.fresh = new Map();
    this.state = { behind: 0, oldest: 0, ended: "" };
    this.loaded = false;
    this.whole = false;
    this.cut = false;
    this.why = "";
    this.delay = null;
    this.rates = [];
    this.still = null;
    this.trouble = "";
    this.missing = 0;
    this.entry = null;
    this.since = null;
  }

  start() {
    if (!this.source.live) {
      this.place.context = this.source.context;
      this.source.play((name, data) => this.hear(name, data));
    } else this.source.open(this.place.context);
    this.look();
  }

  // The present of the page: where it was saved, that of then.
  get now() {
    return this.source.live ? Date.now() : this.source.data.saved;
  }

  get following() {
    return !this.place.at;
  }

  // What is shown: the table and the overview of the present, or of the moment that stays.
  get shown() {
    return this.still ?? this;
  }

  // The time that is shown.
  get moment() {
    return this.place.at ? this.timeOf(Number(this.place.at)) : this.now;
  }

  // Revisions are times in microseconds, unless many came at once.
  timeOf(revision) {
    return revision / 1000;
  }

  get revision() {
    return Math.max(this.state.revision ?? 0, this.seen ?? 0);
  }

  // --- What the stream says.

  hear(name, data) {
    this[`on_${name}`]?.(data);
    this.changed();
  }

  broken(broken) {
    if (broken === this.link.broken) return;
    this.link = { broken, since: broken ? this.source.heard : 0 };
    this.changed();
  }

  on_shut() {
    this.shut = true;
  }

  on_refused({ text }) {
    this.trouble = text;
  }

  on_contexts(data) {
    this.contexts = data;
    if (!this.place.context && data.contexts.length && this.source.live && !this.chosen) {
      this.chosen = true;
      this.go({ context: data.contexts[0][0] }, false);
    }
  }

  on_begin(data) {
    const { still } = this;
    if (data.why) {
      this.clear();
      this.why = data.why;
      this.still = still;
    }
    this.expected = data.entries;
    this.created = data.created;
  }

  on_rows({ rows }) {
    for (const row of rows) this.table.put(row);
    know(this.table.names.keys());
  }

  on_loaded({ cut }) {
    this.loaded = true;
    this.cut = cut;
    if (this.place.at && !this.still) this.visit(this.place.at);
  }

  on_resumed() {
    this.loaded = true;
  }

  on_past({ ticks, marks, log, whole, done }) {
    know(ticks.map((tick) => tick[0]));
    this.timeline.addPast(ticks, marks);
    this.log = log.concat(this.log);
    this.events = log.filter((line) => line[0] === "event").concat(this.events).slice(-MOST_EVENTS);
    this.whole = whole;
    if (!done) return;
    settle();
    this.timeline.settle();
  }

  on_live(data) {
    know(data.ticks.map((tick) => tick[0]));
    const now = Date.now();
    for (const row of data.rows) if (this.table.put(row)) this.fresh.set(row[PATH], now);
    for (const [path, agent, at, revision] of data.gone) this.table.remove(path, agent, at, revision);
    this.timeline.add(data.ticks, data.marks);
    this.log = this.log.concat(data.log).slice(-MOST_LOG);
    const events = data.log.filter((line) => line[0] === "event");
    if (events.length) this.events = this.events.concat(events).slice(-MOST_EVENTS);
    this.delay = data.delay;
    this.seen = Math.max(this.seen ?? 0, ...data.ticks.map((tick) => tick[3]));
    this.rates = [...this.rates.filter(([at]) => now - at < 5000), [now, data.commits]];
    if (this.following && this.place.path) {
      const touched = data.rows.some((row) => row[PATH] === this.place.path) || data.gone.some(([path]) => path === this.place.path);
      if (touched) this.look();
    }
  }

  on_overview(data) {
    for (const kind of data.kinds) this.overview[kind] = data[kind];
    const { counts } = data;
    if (data.kinds.includes("inboxes")) Object.assign(this.overview.counts, { unread: counts.unread, dead: counts.dead });
    for (const kind of ["claims", "members", "runs"]) if (data.kinds.includes(kind)) this.overview.counts[kind] = counts[kind];
    this.skew = this.source.live ? data.now - Date.now() : 0;
    know(data.members.map((member) => member.agent));
  }

  on_state(data) {
    this.state = data;
  }

  // Commits a second, over the last five.
  get rate() {
    const now = Date.now();
    return this.rates.reduce((sum, [at, n]) => sum + (now - at < 5000 ? n : 0), 0) / 5;
  }

  // --- Where the reader goes.

  go(change, step = true) {
    const other = "context" in change && change.context !== this.place.context;
    if (other) Object.assign(this.place, { path: "", at: "", toggled: new Set() });
    Object.assign(this.place, change);
    places.write(this.place, step);
    this.arrive(other, "at" in change, "filter" in change);
  }

  back() {
    const before = this.place;
    this.place = places.read();
    const other = before.context !== this.place.context;
    this.arrive(other, before.at !== this.place.at, true);
  }

  arrive(other, moved, filtered) {
    if (filtered) this.filter = filterOf(this.place.filter);
    if (other) {
      this.clear();
      forget();
      this.source.open?.(this.place.context);
    } else if (moved) this.visit(this.place.at);
    this.look();
    this.changed();
  }

  toggle(folder) {
    const { toggled } = this.place;
    if (!toggled.delete(folder)) toggled.add(folder);
    places.write(this.place, false);
    this.changed();
  }

  // Keeps what is shown, as it is; what comes is counted.
  pause() {
    if (!this.following || !this.loaded) return;
    this.still = this.copy();
    this.go({ at: String(this.revision) });
  }

  follow() {
    this.go({ at: "" });
  }

  copy() {
    return { table: this.table.copy(), overview: this.overview, log: this.log, events: this.events, from: this.revision, at: this.revision };
  }

  // Shows the moment of a revision: the base that was kept, with what was different then.
  async visit(at) {
    this.trouble = "";
    this.since = null;
    if (!at) {
      this.still = null;
      this.base = null;
      return this.changed();
    }
    const revision = Number(at);
    if (this.still?.at === revision) {
      this.base ??= this.still;
      return;
    }
    if (!this.loaded) return;
    this.base ??= this.still ?? this.copy();
    this.wanted = revision;
    if (this.asking) return;
    this.asking = true;
    try {
      while (this.wanted && String(this.wanted) === this.place.at && this.still?.at !== this.wanted) await this.fetchMoment(this.wanted);
    } finally {
      this.asking = false;
    }
  }

  async fetchMoment(revision) {
    try {
      const then = await this.source.at(revision);
      if (!this.base || this.place.at === "") return;
      this.still = this.between(then, revision);
    } catch (error) {
      this.wanted = 0;
      this.still = this.base;
      this.trouble = troubleOf(error, revision, this);
    }
    this.changed();
  }

  between(then, revision) {
    const table = this.base.table.copy();
    const touched = new Set([...then.gone, ...then.rows.map((row) => row[PATH])]);
    for (const path of [...table.rows.keys()]) {
      if (touched.has(path) || table.rows.get(path)[REVISION] > revision) table.remove(path, null, 0, Infinity);
    }
    const differs = new Set(touched);
    for (const row of then.rows) table.put(row.slice());
    const until = (line) => line[4] <= revision;
    return {
      table,
      differs,
      overview: then.overview ? { ...NOTHING, ...then.overview } : this.overview,
      log: this.log.filter(until),
      events: this.events.filter(until),
      at: revision,
    };
  }

  // One step of the history back or forward.
  step(n) {
    const steps = this.timeline.steps();
    if (!steps.length) return;
    const at = this.place.at ? Number(this.place.at) : Infinity;
    let i = steps.findLastIndex((step) => step <= at) + n;
    if (at === Infinity && n < 0) i = steps.length - 1 + n;
    if (i >= steps.length - 1 && n > 0) return this.follow();
    this.go({ at: String(steps[Math.max(0, i)]) }, false);
  }

  // --- The entry beside the tree.

  async look() {
    const { path, at } = this.place;
    if (!path || !this.place.context) {
      this.entry = null;
      return;
    }
    const key = `${path}\n${at}`;
    if (this.entry?.key !== key) this.entry = { key, path, data: null, version: null };
    if (this.looking) {
      this.lookAgain = true;
      return;
    }
    this.looking = true;
    try {
      const data = await this.source.entry(path, at);
      if (this.entry?.key === key) Object.assign(this.entry, { data, error: "" });
    } catch (error) {
      if (this.entry?.key === key) this.entry.error = error.message;
    } finally {
      this.looking = false;
    }
    this.changed();
    if (this.lookAgain || this.entry?.key !== key) {
      this.lookAgain = false;
      setTimeout(() => this.look(), 200);
    }
  }

  // The net changes since a moment, for the list of changes.
  async compare(when) {
    const wanted = `${when}\n${this.filter.text}`;
    if (this.since?.key === wanted) return;
    this.since = { key: wanted, lines: null };
    try {
      const { changes, count } = await this.source.diff(when, this.filter.patterns);
      if (this.since?.key === wanted) Object.assign(this.since, { lines: changes, count });
    } catch (error) {
      if (this.since?.key === wanted) Object.assign(this.since, { lines: [], error: error.message });
    }
    this.changed();
  }

  // What agents are there, in the order of their lanes, with what each is at.
  agents() {
    const { overview } = this.shown;
    const found = new Map();
    const { presence } = this.timeline.derived();
    const blank = (name) => ({ name, claims: [], waits: [], roles: [], last: 0, member: false, presence: presence.get(name) });
    const put = (name) => found.get(name) ?? found.set(name, blank(name)).get(name);
    const until = this.following ? Infinity : this.moment + 200;
    for (const name of this.timeline.order()) put(name).last = this.timeline.last(name, until);
    for (const member of overview.members) {
      const agent = put(member.agent);
      agent.member = true;
      agent.last = Math.max(agent.last, member.joined);
      if (member.role) agent.roles.push(member.role);
    }
    for (const claim of overview.claims) {
      put(claim.holder).claims.push(claim);
      for (const name of claim.waiting) put(name).waits.push(claim);
    }
    return [...found.values()];
  }

  // Whether a row is tinted.
  isFresh(path, row, now) {
    if (!this.following) return false;
    const at = this.fresh.get(path);
    return at !== undefined && now - at < FRESH;
  }

  tidy(now) {
    for (const [path, at] of this.fresh) if (now - at > FRESH) this.fresh.delete(path);
  }
}

function troubleOf(error, revision, model) {
  if (error.error === "HistoryCompacted") return "History no longer reaches back to that moment. What is shown is the state before you moved.";
  if (error.error === "HistoryForked") return "History was rewritten since: the server has lost commits. What is shown is the state before you moved.";
  if (error.error === "ContextGone") return "This context has ended, and its history with it.";
  return error.message;
}
