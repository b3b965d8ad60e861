// What the edges of the page show: header, contexts and agents, the last line.

import { look } from "./agents.js";
import { absolute, age, clock, count, moment, plural, rate, revision, span, visible } from "./format.js";
import { html, nothing } from "./vendor/lit-html.js";

export const tint = (name) => {
  const { colour, shape } = look(name);
  return `dot c${colour} s${shape}`;
};

export const who = (name) => html`<span class="who"><i class=${tint(name)} aria-hidden="true"></i><span class="cut">${visible(name)}</span></span>`;

const when = (ms, text) => html`<time title=${absolute(ms)}>${text}</time>`;

export const contextName = (address) => visible(decodeURIComponentSafe(address.split("/").slice(2).join("/") || address.slice(1)));

function decodeURIComponentSafe(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// --- Header.

export function header(model, actions) {
  const { place, following } = model;
  const fresh = following ? 0 : model.timeline.after(Number(place.at));
  return html`
    <header class="top">
      <span class="brand">ccs</span>
      <h1 class="where cut"><span class="cut">${place.context ? html`<span class="dim">/${place.context.split("/")[1]}${place.context.split("/").length > 2 ? "/" : ""}</span><b>${place.context.split("/").length > 2 ? contextName(place.context) : ""}</b>` : html`<span class="hidden">Collaborative context store</span>`}</span></h1>
      <search class="filter"><input id="filter" type="search" .value=${place.filter} placeholder="filter: agent:analyst findings/** op:set"
        aria-label="Filter by agent, pattern and operation" aria-invalid=${model.filter.error ? "true" : "false"} spellcheck="false" autocomplete="off"
        @input=${actions.filter}></search>
      ${model.filter.error ? html`<span class="fail" role="alert">${model.filter.error}</span>` : nothing}
      ${model.source.live
        ? following
          ? html`<button class="pill good" aria-pressed="true" title="Pause (f)" @click=${actions.pause}><i class="light" aria-hidden="true"></i>following</button>`
          : html`<button class="pill warn" aria-pressed="false" title="Follow again (f)" @click=${actions.follow}><i class="bars" aria-hidden="true"></i>${model.still && model.still.from === Number(place.at) ? "paused" : "as it was"} ${moment(model.moment, model.now)}</button>`
        : html`<span class="pill">saved ${absolute(model.now).slice(0, 16)}</span>${following ? nothing : html`<button class="pill warn" @click=${actions.follow}>as it was ${moment(model.moment, model.now)}</button>`}`}
      ${fresh ? html`<button class="pill" title="Go to the present" @click=${actions.follow}>${count(fresh)} new</button>` : nothing}
      <span class="push"></span>
      ${timeSlider(model, actions)}
      ${downloads(model)}
      <button class="quiet" title="Light or dark (d)" aria-label="Light or dark" @click=${actions.theme}>◐</button>
      <button class="quiet keys" @click=${actions.help}>? keys</button>
    </header>`;
}

function timeSlider(model, actions) {
  const steps = model.timeline.steps();
  if (steps.length < 2) return nothing;
  const last = steps.length - 1;
  const at = model.place.at ? steps.findLastIndex((step) => step <= Number(model.place.at)) : last;
  const text = model.following ? "now" : `${clock(model.moment)}`;
  return html`<label class="slider"><span>${moment(model.timeOf(steps[0]), model.now)}</span><input id="slider" type="range" min="0" max=${last} .value=${String(Math.max(0, at))}
    aria-label="Moment" aria-valuetext=${text} @input=${actions.slide}><span>${text}</span></label>`;
}

function downloads(model) {
  if (!model.source.live || !model.place.context) return nothing;
  const at = model.place.at;
  return html`<details class="menu"><summary>save</summary><div>
    <a href=${model.source.link("jsonl", at)} download>JSON lines, every value</a>
    <a href=${model.source.link("html", at)} download>This page, as one file</a>
  </div></details>`;
}

// --- What must be said before all else.

export function notes(model) {
  const said = [];
  const { state, link } = model;
  const as = (ms) => (ms ? clock(ms) : "");
  if (model.shut) said.push(["fail", "This view was started anew, with another token: open the URL that it has printed. What you see is the state of before."]);
  else if (link.broken) said.push(["fail", `Behind since ${as(link.since)}: no connection to this view. What you see is the state of then; it goes on by itself.`]);
  else if (state.behind) said.push(["fail", `Behind since ${as(state.behind)}: the store does not answer. What you see is the state of then.`]);
  if (state.ended === "none" && model.place.context && model.loaded && !model.table.size) {
    said.push(["warn", model.why === "gone" ? "This context has ended: it was dropped, or expired. If it comes again, it is shown." : "There is no such context yet. Its first commit creates it, and is shown at once."]);
  } else if (model.why === "gone") said.push(["warn", "The context that was shown has ended; this is another one at the same address."]);
  if (model.why === "compacted") said.push(["warn", "Too much has happened while this page was away: history no longer reaches back to what it had. It was read anew; what changed in between is not marked."]);
  if (model.why === "forked") said.push(["fail", "History was rewritten: the server has lost commits that were acknowledged, and shown here. This is the state that it has now."]);
  if (model.why === "damaged") said.push(["fail", "A commit in the history cannot be read. This is the state of now; what happened before may be incomplete."]);
  if (state.ended === "finished") said.push(["warn", `Finished${state.outcome ? `: ${visible(state.outcome)}` : ""}. Nothing changes any more.`]);
  if (model.trouble) said.push(["warn", model.trouble]);
  if (model.cut) said.push(["warn", `This context is larger than a page can hold: the first ${count(model.table.most)} paths are shown.`]);
  return html`<div class="note" role="status">${said.map(([kind, text]) => html`<p class=${kind}>${text}</p>`)}</div>`;
}

// --- Left: what runs, who works on it, what waits.

const KINDS = [["tasks", "Tasks"], ["sessions", "Sessions"], ["actors", "Actors"], ["global", "Global"]];

export function left(model, actions) {
  return html`<nav class="left" aria-label="Contexts and agents">${contexts(model, actions)}${agents(model, actions)}${waiting(model, actions)}</nav>`;
}

function contexts(model, actions) {
  const { contexts: lines, more, refused } = model.contexts;
  const address = model.place.context;
  const known = lines.some((line) => line[0] === address) || !address ? lines : [[address, 0, 0, 0, 0, "", false], ...lines];
  if (!known.length) return html`<section><h2>Contexts</h2><p class="empty">${refused || html`No task yet. <code>scripts/demo</code> makes one, and so does any program that writes.`}</p></section>`;
  const sorted = [...known].sort((a, b) => (a[0] < b[0] ? -1 : 1)).slice(0, 500);
  return html`${KINDS.map(([kind, title]) => {
    const some = sorted.filter((line) => line[0].split("/")[1] === kind);
    return some.length ? html`<section><h2>${title}<span>${some.length > 8 ? count(some.length) : ""}</span></h2><ul>${some.map((line) => contextLine(model, line, address, actions))}</ul></section>` : nothing;
  })}${more ? html`<p class="empty">and ${count(more)} more</p>` : nothing}${refused && lines.length ? html`<p class="empty">${refused}</p>` : nothing}`;
}

function contextLine(model, [name, , entries, at, commits, outcome, finished], address, actions) {
  const here = name === address;
  const state = finished ? "finished" : commits ? rate(commits) : at ? `idle ${span(model.now - at)}` : "";
  const query = new URLSearchParams({ context: name, ...(model.place.filter ? { filter: model.place.filter } : {}), ...(model.place.tab !== "entries" ? { tab: model.place.tab } : {}) });
  const href = model.source.live ? `?${query}` : "#";
  return html`<li><a class="line ${finished ? "off" : ""}" href=${href} aria-current=${here ? "page" : nothing} title=${`${visible(name)}, ${plural(entries, "entry", "entries")}${outcome ? `, ${visible(outcome)}` : ""}`}
    @click=${(event) => actions.context(event, name)}><span class="cut">${contextName(name)}</span><span class="dim">${state}</span></a></li>`;
}

const QUIET = 60000;

// What an agent is at, in a few words, and whether that is a reason to look: [text, kind].
export function stateOf(agent, now) {
  const silent = now - agent.last;
  if (agent.waits.length) return [`waits for ${visible(agent.waits[0].resource.split("/").at(-1))}`, "warn"];
  if (agent.claims.length && silent > QUIET) return [`holds ${agent.claims.length}, silent ${span(silent)}`, "warn"];
  if (agent.claims.length) return [`${plural(agent.claims.length, "claim")}`, "dim"];
  if (!agent.member && agent.presence?.[0] === "vanished") return [`vanished ${span(now - agent.presence[1])} ago`, "warn"];
  if (!agent.member && agent.presence?.[0] === "left") return [`left ${span(now - agent.presence[1])} ago`, "dim"];
  if (silent < 4000) return ["writing", "dim"];
  if (agent.member && silent > QUIET) return [`silent ${span(silent)}`, "warn"];
  return [agent.last ? `${span(silent)} ago` : "", "dim"];
}

function agents(model, actions) {
  const all = model.agents();
  if (!all.length) return nothing;
  const now = model.moment;
  const chosen = model.place.filter;
  return html`<section><h2>Agents here<span>${all.length > 8 ? count(all.length) : ""}</span></h2><ul>${all.slice(0, 400).map((agent) => {
    const [text, kind] = stateOf(agent, now);
    const on = chosen.includes(`agent:${agent.name}`);
    return html`<li><button class="line person" aria-pressed=${on ? "true" : "false"} title=${`${visible(agent.name)}${agent.roles.length ? `, ${visible(agent.roles.join(", "))}` : ""}: ${text}${agent.last ? `, last commit ${absolute(agent.last)}` : ""}`}
      @click=${() => actions.agent(agent.name)}>${who(agent.name)}<span class=${kind}>${text}</span></button></li>`;
  })}</ul></section>`;
}

function waiting(model, actions) {
  const { inboxes, claims } = model.shown.overview;
  const unread = inboxes.filter((box) => box.unread);
  const dead = inboxes.reduce((sum, box) => sum + box.dead, 0);
  const lines = claims.filter((claim) => claim.waiting.length);
  if (!unread.length && !dead && !lines.length) return nothing;
  const go = (tab) => () => actions.tab(tab);
  return html`<section><h2>Waiting</h2><ul>
    ${lines.slice(0, 20).map((claim) => html`<li><button class="line" @click=${go("claims")}><span class="cut mono">${visible(claim.resource)}</span><span class="warn">${claim.waiting.length === 1 ? "1 waits" : `${claim.waiting.length} wait`}</span></button></li>`)}
    ${unread.slice(0, 20).map((box) => html`<li><button class="line" @click=${go("messages")}><span class="cut">${visible(box.role)}: unread</span><span class="dim">${count(box.unread)}</span></button></li>`)}
    ${dead ? html`<li><button class="line fail" @click=${go("messages")}><span>dead letters</span><span>${count(dead)}</span></button></li>` : nothing}
  </ul></section>`;
}

// --- The last line: whether what is shown is the truth.

export function foot(model) {
  const { state } = model;
  const table = model.shown.table;
  const behind = model.link.broken || state.behind;
  return html`<footer class="foot" aria-label="How things stand">
    ${model.place.context ? html`<span title=${String(model.following ? model.revision : model.place.at)}>revision ${revision(model.following ? model.revision : model.place.at)}</span>` : nothing}
    ${model.loaded ? html`<span>${plural(table.size, "entry", "entries")}</span>` : model.place.context && !model.link.broken ? html`<span>reading ${count(table.size)} of ${plural(model.expected ?? 0, "entry", "entries")}</span>` : nothing}
    ${model.source.live ? html`<span>${plural(Math.round(model.rate), "commit")}/s</span>` : nothing}
    ${model.source.live && model.delay !== null && !behind ? html`<span>delivered ${count(model.delay)} ms after commit</span>` : nothing}
    ${behind ? html`<span class="fail">behind</span>` : nothing}
    ${state.oldest ? html`<span class=${state.compacted ? "warn" : ""}>${state.compacted ? "history reaches back to" : "history is whole, from"} ${when(state.oldest, moment(state.oldest, model.now))}</span>` : nothing}
    <span class="push"></span>
    ${state.ttl && !state.ended ? html`<span>ends when idle for ${span(state.ttl * 1000)}</span>` : nothing}
  </footer>`;
}

export { age, when };
