// Agents keep one colour everywhere. Their name chooses it; where two want the same, the one whose name comes first has it. So
// the same agents look the same on every page. Past eight, colours repeat with another shape.

export const COLOURS = 8;
export const SHAPES = 5;
// Those that are told apart best come first.
const BEST = 6;

const looks = new Map();
const used = new Set();
let settled = false;

function hash(text) {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  return (h ^ (h >>> 13)) >>> 0;
}

function give(name) {
  const round = Math.floor(looks.size / COLOURS);
  const among = looks.size % COLOURS < BEST ? BEST : COLOURS;
  let slot = hash(name) % among;
  while (used.has(round * COLOURS + slot)) slot = (slot + 1) % among;
  used.add(round * COLOURS + slot);
  looks.set(name, { colour: slot, shape: round % SHAPES });
}

// Makes some agents known. Until all are known that a context has had, looks may still change; then who comes later changes
// nothing.
export function know(names) {
  const fresh = [...new Set(names)].filter((name) => !looks.has(name)).sort();
  if (!fresh.length) return;
  if (settled) return fresh.forEach(give);
  const all = [...looks.keys(), ...fresh].sort();
  looks.clear();
  used.clear();
  all.forEach(give);
}

export function settle() {
  settled = true;
}

export function forget() {
  looks.clear();
  used.clear();
  settled = false;
}

export function look(name) {
  if (!looks.has(name)) know([name]);
  return looks.get(name);
}
