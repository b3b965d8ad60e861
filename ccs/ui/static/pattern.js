// The filter: `agent:analyst findings/** op:set`. Patterns are those of CCS; a word without a wildcard is looked for anywhere
// in the path.

const SPECIAL = /[.+^$()|\\/{}[\]*?]/g;
const literal = (text) => text.replace(SPECIAL, "\\$&");

// Alternatives first: `{a,b}`, nested, across segments.
function alternatives(pattern) {
  let depth = 0;
  let start = -1;
  const cuts = [];
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i];
    if (c === "[") i = closing(pattern, i);
    else if (c === "{") {
      if (depth++ === 0) start = i;
    } else if (c === "," && depth === 1) cuts.push(i);
    else if (c === "}" && depth > 0 && --depth === 0) {
      const edges = [start, ...cuts, i];
      const parts = edges.slice(1).map((end, n) => pattern.slice(edges[n] + 1, end));
      return parts.flatMap((part) => alternatives(pattern.slice(0, start) + part + pattern.slice(i + 1)));
    }
  }
  if (depth) throw new Error("a { is not closed");
  return [pattern];
}

// Where a class ends. A `]` right at its beginning is literal.
function closing(pattern, i) {
  const first = pattern[i + 1] === "!" ? i + 2 : i + 1;
  const end = pattern.indexOf("]", first + 1);
  if (end < 0) throw new Error("a [ is not closed");
  return end;
}

function segment(text) {
  let out = "";
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === "*") out += "[^/]*";
    else if (c === "?") out += "[^/]";
    else if (c === "[") {
      const end = closing(text, i);
      const not = text[i + 1] === "!";
      const body = text.slice(i + (not ? 2 : 1), end).replace(/[\\\]^[]/g, "\\$&");
      out += not ? `[^/${body}]` : `[${body}]`;
      i = end;
    } else out += literal(c);
  }
  return out;
}

function regexOf(plain) {
  const text = plain.endsWith("/") ? `${plain}**` : plain;
  const parts = text.split("/");
  let out = "";
  parts.forEach((part, n) => {
    const last = n === parts.length - 1;
    if (part === "**") out += last ? "[^]+" : "(?:[^/]+/)*";
    else out += segment(part) + (last ? "" : "/");
  });
  return out;
}

export function patternTest(pattern) {
  const all = alternatives(pattern).map(regexOf).join("|");
  const test = new RegExp(`^(?:${all})$`, "u");
  return (path) => test.test(path);
}

const WILD = /[*?[\]{}/]/;

function pathTest(word) {
  if (WILD.test(word)) return patternTest(word);
  const small = word.toLowerCase();
  return (path) => path.toLowerCase().includes(small);
}

// A filter has `path(p)`, `agent(a)`, `op(o)`, each true for what is to be shown, and `error`, text or "".
export function filterOf(text) {
  const agents = [];
  const ops = [];
  const paths = [];
  const patterns = [];
  let error = "";
  for (const word of text.trim().split(/\s+/).filter(Boolean)) {
    try {
      if (word.startsWith("agent:")) agents.push(nameTest(word.slice(6)));
      else if (word.startsWith("op:")) ops.push(...word.slice(3).split(","));
      else {
        paths.push(pathTest(word));
        patterns.push(word);
      }
    } catch (failure) {
      error = `${word}: ${failure.message}`;
    }
  }
  const any = (tests, value) => tests.length === 0 || tests.some((test) => test(value));
  return {
    text: text.trim(),
    error,
    patterns: patterns.filter((word) => WILD.test(word)),
    empty: !agents.length && !ops.length && !paths.length,
    byPath: paths.length > 0,
    byAgent: agents.length > 0,
    path: (path) => any(paths, path),
    agent: (name) => any(agents, name),
    op: (op) => ops.length === 0 || ops.includes(op) || (op === "create" && ops.includes("set")),
  };
}

function nameTest(name) {
  const test = patternTest(name.replaceAll("/", "?"));
  return (agent) => agent === name || test(agent.replaceAll("/", "?"));
}
