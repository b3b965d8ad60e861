// The tree of entries, and the list of changes: long lists of which only what can be seen is drawn, and which never move
// under the eyes of who reads them.

import { absolute, age, clock, count, plural, visible } from "./format.js";
import { tint, who } from "./parts.js";
import { AGENT, AT, REVISION, treeLines, VALUE, VERSION } from "./table.js";
import { html, nothing } from "./vendor/lit-html.js";

const ROW = 24;
const HEAD = 28;
const MORE = 8;

// What can be seen of a list that scrolls. `keys` names its rows: the first that is seen stays where it is.
class Window {
  constructor() {
    this.first = 0;
    this.last = 60;
    this.anchor = null;
    this.element = null;
  }

  // Before drawing: moves with the row that was first, if rows came or went above it.
  settle(element, indexOf) {
    this.element = element;
    if (!element) return;
    // Unless the reader has scrolled meanwhile.
    if (this.anchor && element.scrollTop > 0 && Math.abs(element.scrollTop - this.top) < 1) {
      const index = indexOf(this.anchor.key);
      if (index >= 0) {
        const top = index * ROW + this.anchor.offset;
        if (Math.abs(top - element.scrollTop) >= 1) this.moveTo = top;
      }
    }
    const top = this.moveTo ?? element.scrollTop;
    this.first = Math.max(0, Math.floor(top / ROW) - MORE);
    this.last = Math.ceil((top + (element.clientHeight || 800)) / ROW) + MORE;
  }

  // After drawing: notes which row is first.
  note(keyAt) {
    const { element } = this;
    if (!element) return;
    if (this.moveTo !== undefined) element.scrollTop = this.moveTo;
    this.moveTo = undefined;
    this.top = element.scrollTop;
    const index = Math.floor(this.top / ROW);
    this.anchor = { key: keyAt(index), offset: this.top - index * ROW };
  }

  forget() {
    this.anchor = null;
  }
}

export class Tree {
  constructor(model, actions) {
    this.model = model;
    this.actions = actions;
    this.window = new Window();
    this.made = "";
    this.lines = [];
    this.at = 0;
  }

  // The lines are made anew only if paths came or went, or others are shown.
  update() {
    const { model } = this;
    const { table } = model.shown;
    table.settle();
    const changes = model.filter.byAgent ? model.revision : 0;
    const made = [table.shape, table.size, model.filter.text, [...model.place.toggled].join("\n"), model.place.at, model.place.context, changes].join("\r");
    if (made === this.made && this.table === table) return;
    const { lines, matching } = treeLines(table, model.place.toggled, model.filter);
    this.made = made;
    this.table = table;
    this.matching = matching;
    this.lines = lines;
    this.index = null;
    const key = this.cursorKey;
    const found = key ? this.find(key) : -1;
    if (found >= 0) this.at = found;
    this.at = Math.min(this.at, Math.max(0, lines.length - 1));
  }

  find(path) {
    this.index ??= new Map(this.lines.map((line, i) => [line.path, i]));
    return this.index.get(path) ?? -1;
  }

  view() {
    const { model, window } = this;
    this.update();
    window.settle(document.getElementById("tree"), (key) => this.find(key));
    const { lines } = this;
    const first = Math.min(window.first, Math.max(0, lines.length - 1));
    const last = Math.min(window.last, lines.length);
    const now = model.moment;
    return html`<div class="panel tree">
      <div class="scroll" id="tree" role="treegrid" aria-label="Entries" aria-rowcount=${Math.max(lines.length, 1) + 1} aria-colcount="5" tabindex="0" aria-activedescendant=${lines.length ? `r${this.at}` : nothing}
        @scroll=${this.actions.redraw} @keydown=${(event) => this.key(event)}>
        <div role="rowgroup" class="top-row"><div class="head" role="row" aria-rowindex="1"><span role="columnheader">Path</span><span role="columnheader">Value</span><span role="columnheader">Written by</span><span role="columnheader" class="num" aria-label="Version" title="Version">V</span><span role="columnheader" class="num">Age</span></div></div>
        ${lines.length
          ? html`<div role="rowgroup"><div .style=${`height:${first * ROW}px`}></div>${lines.slice(first, last).map((line, i) => this.row(line, first + i, now))}<div .style=${`height:${(lines.length - last) * ROW}px`}></div></div>`
          : html`<div role="rowgroup"><div role="row" aria-rowindex="2"><p class="empty" role="gridcell">${this.nothing()}</p></div></div>`}
      </div>
    </div>`;
  }

  nothing() {
    const { model } = this;
    if (!model.loaded && model.place.context) return "Reading …";
    if (!model.place.context) return "Choose a context at the left.";
    return model.filter.empty ? "No entries. What is written shows here at once." : "Nothing matches this filter.";
  }

  row(line, index, now) {
    const { model } = this;
    const { table } = model.shown;
    const row = line.own ? table.rows.get(line.path) : null;
    const folder = row ? null : table.folders.get(line.path);
    const agent = row ? row[AGENT] : folder?.[0];
    const at = row ? row[AT] : folder?.[1];
    const selected = line.path === model.place.path;
    const fresh = row ? model.isFresh(line.path, row, Date.now()) : !line.open && model.following && at && Date.now() - at < 1600;
    const differs = !model.following && model.still?.differs?.has(line.path);
    const said = row ? visible(row[VALUE]) : plural(line.entries, "entry", "entries");
    return html`<div class="row ${fresh ? "fresh" : ""} ${index === this.at ? "cursor" : ""}" id=${`r${index}`} role="row" aria-rowindex=${index + 2} aria-level=${line.depth}
      aria-expanded=${line.folder ? String(line.open) : nothing} aria-selected=${selected ? "true" : "false"} title=${`${visible(line.path)}${at ? `\n${absolute(at)}` : ""}`}
      @click=${() => this.choose(index)}>
      <span role="gridcell" class="name d${Math.min(line.depth, 8)}"><span class="twist" aria-hidden="true" @click=${(event) => this.twist(event, line, index)}>${line.folder ? (line.open ? "▾" : "▸") : ""}</span><span class="mono cut">${visible(line.name)}${line.folder ? "/" : ""}</span></span>
      <span role="gridcell" class="mono cut dim">${said}</span>
      <span role="gridcell" class="cut">${agent ? who(agent) : ""}</span>
      <span role="gridcell" class="num dim">${differs ? html`<span class="new-mark" title="differs from what is there now">≠ </span>` : nothing}${row ? count(row[VERSION]) : ""}</span>
      <span role="gridcell" class="num dim">${at ? age(at, now) : ""}</span>
    </div>`;
  }

  drawn() {
    this.window.note((index) => this.lines[index]?.path);
  }

  twist(event, line, index) {
    if (!line.folder) return;
    event.stopPropagation();
    this.at = index;
    this.actions.toggle(line.path);
  }

  choose(index) {
    const line = this.lines[index];
    if (!line) return;
    this.at = index;
    this.cursorKey = line.path;
    if (line.own) this.actions.path(line.path);
    else this.actions.toggle(line.path);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const line = this.lines[this.at];
    const page = Math.max(1, Math.floor((this.window.element?.clientHeight ?? 400) / ROW) - 2);
    const moves = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in moves) this.move(this.at + moves[event.key]);
    else if (event.key === "Enter" || event.key === " ") this.choose(this.at);
    else if (event.key === "ArrowRight" && line?.folder && !line.open) this.actions.toggle(line.path);
    else if (event.key === "ArrowRight" && line?.folder) this.move(this.at + 1);
    else if (event.key === "ArrowLeft" && line?.folder && line.open) this.actions.toggle(line.path);
    else if (event.key === "ArrowLeft" && line?.path.includes("/")) this.move(this.find(line.path.slice(0, line.path.lastIndexOf("/"))));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  move(index) {
    this.at = Math.max(0, Math.min(this.lines.length - 1, index));
    this.cursorKey = this.lines[this.at]?.path;
    const element = this.window.element;
    const top = this.at * ROW;
    if (element && top < element.scrollTop) element.scrollTop = top;
    else if (element && top + ROW + HEAD > element.scrollTop + element.clientHeight) element.scrollTop = top + ROW + HEAD - element.clientHeight;
    this.window.forget();
    this.actions.redraw();
  }

  // Opens what is above a path, and shows its line.
  reveal(path) {
    this.update();
    const index = this.find(path);
    if (index >= 0) this.move(index);
  }
}

const OPS = { create: "new", set: "set", delete: "removed", expire: "expired", event: "event" };

export class Log {
  constructor(model, actions) {
    this.model = model;
    this.actions = actions;
    this.window = new Window();
    this.lines = [];
  }

  update() {
    const { model } = this;
    const { filter } = model;
    const source = model.place.at && model.since?.lines ? model.since.lines : model.shown.log.toReversed();
    this.lines = filter.empty ? source : source.filter((line) => filter.op(line[0]) && filter.path(line[1]) && filter.agent(line[2]));
    this.keys = null;
  }

  find(key) {
    this.keys ??= new Map(this.lines.map((line, i) => [`${line[4]} ${line[1]}`, i]));
    return this.keys.get(key) ?? -1;
  }

  view() {
    const { model, window } = this;
    if (model.place.at) model.compare(model.place.at);
    this.update();
    window.settle(document.getElementById("log"), (key) => this.find(key));
    const { lines } = this;
    const first = Math.min(window.first, Math.max(0, lines.length - 1));
    const last = Math.min(window.last, lines.length);
    const since = model.place.at ? `Changes from ${clock(model.moment)} to now, one a path` : "Changes, the newest first";
    return html`<div class="panel log">
      <div class="scroll" id="log" role="table" aria-label=${since} aria-rowcount=${lines.length + 1} tabindex="0" @scroll=${this.actions.redraw}>
        <div role="rowgroup" class="top-row"><div class="head" role="row" aria-rowindex="1">${["Time", "By", "What", "Path", model.place.at ? "Then → now" : "Value"].map((name) => html`<span role="columnheader">${name}</span>`)}</div></div>
        <div role="rowgroup">${lines.length ? nothing : html`<div role="row" aria-rowindex="2"><p class="empty" role="cell">${this.nothing()}</p></div>`}<div .style=${`height:${first * ROW}px`}></div>${lines.slice(first, last).map((line, i) => this.row(line, first + i))}<div .style=${`height:${Math.max(0, lines.length - last) * ROW}px`}></div></div>
      </div>
    </div>`;
  }

  nothing() {
    const { model } = this;
    if (model.place.at && !model.since?.lines) return "Comparing …";
    if (model.place.at) return model.since?.error || "Nothing has changed since.";
    return model.filter.empty ? "Nothing has changed yet." : "Nothing matches this filter.";
  }

  row([op, path, agent, at, revision, value, before], index) {
    const { model } = this;
    const fresh = model.following && Date.now() - at < 1600;
    const removed = op === "delete" || op === "expire";
    const text = model.place.at && before ? `${before} → ${removed ? "nothing" : value}` : removed ? `was ${before}` : value;
    return html`<div class="row ${fresh ? "fresh" : ""}" role="row" aria-rowindex=${index + 2} title=${`${absolute(at)}, revision ${revision}`}
      @click=${() => op !== "event" && this.actions.path(path)}>
      <span role="cell" class="num dim">${clock(at)}</span>
      <span role="cell" class="cut">${who(agent)}</span>
      <span role="cell" class=${removed ? "fail" : op === "create" ? "good" : "dim"}>${OPS[op] ?? op}</span>
      <span role="cell" class="mono cut">${visible(path)}</span>
      <span role="cell" class="mono cut dim">${visible(text)}</span>
    </div>`;
  }

  drawn() {
    this.window.note((index) => (this.lines[index] ? `${this.lines[index][4]} ${this.lines[index][1]}` : null));
  }
}

export { tint };
