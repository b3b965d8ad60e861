// What the recipes hold, as tables: claims, messages, members, events, and runs with agreements, barriers and policies.

import { absolute, clock, count, plural, span, visible } from "./format.js";
import { stateOf, who } from "./parts.js";
import { html, nothing } from "./vendor/lit-html.js";

const time = (ms) => (ms ? html`<time title=${absolute(ms)}>${clock(ms)}</time>` : "");
const text = (value) => html`<code>${visible(value)}</code>`;
const people = (names) => names.map((name) => html`<div>${who(name)}</div>`);

// A table: titles (one that begins with # is of numbers), rows of cells, and what to say if there is none.
function table(label, titles, rows, empty) {
  if (!rows.length) return html`<p class="empty">${empty}</p>`;
  const number = titles.map((title) => title.startsWith("#"));
  return html`<table aria-label=${label}><thead><tr>${titles.map((title, i) => html`<th scope="col" class=${number[i] ? "num" : ""}>${title.replace("#", "")}</th>`)}</tr></thead>
    <tbody>${rows.map((cells) => html`<tr>${cells.map((cell, i) => html`<td class=${number[i] ? "num" : ""}>${cell}</td>`)}</tr>`)}</tbody></table>`;
}

const sheet = (label, ...parts) => html`<div class="sheet" role="region" tabindex="0" aria-label=${label}>${parts}</div>`;

export function claims(model) {
  const { claims: held, counts } = model.shown.overview;
  const { filter } = model;
  const now = model.moment + (model.following ? model.skew : 0);
  const some = held.filter((claim) => filter.path(claim.resource) && (filter.agent(claim.holder) || claim.waiting.some(filter.agent)));
  const rows = some.map((claim) => [
    text(claim.resource),
    who(claim.holder),
    time(claim.since),
    span(now - claim.since),
    model.following ? (claim.until > now ? `${span(claim.until - now)}` : html`<span class="warn">lapses</span>`) : "",
    claim.waiting.length ? html`<span class="warn">${people(claim.waiting)}</span>` : "",
    claim.note ? text(claim.note) : "",
  ]);
  const more = (counts.claims ?? 0) - held.length;
  return sheet("Claims", table("Claims", ["resource", "held by", "since", "#for", "#left unless renewed", "who waits", "note"], rows, filter.empty ? "Nobody holds a claim." : "Nothing matches this filter."), more > 0 ? html`<p class="empty">and ${count(more)} more</p>` : nothing);
}

export function messages(model) {
  const { inboxes } = model.shown.overview;
  const { filter } = model;
  const mine = (letter) => filter.agent(letter.sender) || (letter.held && filter.agent(letter.held));
  if (!inboxes.length) return sheet("Messages", html`<p class="empty">No message waits, and none is dead.</p>`);
  return sheet("Messages", inboxes.map((box) => html`
    <h2>to ${visible(box.role)}: ${count(box.unread)} unread${box.dead ? html`, <span class="fail">${plural(box.dead, "dead letter")}</span>` : nothing}</h2>
    ${table(`Messages to ${box.role}`, ["sent", "from", "type", "content", "held by", "#deliveries"], box.letters.filter(mine).map(letter), "All was read.")}
    ${box.unread > box.letters.length ? html`<p class="empty">and ${count(box.unread - box.letters.length)} more</p>` : nothing}
    ${box.buried.length ? html`<h2 class="fail">dead letters to ${visible(box.role)}</h2>${table(`Dead letters to ${box.role}`, ["sent", "from", "type", "content", "held by", "#deliveries"], box.buried.filter(mine).map(letter), "")}` : nothing}`));
}

const letter = (each) => [time(each.sent), who(each.sender), visible(each.type), text(each.content), each.held ? who(each.held) : html`<span class="dim">nobody</span>`, count(each.attempts)];

export function members(model) {
  const now = model.moment;
  const { members: here } = model.shown.overview;
  const byName = new Map(model.agents().map((agent) => [agent.name, agent]));
  const some = here.filter((member) => model.filter.agent(member.agent));
  const rows = some.map((member) => {
    const [state, kind] = stateOf(byName.get(member.agent), now);
    return [who(member.agent), visible(member.role), html`<span class=${kind}>${state}</span>`, time(member.joined), model.following ? `${span(now + model.skew - member.seen)} ago` : time(member.seen), member.meta ? text(member.meta) : ""];
  });
  const others = [...byName.values()].filter((agent) => !agent.member && model.filter.agent(agent.name));
  const wrote = others.map((agent) => [who(agent.name), html`<span class="dim">${stateOf(agent, now)[0]}</span>`, time(agent.last)]);
  return sheet("Members", table("Members", ["agent", "role", "is at", "joined", "#renewed", "about it"], rows, "Nobody has joined."),
    wrote.length ? html`<h2>have written, and are no members</h2>${table("Others who have written", ["agent", "is at", "last commit"], wrote, "")}` : nothing);
}

export function events(model) {
  const { filter } = model;
  const some = model.shown.events.filter((line) => filter.path(line[1]) && filter.agent(line[2]));
  const rows = some.slice(-200).reverse().map(([, topic, agent, at, , data]) => [time(at), who(agent), text(topic), text(data)]);
  return sheet("Events", table("Events, the newest first", ["when", "by", "topic", "data"], rows, filter.empty ? "No event was published, as far as history reaches." : "Nothing matches this filter."));
}

export function runs(model) {
  const { runs: keys, agreements, barriers, policies } = model.shown.overview;
  const { filter } = model;
  const kind = { done: "dim", running: "good", failed: "fail", lost: "fail" };
  const rows = keys.filter((run) => filter.agent(run.agent)).slice(0, 300).map((run) => [
    text(run.key), html`<span class=${kind[run.state] ?? ""}>${run.state}</span>`, who(run.agent), time(run.at), count(run.attempts), run.error ? html`<code class="fail">${visible(run.error)}</code>` : "",
  ]);
  const votes = (each) => each.parties.map((name) => html`<div>${who(name)} ${name in each.votes ? (each.votes[name] ? html`<span class="good">yes</span>` : html`<span class="fail">no</span>`) : html`<span class="dim">has not voted</span>`}</div>`);
  const agreed = agreements.map((each) => [
    visible(each.name), votes(each),
    each.committed === null ? html`<span class="warn">open</span>` : each.committed ? html`<span class="good">committed</span>` : html`<span class="fail">aborted</span>`,
    time(each.decided || each.opened), visible(each.reason),
  ]);
  const gates = barriers.map((each) => [visible(each.name), each.open ? html`<span class="good">open</span>` : `${each.waiting.length} of ${each.parties}`, people(each.waiting)]);
  const rules = Object.entries(policies).map(([pattern, policy]) => [text(pattern), policy]);
  return sheet("Runs and agreements", html`<h2>runs of once</h2>`, table("Runs of once", ["key", "state", "by", "when", "#attempts", "error"], rows, "Nothing was run once."),
    html`<h2>agreements</h2>`, table("Agreements", ["name", "votes", "decision", "when", "why"], agreed, "Nothing is agreed on."),
    gates.length ? html`<h2>barriers</h2>${table("Barriers", ["name", "arrived", "who waits"], gates, "")}` : nothing,
    rules.length ? html`<h2>policies</h2>${table("Policies", ["pattern", "policy"], rules, "")}` : nothing);
}
