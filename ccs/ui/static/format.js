// Text for people: numbers, times, ages; and text of agents, made visible.

const whole = new Intl.NumberFormat("en");
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export const count = (n) => whole.format(n);

// Text of agents on one line: what does not show, or turns the order of what follows, is written out.
export const visible = (text) => String(text).replace(HIDDEN, escaped);

// The same for text in which lines and tabs may stand.
export const visibleLines = (text) => String(text).replace(HIDDEN, (c) => (c === "\n" || c === "\t" ? c : escaped(c)));

const escaped = (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;

const two = (n) => String(n).padStart(2, "0");

export function clock(ms) {
  const d = new Date(ms);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

export const minutes = (ms) => clock(ms).slice(0, 5);

export function absolute(ms) {
  if (!ms) return "";
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(ms)}.${String(d.getMilliseconds()).padStart(3, "0")}`;
}

// A time of today as a clock shows it, an earlier one with its day.
export function moment(ms, now) {
  const day = absolute(ms).slice(0, 10);
  return day === absolute(now).slice(0, 10) ? clock(ms) : `${day.slice(5)} ${clock(ms)}`;
}

export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m`;
  if (s < 86400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

export const age = (ms, now) => (ms ? span(now - ms) : "");

export const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many ?? `${one}s`}`;

// A revision, short: its end is what differs.
export const revision = (n) => (String(n).length > 9 ? `…${String(n).slice(-8)}` : String(n));

export function rate(n) {
  return n >= 10 ? `${Math.round(n)}/s` : n >= 0.95 ? `${Math.round(n)}/s` : n > 0 ? "<1/s" : "";
}
