// One entry: who wrote it when, its value with what has changed, its versions, who holds it, and messages about it.

import { absolute, count, moment, revision, span, visible, visibleLines } from "./format.js";
import { who } from "./parts.js";
import { summary, textLines, valueLines } from "./value.js";
import { html, nothing } from "./vendor/lit-html.js";

export function entryPanel(model, actions) {
  const { entry } = model;
  if (!entry) return latest(model, actions);
  return html`<aside class="right" aria-label=${`Entry ${visible(entry.path)}`}>
    <div class="title"><code>${visible(entry.path)}</code><button class="quiet" aria-label="Close the entry" title="Close (Esc)" @click=${actions.close}>✕</button></div>
    ${entry.error ? html`<p class="fail">${entry.error}</p>` : entry.data ? known(model, entry, actions) : html`<p class="dim">Reading …</p>`}
  </aside>`;
}

// While no entry is chosen: what changed last, and by whom.
function latest(model, actions) {
  const { filter } = model;
  const some = model.shown.log.filter((line) => filter.op(line[0]) && filter.path(line[1]) && filter.agent(line[2])).slice(-40).reverse();
  return html`<aside class="right idle" aria-label="Latest changes"><h2>Latest changes</h2>
    ${some.length ? some.map((line) => latestLine(model, line, actions)) : html`<p class="dim">Nothing has changed, as far as this page can tell.</p>`}
    <p class="dim hint">Choose an entry to see its value, its versions, and what changed between them.</p></aside>`;
}

function latestLine(model, [op, path, agent, at], actions) {
  const gone = op === "delete" || op === "expire" ? "fail" : "";
  return html`<button class="version latest" title=${`${absolute(at)} ${op}`} @click=${() => (op === "event" ? actions.tab("events") : actions.path(path))}><time class="dim">${moment(at, model.now)}</time>${who(agent)}<code class="cut ${gone}">${visible(path)}</code></button>`;
}

function known(model, entry, actions) {
  const { data } = entry;
  const { versions } = data;
  const chosen = entry.version === null ? null : versions.find((each) => each.revision === entry.version);
  const shown = chosen ?? versions[0];
  const current = data.entry;
  return html`${current ? facts(model, current) : html`<p class="warn">${versions.length ? `${versions[0].op === "expire" ? "Expired" : "Removed"} ${moment(versions[0].at, model.now)} by ${visible(versions[0].agent)}.` : model.following ? "There is no such entry." : "There was no such entry."}</p>`}
    ${chosen ? html`<p class="dim">What version ${chosen.version} changed:</p>` : nothing}
    ${valueOf(current, shown, chosen)}
    ${versions.length ? html`<h2>Versions</h2><div>${versions.map((each) => version(model, entry, each, actions))}</div>${data.more ? html`<p class="dim">Earlier ones are not shown.</p>` : nothing}` : html`<p class="dim">It was written before history begins.</p>`}
    ${messages(model, entry.path)}`;
}

function facts(model, entry) {
  const now = model.moment + (model.following ? model.skew : 0);
  const claim = model.shown.overview.claims.find((each) => each.resource === entry.path);
  const waits = claim?.waiting.length;
  return html`<dl class="facts">
    <dt>version</dt><dd>${count(entry.version)}, <span title=${String(entry.revision)}>revision ${revision(entry.revision)}</span></dd>
    <dt>written</dt><dd>${who(entry.agent)} <time class="dim" title=${absolute(entry.updated)}>${moment(entry.updated, model.now)}</time></dd>
    ${claim ? html`<dt>claimed</dt><dd>${who(claim.holder)} <span class="dim">${model.following ? `${span(claim.until - now)} left` : ""}</span>${waits ? html` <span class="warn" title=${claim.waiting.map(visible).join(", ")}>· ${waits === 1 ? "1 waits" : `${waits} wait`}</span>` : nothing}</dd>` : nothing}
    <dt>expires</dt><dd>${entry.expires ? html`<time title=${absolute(entry.expires)}>in ${span(entry.expires - now)}</time>` : html`<span class="dim">never</span>`}</dd>
  </dl>`;
}

// The value, with what its last version changed; or that of the version that was chosen.
function valueOf(current, shown, chosen) {
  const value = chosen ? chosen.value : current ? current.value : null;
  const before = shown?.previous;
  const removed = (chosen ?? (current ? null : shown))?.op;
  if (removed === "delete" || removed === "expire") return html`<div class="value" role="region" tabindex="0" aria-label="Value before it was removed">${lines(before, null, false, true)}</div>`;
  if (!chosen && !current) return nothing;
  const compared = Boolean(shown) && !shown.created && (chosen || shown.revision === current?.revision) && shown.previous !== undefined;
  return html`<div class="value" role="region" tabindex="0" aria-label="Value">${lines(value, before, compared, false)}</div>`;
}

function lines(value, before, compared, gone) {
  if (value?.$cut !== undefined) return html`<div class="text">${visibleLines(value.$cut)} …</div><div class="tag">${count(value.size)} characters in all: save the context to read them</div>`;
  if (before?.$cut !== undefined) compared = false;
  if (typeof value === "string" && (value.includes("\n") || value.length > 60) && (!compared || typeof before === "string")) {
    return textLines(value, compared ? before : null).map(({ kind, line }) => html`<div class="text">${mark(gone ? "del" : kind, visibleLines(line) || " ")}</div>`);
  }
  return valueLines(value, before, compared).map((line) => pair(line, gone));
}

const mark = (kind, text) => (kind === "add" ? html`<ins>${text}</ins>` : kind === "del" ? html`<del>${text}</del>` : text);

function pair({ depth, key, kind, text, before, folder }, gone) {
  const was = before ? html`<del>${visibleLines(before)}</del> ` : nothing;
  const is = kind === "del" || !text ? nothing : folder ? html`<span class="key">${text}</span>` : kind === "change" || kind === "add" ? html`<ins>${visibleLines(text)}</ins>` : gone ? html`<del>${visibleLines(text)}</del>` : visibleLines(text);
  const tag = kind === "add" && !folder ? html`<span class="tag">new</span>` : kind === "del" ? html`<span class="tag">removed</span>` : nothing;
  if (key === null) return html`<div class="text">${was}${is}</div>`;
  return html`<div class="pair"><span class="key">${"\u00a0\u00a0".repeat(Math.min(depth, 12))}${visible(key)}</span><span class="text">${was}${is}${tag}</span></div>`;
}

function version(model, entry, each, actions) {
  const pressed = entry.version === each.revision;
  return html`<button class="version" aria-pressed=${pressed ? "true" : "false"} title=${`${absolute(each.at)}, revision ${each.revision}, by ${visible(each.agent)}`} @click=${() => actions.version(pressed ? null : each.revision)}>
    <time class="dim">${moment(each.at, model.now)}</time><span class="num">${each.version}</span>${who(each.agent)}<span class="cut dim">${summary(each.value, each.previous, each.op, each.created)}</span></button>`;
}

function messages(model, path) {
  const about = model.shown.overview.inboxes.flatMap((box) => box.letters.filter((each) => each.content.includes(path)).map((each) => [box.role, each]));
  if (!about.length) return nothing;
  return html`<h2>Messages about it</h2>${about.slice(0, 10).map(([role, each]) => html`<div class="version about"><time class="dim" title=${absolute(each.sent)}>${moment(each.sent, model.now)}</time><span class="cut">${who(each.sender)} to ${visible(role)} <span class="dim">${visible(each.content)}</span></span></div>`)}`;
}
