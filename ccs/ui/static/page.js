// The page: puts its parts together, draws at most once a frame, and says what keys and clicks do.

import { entryPanel } from "./entry.js";
import { count } from "./format.js";
import { Lanes } from "./lanes.js";
import { FRESH, Model } from "./model.js";
import { foot, header, left, notes } from "./parts.js";
import * as sheets from "./sheets.js";
import { Log, Tree } from "./tree.js";
import { html, noChange, nothing, render } from "./vendor/lit-html.js";

const root = document.getElementById("page");
const KEYS = [
  ["/", "filter"], ["f", "pause, or follow again"], ["[ ]", "one step back, forward"], ["n", "to the present"], ["↑ ↓ ← →", "through the tree"],
  ["Enter", "open an entry"], ["Esc", "close it"], ["1 … 7", "tabs"], ["d", "light or dark"], ["?", "these keys"],
];

let drawing = false;

function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

const model = new Model(redraw);

const actions = {
  redraw,
  filter: (event) => model.go({ filter: event.target.value }, false),
  pause: () => model.pause(),
  follow: () => model.follow(),
  slide(event) {
    const steps = model.timeline.steps();
    const index = Number(event.target.value);
    if (index >= steps.length - 1) model.follow();
    else model.go({ at: String(steps[index]) }, false);
  },
  at: (revision) => model.go({ at: String(revision) }, false),
  span: (span) => model.go({ span }, false),
  context(event, address) {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    if (model.source.live) model.go({ context: address });
  },
  agent(name) {
    const word = `agent:${name}`;
    const words = model.place.filter.split(/\s+/).filter(Boolean);
    model.go({ filter: words.includes(word) ? words.filter((each) => each !== word).join(" ") : [...words.filter((each) => !each.startsWith("agent:")), word].join(" ") }, false);
  },
  tab: (tab) => model.go({ tab }),
  path: (path) => model.go({ path }),
  toggle: (folder) => model.toggle(folder),
  close: () => model.go({ path: "" }),
  version(revision) {
    model.entry.version = revision;
    redraw();
  },
  theme() {
    const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    setTheme(dark ? "light" : "dark");
    redraw();
  },
  help: () => document.getElementById("help").showModal(),
};

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("ccs-theme", theme);
  } catch {
    // the choice holds for this page
  }
}

const tree = new Tree(model, actions);
const log = new Log(model, actions);
const lanes = new Lanes(model, actions);

const TABS = [
  ["entries", "Entries", () => model.shown.table.size, () => tree.view()],
  ["changes", "Changes", () => 0, () => log.view()],
  ["claims", "Claims", (seen) => seen.counts.claims, () => sheets.claims(model)],
  ["messages", "Messages", (seen) => seen.counts.unread, () => sheets.messages(model)],
  ["members", "Members", (seen) => seen.counts.members, () => sheets.members(model)],
  ["events", "Events", () => model.shown.events.length, () => sheets.events(model)],
  ["runs", "Runs", (seen) => seen.counts.runs, () => sheets.runs(model)],
];

function middle() {
  const { tab } = model.place;
  const seen = model.shown.overview;
  const chosen = TABS.find(([name]) => name === tab) ?? TABS[0];
  return html`<main class="middle">
    <div class="tabs" role="tablist" aria-label="What is shown" @keydown=${tabKey}>${TABS.map(([name, title, n]) => {
      const size = n(seen) ?? 0;
      const dead = name === "messages" && seen.counts.dead;
      return html`<button role="tab" id=${`tab-${name}`} aria-controls="panel" aria-selected=${name === chosen[0] ? "true" : "false"} tabindex=${name === chosen[0] ? "0" : "-1"} @click=${() => actions.tab(name)}>${title}${size ? html`<span class="n">${count(size)}</span>` : nothing}${dead ? html`<span class="n fail">${count(dead)} dead</span>` : nothing}</button>`;
    })}</div>
    <div id="panel" role="tabpanel" aria-labelledby=${`tab-${chosen[0]}`}>${chosen[3]()}</div>
  </main>`;
}

function tabKey(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const at = TABS.findIndex(([name]) => name === model.place.tab);
  actions.tab(TABS[(at + step + TABS.length) % TABS.length][0]);
  requestAnimationFrame(() => document.querySelector('[role="tab"][aria-selected="true"]')?.focus());
  event.stopPropagation();
}

function help() {
  return html`<dialog id="help" aria-labelledby="help-title"><h2 id="help-title">Keys</h2><dl>${KEYS.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl>
    <p class="dim">Ticks are commits, pale bars are claims held, curves are messages on their way. Drag the upright line, or the slider, to see all of it as it was.</p>
    <form method="dialog"><button class="pill">Close</button></form></dialog>`;
}

// With many agents, the list of them is not drawn with every update.
const MANY = 40;
const SELDOM = 600;
let listed = { at: -Infinity, place: "" };

function sometimes() {
  const now = performance.now();
  const place = `${location.search} ${model.loaded}`;
  if (model.timeline.lanes.size > MANY && listed.place === place && now - listed.at < SELDOM) return noChange;
  listed = { at: now, place };
  return left(model, actions);
}

function draw() {
  render(html`<div class="frame">${header(model, actions)}${notes(model)}${sometimes()}${middle()}${entryPanel(model, actions)}${lanes.view()}${foot(model)}</div>${help()}`, root);
  if (model.place.tab === "entries") tree.drawn();
  else if (model.place.tab === "changes") log.drawn();
  lanes.drawn();
  const { context } = model.place;
  const fresh = model.following ? 0 : model.timeline.after(Number(model.place.at));
  document.title = `${fresh ? `(${fresh}) ` : ""}${context ? `${context.split("/").slice(2).join("/") || context} · ` : ""}ccs`;
  if (!revealed && model.loaded) {
    revealed = true;
    if (model.place.path) tree.reveal(model.place.path);
  }
}

let revealed = false;

// --- Keys that hold everywhere but where one types.

const PLAIN = {
  f: () => (model.following ? model.pause() : model.follow()),
  n: () => model.follow(),
  "[": () => model.step(-1),
  "]": () => model.step(1),
  d: actions.theme,
  "?": actions.help,
  "/": () => document.getElementById("filter").select(),
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches?.("input[type=search], select, textarea");
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (!document.getElementById("help").open && model.place.path) actions.close();
    return;
  }
  if (typing || document.getElementById("help").open) return;
  const tab = TABS[Number(event.key) - 1];
  const act = PLAIN[event.key] ?? (tab && (() => actions.tab(tab[0])));
  if (!act) return;
  event.preventDefault();
  act();
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details[open]")) if (!menu.contains(event.target)) menu.open = false;
});

addEventListener("popstate", () => model.back());
addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

// Ages, and the tint of what is new, go on by themselves.
setInterval(() => {
  model.tidy(Date.now());
  redraw();
}, 1000);
setInterval(() => model.fresh.size && redraw(), FRESH / 4);

try {
  const theme = localStorage.getItem("ccs-theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // as the system has it
}
model.start();
draw();
