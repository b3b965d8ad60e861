// What happened when: for each agent a lane of ticks (commits) and bars (claims held), and curves between lanes (messages).
// All of it is bounded: ticks of a lane that are close to each other are merged, old marks are dropped.

const MOST_TICKS = 400;
const MOST_MARKS = 6000;
const MOST_SECONDS = 20000;
const MOST_STEPS = 2000;
// Milliseconds for which the steps that can be gone to are good enough.
const STALE = 1000;
const FOLD = 28;
const FOLDS = 10;

export class Timeline {
  constructor() {
    this.lanes = new Map();
    this.marks = [];
    this.commits = 0;
    // Seconds in which something happened, in order.
    this.seconds = [];
    this.told = { marks: null, bars: [], curves: [], presence: new Map() };
    this.found = { at: -Infinity, steps: [] };
    this.settled = false;
    this.sorted = [];
  }

  // The agents in the order of their lanes: that in which they came. Once the past is known, it stays: who is new comes last.
  order() {
    if (!this.settled || this.sorted.length !== this.lanes.size) {
      const known = new Set(this.settled ? this.sorted : []);
      const fresh = [...this.lanes.keys()].filter((name) => !known.has(name));
      const first = (name) => this.lanes.get(name)[0]?.[2] ?? Infinity;
      fresh.sort((a, b) => first(a) - first(b) || (a < b ? -1 : 1));
      this.sorted = [...(this.settled ? this.sorted : []), ...fresh];
    }
    return this.sorted;
  }

  settle() {
    this.settled = false;
    this.order();
    this.settled = true;
  }

  lane(agent) {
    let lane = this.lanes.get(agent);
    if (!lane) this.lanes.set(agent, (lane = []));
    return lane;
  }

  // Ticks are [agent, time, commits, revision], marks [kind, name, id, agent, time, revision]; both in order.
  add(ticks, marks) {
    for (const [agent, at, n, revision] of ticks) {
      const lane = this.lane(agent);
      lane.push([at, n, revision]);
      if (lane.length > MOST_TICKS) this.lanes.set(agent, halved(lane));
      this.commits += n;
      const second = Math.floor(at / 1000);
      if (second > (this.seconds.at(-1) ?? 0)) this.seconds.push(second);
    }
    if (this.seconds.length > MOST_SECONDS) this.seconds = this.seconds.filter((_, i) => i % 2);
    for (const mark of marks) this.lane(mark[3]);
    if (marks.length) this.marks = this.marks.concat(marks).slice(-MOST_MARKS);
  }

  addPast(ticks, marks) {
    const before = new Map();
    for (const [agent, at, n, revision] of ticks) {
      if (!before.has(agent)) before.set(agent, []);
      before.get(agent).push([at, n, revision]);
      this.commits += n;
    }
    for (const [agent, some] of before) {
      let lane = some.concat(this.lane(agent));
      if (lane.length > MOST_TICKS) lane = halved(lane);
      this.lanes.set(agent, lane);
    }
    if (marks.length) this.marks = marks.concat(this.marks).slice(-MOST_MARKS);
    const seconds = new Set(this.seconds);
    for (const tick of ticks) seconds.add(Math.floor(tick[1] / 1000));
    this.seconds = [...seconds].sort((a, b) => a - b);
    this.found.at = -Infinity;
  }

  // How many commits came after a revision.
  after(revision) {
    let n = 0;
    for (const lane of this.lanes.values()) {
      for (let i = lane.length - 1; i >= 0 && lane[i][2] > revision; i--) n += lane[i][1];
    }
    return n;
  }

  // When an agent was last heard of, by a time.
  last(agent, until = Infinity) {
    return this.lanes.get(agent)?.findLast((tick) => tick[0] <= until)?.[0] ?? 0;
  }

  // The revisions that can be gone to, in order, of limited number.
  steps() {
    const now = performance.now();
    if (now - this.found.at < STALE) return this.found.steps;
    let n = 0;
    for (const lane of this.lanes.values()) n += lane.length;
    const all = new Float64Array(n);
    for (const lane of this.lanes.values()) for (const tick of lane) all[--n] = tick[2];
    all.sort();
    const thin = Math.ceil(all.length / MOST_STEPS);
    this.found = { at: now, steps: [...all.filter((_, i) => (all.length - 1 - i) % thin === 0)] };
    return this.found.steps;
  }

  derived() {
    if (this.told.marks !== this.marks) this.told = { marks: this.marks, ...told(this.marks) };
    return this.told;
  }
}

// A lane of at most half as many ticks: those within a slot of time are one. Slots double until that is enough.
function halved(lane) {
  let slot = 100;
  let out = lane;
  while (out.length > MOST_TICKS / 2) {
    slot *= 2;
    out = slotted(out, slot);
  }
  return out;
}

function slotted(lane, slot) {
  const out = [];
  let last = -1;
  for (const tick of lane) {
    const at = Math.floor(tick[0] / slot);
    const before = out[out.length - 1];
    if (at === last) out[out.length - 1] = [before[0], before[1] + tick[1], tick[2]];
    else out.push(tick);
    last = at;
  }
  return out;
}

// Claims as bars { agent, name, from, to } (0: not known, or still held), messages as curves { from, at, to, until, role }.
function told(marks) {
  const held = new Map();
  const letters = new Map();
  const bars = [];
  const curves = [];
  const presence = new Map();
  for (const [kind, name, id, agent, at] of marks) {
    if (kind === "joined" || kind === "left" || kind === "vanished") presence.set(agent, [kind, at]);
    if (kind === "claimed") {
      const bar = { agent, name, from: at, to: 0 };
      held.set(id, bar);
      bars.push(bar);
    } else if (kind === "released" || kind === "lapsed") {
      const bar = held.get(id);
      if (bar) bar.to = at;
      held.delete(id);
    } else if (kind === "sent") letters.set(id + name, { from: agent, at, role: name });
    else if (kind === "received") {
      const letter = letters.get(id + name);
      if (letter && !letter.to) curves.push(Object.assign(letter, { to: agent, until: at }));
    }
  }
  return { bars: bars.slice(-3000), curves: curves.slice(-600), presence };
}

// Where a time stands on a width: stretches without anything longer than a while are folded to a narrow mark.
export class Scale {
  constructor(seconds, now, width, span) {
    this.width = width;
    this.parts = parts(seconds, now, span);
    const folds = Math.max(0, this.parts.length - 1);
    const long = this.parts.reduce((sum, part) => sum + part.to - part.from, 0) || 1;
    const room = Math.max(40, width - folds * FOLD);
    let x = 0;
    for (const part of this.parts) {
      part.x = x;
      part.width = ((part.to - part.from) / long) * room;
      x += part.width + FOLD;
    }
    this.perMs = room / long;
  }

  get from() {
    return this.parts[0].from;
  }

  get to() {
    return this.parts[this.parts.length - 1].to;
  }

  x(time) {
    for (let i = 0; i < this.parts.length; i++) {
      const part = this.parts[i];
      if (time < part.from) return i ? part.x - FOLD / 2 : -1;
      if (time <= part.to) return part.x + (time - part.from) * this.perMs;
    }
    return this.width;
  }

  time(x) {
    for (const part of this.parts) {
      if (x < part.x) return part.from;
      if (x <= part.x + part.width) return part.from + (x - part.x) / this.perMs;
    }
    return this.to;
  }

  folds() {
    return this.parts.slice(1).map((part, i) => ({ x: part.x - FOLD, width: FOLD, ms: part.from - this.parts[i].to }));
  }
}

function parts(seconds, now, span) {
  if (!seconds.length) return [{ from: now - 60000, to: now }];
  let limit = 15;
  let found = [];
  do {
    found = split(seconds, limit);
    limit *= 2;
  } while (found.length > FOLDS);
  // The present belongs to the last stretch, unless it has been quiet for long; its end moves in steps, not all the time.
  const last = found[found.length - 1];
  if (now - last.to < limit * 1000) {
    const quantum = nice(Math.max(10000, (now - found[0].from) / 15));
    last.to = Math.ceil(now / quantum) * quantum;
  } else found.push({ from: now - 1000, to: now });
  return span ? latest(found, span) : found;
}

function split(seconds, limit) {
  const found = [{ from: seconds[0], to: seconds[0] }];
  for (const second of seconds) {
    const last = found[found.length - 1];
    if (second - last.to > limit) found.push({ from: second, to: second });
    else last.to = second;
  }
  return found.map((part) => ({ from: part.from * 1000 - 500, to: part.to * 1000 + 1500 }));
}

function latest(found, span) {
  const out = [];
  let left = span;
  for (const part of found.reverse()) {
    const long = part.to - part.from;
    out.unshift(long > left ? { from: part.to - left, to: part.to } : part);
    left -= long;
    if (left <= 0) break;
  }
  return out;
}

const NICE = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 604800].map((s) => s * 1000);

export const nice = (ms) => NICE.find((each) => each >= ms) ?? Math.ceil(ms / 604800000) * 604800000;
