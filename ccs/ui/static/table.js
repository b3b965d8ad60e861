// The entries of a context as the tree shows them. A row is [path, preview, agent, version, revision, time], never changed
// in place: so a copy of the table, for a moment that is to stay, costs little.

export const PATH = 0, VALUE = 1, AGENT = 2, VERSION = 3, REVISION = 4, AT = 5;

// Paths in the order of the tree: `/` comes before all else, so what is below a path follows it.
export function compare(a, b) {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return (x === 47 ? -1 : x) - (y === 47 ? -1 : y);
  }
  return a.length - b.length;
}

export class Table {
  constructor(most = 200000) {
    this.rows = new Map();
    this.folders = new Map();
    this.paths = [];
    this.most = most;
    this.shape = 0;
    this.names = new Map();
    this.coming = new Set();
    this.going = new Set();
  }

  copy() {
    const other = new Table(this.most);
    this.settle();
    other.rows = new Map(this.rows);
    other.folders = new Map(this.folders);
    other.paths = this.paths.slice();
    other.names = this.names;
    other.shape = this.shape;
    return other;
  }

  get size() {
    return this.rows.size;
  }

  put(row) {
    const path = row[PATH];
    const known = this.rows.get(path);
    if (known && known[REVISION] > row[REVISION]) return false;
    if (!known && this.rows.size >= this.most) return false;
    row[AGENT] = this.name(row[AGENT]);
    this.rows.set(path, row);
    if (!known) {
      if (!this.going.delete(path)) this.coming.add(path);
    }
    this.touch(path, row[AGENT], row[AT]);
    return true;
  }

  remove(path, agent, at, revision) {
    const known = this.rows.get(path);
    if (!known || known[REVISION] > revision) return;
    this.rows.delete(path);
    if (!this.coming.delete(path)) this.going.add(path);
    this.touch(path, agent, at);
  }

  // One text for each agent, however many rows name it.
  name(agent) {
    const known = this.names.get(agent);
    if (known !== undefined) return known;
    this.names.set(agent, agent);
    return agent;
  }

  touch(path, agent, at) {
    for (let i = path.lastIndexOf("/"); i > 0; i = path.lastIndexOf("/", i - 1)) {
      const folder = path.slice(0, i);
      const known = this.folders.get(folder);
      if (!known) this.folders.set(folder, [agent, at]);
      else if (at >= known[1]) {
        known[0] = agent ?? known[0];
        known[1] = at;
      } else break;
    }
  }

  // Merges the paths that came and went into the sorted list. `shape` changes with it.
  settle() {
    if (!this.coming.size && !this.going.size) return;
    const kept = this.going.size ? this.paths.filter((path) => !this.going.has(path)) : this.paths;
    this.paths = merged(kept, [...this.coming].sort(compare));
    this.coming.clear();
    this.going.clear();
    this.shape++;
  }

  // The range of the sorted paths that are below a folder.
  static below(paths, folder, from, to) {
    let low = from;
    let high = to;
    const start = `${folder}/`;
    while (low < high) {
      const middle = (low + high) >> 1;
      const path = paths[middle];
      if (path.startsWith(start)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function merged(a, b) {
  if (!b.length) return a;
  if (!a.length || compare(a[a.length - 1], b[0]) < 0) return a.concat(b);
  const out = new Array(a.length + b.length);
  let i = 0, j = 0, k = 0;
  while (i < a.length && j < b.length) out[k++] = compare(a[i], b[j]) < 0 ? a[i++] : b[j++];
  while (i < a.length) out[k++] = a[i++];
  while (j < b.length) out[k++] = b[j++];
  return out;
}

// Folders of more entries than this are closed at first, in a context that has more than fit on a few screens.
const LARGE = 60;
const MANY = 250;

// The lines of the tree that can be seen: { path, name, depth, folder, open, entries, row }.
export function treeLines(table, toggled, filter) {
  table.settle();
  const paths = filter.empty ? table.paths : table.paths.filter((path) => shown(table.rows.get(path), filter));
  const lines = [];
  const opens = (folder, size) => {
    const open = paths.length <= MANY || size <= LARGE;
    return toggled.has(folder) ? !open : open;
  };
  const walk = (from, to, start, depth) => {
    let i = from;
    while (i < to) {
      const path = paths[i];
      const slash = path.indexOf("/", start);
      const folder = slash < 0 ? path : path.slice(0, slash);
      const own = slash < 0;
      const inside = own ? i + 1 : i;
      const end = Table.below(paths, folder, inside, to);
      const size = end - inside;
      const open = size > 0 && opens(folder, size);
      lines.push({ path: folder, name: folder.slice(start), depth, folder: size > 0, own, open, entries: size });
      if (open) walk(inside, end, folder.length + 1, depth + 1);
      i = Math.max(end, i + 1);
    }
  };
  walk(0, paths.length, 0, 1);
  return { lines, matching: paths.length };
}

const shown = (row, filter) => filter.path(row[PATH]) && filter.agent(row[AGENT]);
