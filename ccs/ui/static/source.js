// Where the page gets what it shows: from the server, live, or from what was saved in the page itself.

export function saved() {
  const element = document.getElementById("saved");
  return element ? new Saved(JSON.parse(element.textContent)) : null;
}

const EVENTS = ["begin", "rows", "loaded", "resumed", "live", "past", "overview", "state", "contexts", "refused"];
// Milliseconds without a word, after which the stream counts as broken: the server says something more often.
const SILENT = 12000;

export class Live {
  constructor(hear, broken) {
    this.hear = hear;
    this.broken = broken;
    this.live = true;
    this.stream = null;
    this.cursor = "";
    setInterval(() => this.look(), 1000);
  }

  open(context) {
    this.context = context;
    this.cursor = "";
    this.connect();
  }

  connect() {
    this.stream?.close();
    const query = new URLSearchParams();
    if (this.context) query.set("context", this.context);
    if (this.cursor) query.set("since", this.cursor);
    const stream = new EventSource(`api/stream?${query}`);
    this.stream = stream;
    this.heard = Date.now();
    for (const name of EVENTS) {
      stream.addEventListener(name, (event) => {
        if (this.stream !== stream) return;
        this.cursor = event.lastEventId;
        this.heard = Date.now();
        this.broken(false);
        this.hear(name, JSON.parse(event.data));
      });
    }
    // The browser connects again by itself, with the last id; unless the answer was an error.
    stream.onerror = () => {
      if (this.stream !== stream) return;
      this.broken(true);
      if (stream.readyState === EventSource.CLOSED) this.ask();
    };
  }

  look() {
    if (this.stream && Date.now() - this.heard > SILENT) {
      this.broken(true);
      this.connect();
    } else if (this.stream?.readyState === EventSource.CLOSED) this.connect();
  }

  // Whether this view still lets us in; another start of it has another token.
  async ask() {
    try {
      const answer = await fetch("static/icon.svg", { cache: "no-store" });
      if (answer.status === 403) this.hear("shut", {});
    } catch {
      // it does not run: the stream is tried again
    }
  }

  async get(what, query) {
    const answer = await fetch(`api/${what}?${new URLSearchParams([["context", this.context], ...query])}`);
    const data = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(data.text), data);
    return data;
  }

  entry(path, at) {
    return this.get("entry", [["path", path], ...(at ? [["at", at]] : [])]);
  }

  at(when) {
    return this.get("at", [["when", when]]);
  }

  diff(since, patterns) {
    return this.get("diff", [["since", since], ...patterns.map((each) => ["pattern", each])]);
  }

  link(kind, at) {
    const query = new URLSearchParams({ context: this.context, ...(at ? { at } : {}) });
    return `api/export.${kind}?${query}`;
  }
}

// The same, from a picture that was saved with its history.
class Saved {
  constructor(data) {
    this.data = data;
    this.live = false;
    this.context = data.address;
    this.values = new Map(Object.entries(data.values));
    this.rows = new Map(data.rows.map((row) => [row[0], row]));
    this.versions = data.versions.map(([path, op, created, version, revision, agent, at, value, previous, text]) => ({
      path, op, created, version, revision, agent, at, value, previous, text,
    }));
  }

  play(hear) {
    const { data } = this;
    hear("contexts", { contexts: [[data.address, data.revision, data.rows.length, data.saved, 0, "", false]], more: 0, refused: "" });
    hear("begin", { address: data.address, why: "", entries: data.rows.length, created: data.created });
    hear("rows", { rows: data.rows.map((row) => row.slice()) });
    hear("loaded", { cut: false });
    hear("past", { ticks: data.ticks, marks: data.marks, log: data.log, whole: data.whole, done: true });
    hear("overview", { ...data.overview, kinds: ["claims", "members", "inboxes", "runs", "agreements", "barriers", "policies"], now: data.saved });
    const oldest = data.ticks.length ? data.ticks[0][1] : data.created;
    hear("state", { behind: 0, oldest, compacted: !data.whole, ended: "", revision: data.revision, saved: data.saved });
  }

  async entry(path, at) {
    const until = at ? Number(at) : Infinity;
    const versions = this.versions.filter((each) => each.path === path && each.revision <= until).reverse();
    const row = (at ? (await this.at(at)).table.get(path) : this.rows.get(path)) ?? null;
    const now = this.rows.get(path);
    const [value, created, expires] = (now && row && now[4] === row[4] && this.values.get(path)) || [versions[0]?.value ?? row?.[1], 0, 0];
    const entry = row && { path, value, version: row[3], revision: row[4], agent: row[2], created, updated: row[5], expires };
    return { entry, versions, more: false };
  }

  async at(when) {
    const table = new Map(this.rows);
    const touched = new Map();
    for (const each of this.versions) if (each.revision > Number(when) && !touched.has(each.path)) touched.set(each.path, each);
    for (const [path, first] of touched) {
      if (first.created) table.delete(path);
      else table.set(path, this.before(path, Number(when)) ?? [path, first.text, first.agent, first.version - 1, Number(when), 0]);
    }
    const rows = [...touched.keys()].filter((path) => table.has(path)).map((path) => table.get(path));
    return { revision: Number(when), rows, gone: [...touched.keys()].filter((path) => !table.has(path)), overview: null, table };
  }

  before(path, when) {
    const last = this.versions.findLast((each) => each.path === path && each.revision <= when);
    const next = this.versions.find((each) => each.path === path && each.revision > when);
    return last && [path, next.text, last.agent, last.version, last.revision, last.at];
  }

  async diff(since) {
    const last = new Map();
    for (const line of this.data.log) if (line[4] > Number(since) && line[0] !== "event") last.set(line[1], line);
    const changes = [...last.values()].reverse();
    return { changes, count: changes.length };
  }
}
