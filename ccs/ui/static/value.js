// A value as lines, and what has changed since another one: key by key, at every depth.

import { visible } from "./format.js";

const TAGS = { $datetime: "time", $bytes: "bytes", $uuid: "uuid", $decimal: "decimal", $int: "integer", $float: "number" };
const MOST = 400;

const isMap = (v) => v !== null && typeof v === "object" && !Array.isArray(v) && !tagOf(v);
const isList = (v) => Array.isArray(v);

function tagOf(v) {
  if (v === null || typeof v !== "object" || Array.isArray(v)) return "";
  const keys = Object.keys(v);
  return keys.length && keys[0].startsWith("$") ? keys[0] : "";
}

// One scalar as text.
export function word(v) {
  const tag = tagOf(v);
  if (tag === "$set") return `set of ${JSON.stringify(v.$set)}`;
  if (tag === "$bytes") return `bytes ${v.$bytes}`;
  if (tag === "$cut") return v.$cut;
  if (tag) return TAGS[tag] ? `${TAGS[tag]} ${v[tag]}` : JSON.stringify(v[tag]);
  return JSON.stringify(v);
}

export const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);

// Lines { depth, key, kind, text, before }, of kind same, add, del or change. Without `compared`, all are the same.
export function valueLines(value, before, compared) {
  const lines = [];
  const walk = (depth, key, pair) => {
    if (lines.length > MOST) return;
    const { now, old, inNow, inOld } = pair;
    const kind = !inOld ? "add" : !inNow ? "del" : same(now, old) ? "same" : "change";
    const shown = inNow ? now : old;
    const keys = keysOf(pair);
    if (!keys?.length) {
      const was = kind === "change" || kind === "del" ? word(old) : "";
      lines.push({ depth, key, kind, text: inNow ? word(now) : "", before: was });
      return;
    }
    const folded = isList(shown) ? shown.length === 1 ? "1 item" : `${shown.length} items` : "";
    if (key !== null) lines.push({ depth, key, kind: kind === "change" ? "same" : kind, text: folded, before: "", folder: true });
    for (const name of keys) walk(key === null ? 0 : depth + 1, name, inside(pair, name));
  };
  walk(0, null, { now: value, old: compared ? before : value, inNow: true, inOld: true });
  return lines;
}

// The keys inside of a value and of what it was before; null if there is nothing to look into.
function keysOf({ now, old, inNow, inOld }) {
  const sides = [...(inNow ? [now] : []), ...(inOld ? [old] : [])];
  if (!sides.every(isMap) && !sides.every(isList)) return null;
  return [...new Set(sides.flatMap((side) => Object.keys(side)))];
}

function inside({ now, old, inNow, inOld }, name) {
  const isNow = inNow && Object.hasOwn(now, name);
  const wasOld = inOld && Object.hasOwn(old, name);
  return { now: isNow ? now[name] : undefined, old: wasOld ? old[name] : undefined, inNow: isNow, inOld: wasOld };
}

// Text of several lines, with those that came and went.
export function textLines(text, before) {
  const now = text.split("\n").slice(0, MOST);
  if (before === null) return now.map((line) => ({ kind: "same", line }));
  const old = before.split("\n").slice(0, MOST);
  const long = Array.from({ length: old.length + 1 }, () => new Uint16Array(now.length + 1));
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      long[i][j] = old[i] === now[j] ? long[i + 1][j + 1] + 1 : Math.max(long[i + 1][j], long[i][j + 1]);
    }
  }
  const out = [];
  let i = 0, j = 0;
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      out.push({ kind: "same", line: now[j++] });
      i++;
    } else if (j >= now.length || (i < old.length && long[i + 1][j] >= long[i][j + 1])) out.push({ kind: "del", line: old[i++] });
    else out.push({ kind: "add", line: now[j++] });
  }
  return out;
}

// A change in a few words: "pages, read", "created", "notes + 1".
export function summary(value, before, op, created) {
  if (op === "delete") return "removed";
  if (op === "expire") return "expired";
  if (created) return "created";
  if (isMap(value) && isMap(before)) {
    const changed = [...new Set([...Object.keys(value), ...Object.keys(before)])].filter((name) => !same(value[name], before[name]));
    return changed.length ? visible(changed.join(", ")) : "the same again";
  }
  if (same(value, before)) return "the same again";
  if (isList(value) && isList(before)) {
    const more = value.length - before.length;
    return more > 0 ? `${more} more` : more < 0 ? `${-more} fewer` : "items changed";
  }
  return visible(word(value));
}
