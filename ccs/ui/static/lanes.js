// The timeline: a lane an agent that never moves, ticks, bars and curves drawn on a canvas, and the upright line of the moment
// that the whole page shows.

import { look } from "./agents.js";
import { clock, count, minutes, plural, span as spanText, visible } from "./format.js";
import { who } from "./parts.js";
import { nice, Scale } from "./timeline.js";
import { html, nothing } from "./vendor/lit-html.js";

const LANE = 22;
const SPANS = [["", "all that is held"], ["60000", "the last minute"], ["600000", "the last 10 minutes"], ["3600000", "the last hour"]];

export class Lanes {
  constructor(model, actions) {
    this.model = model;
    this.actions = actions;
    this.scale = null;
  }

  // With a filter by agent, the lanes of these agents only.
  names() {
    const order = this.model.timeline.order();
    return this.model.filter.byAgent ? order.filter(this.model.filter.agent) : order;
  }

  view() {
    const { model } = this;
    const names = this.names();
    if (!names.length) return html`<section class="time" aria-label="Timeline"></section>`;
    const height = names.length * LANE;
    const top = this.element?.scrollTop ?? 0;
    const from = Math.max(0, Math.floor(top / LANE) - 2);
    const seen = names.slice(from, from + 16);
    return html`<section class="time" aria-label="Timeline">
      <header><h2>Timeline</h2><span class="dim">${model.filter.byAgent ? `${count(names.length)} of ${plural(model.timeline.lanes.size, "agent")}` : plural(names.length, "agent")}, ${plural(model.timeline.commits, "commit")}${model.whole ? "" : ", earlier ones are not shown"}</span>
        <label class="dim">shows <select @change=${(event) => this.actions.span(event.target.value)}>${SPANS.map(([ms, name]) => html`<option value=${ms} ?selected=${model.place.span === ms}>${name}</option>`)}</select></label></header>
      <div class="wide"><div class="lanes" id="lanes" .style=${`--lanes:${Math.min(height, 190)}px`} @scroll=${this.actions.redraw} tabindex=${height > 190 ? "0" : nothing} role="group" aria-label="Lanes of agents">
        <div class="tall" .style=${`height:${height}px`}>
          <div class="names" role="list">${seen.map((name, i) => html`<div class="lane" role="listitem" .style=${`top:${(from + i) * LANE}px`} title=${visible(name)}>${who(name)}</div>`)}</div>
          <canvas id="ticks" role="img" aria-label=${this.said(names)} @pointerdown=${(event) => this.drag(event)} @pointermove=${(event) => this.hover(event)} @pointerleave=${() => this.unhover()}></canvas>
        </div>
      </div>
      <canvas class="axis" id="axis" aria-hidden="true"></canvas></div>
    </section>`;
  }

  said(names) {
    const busy = names.slice(0, 12).map((name) => `${visible(name)} ${this.model.timeline.lane(name).reduce((sum, tick) => sum + tick[1], 0)}`);
    return `Commits of each agent over time: ${busy.join(", ")}`;
  }

  drawn() {
    this.element = document.getElementById("lanes");
    const canvas = document.getElementById("ticks");
    const axis = document.getElementById("axis");
    if (!canvas) return;
    this.toTheEnd();
    const style = getComputedStyle(document.documentElement);
    const css = (name) => style.getPropertyValue(name).trim();
    const width = axis.clientWidth;
    const height = this.element.clientHeight;
    const now = this.model.source.live ? Date.now() : this.model.now;
    const { bars, curves } = this.model.timeline.derived();
    this.scale = new Scale(this.model.timeline.seconds, now, Math.max(100, width - 16), Number(this.model.place.span) || 0);
    canvas.style.height = `${height}px`;
    const paint = prepared(canvas, width, height);
    this.paint = paint;
    paint.translate(0, -this.element.scrollTop);
    const names = this.names();
    const row = new Map(names.map((name, i) => [name, i * LANE + LANE / 2]));
    const from = Math.floor(this.element.scrollTop / LANE) - 1;
    const to = from + Math.ceil(height / LANE) + 2;
    const colours = Array.from({ length: 8 }, (_, i) => css(`--a${i}`));
    const colour = (name) => colours[look(name).colour];
    const all = { paint, row, names, from, to, colour, css, width, height, now, bars, curves };
    this.ground(all);
    this.drawBars(all);
    this.drawTicks(all);
    this.drawCurves(all);
    paint.setTransform(window.devicePixelRatio || 1, 0, 0, window.devicePixelRatio || 1, 0, 0);
    this.line(all);
    this.drawAxis(prepared(axis, width, 22), all);
  }

  // On a narrow screen the timeline scrolls by itself, and begins at the present.
  toTheEnd() {
    const section = this.element.closest(".time");
    if (this.ended === section) return;
    this.ended = section;
    section.scrollLeft = section.scrollWidth;
  }

  ground({ paint, names, from, to, css, width, height }) {
    paint.fillStyle = css("--line");
    for (let i = Math.max(0, from); i < Math.min(names.length, to); i++) paint.fillRect(0, i * LANE + LANE / 2, width, 1);
    const top = this.element.scrollTop;
    for (const x of this.marks(110).map((each) => each.x)) paint.fillRect(Math.round(x), top, 1, height);
    paint.fillStyle = css("--mark");
    for (const fold of this.scale.folds()) paint.fillRect(fold.x, top, fold.width, height);
  }

  drawBars({ paint, row, bars, colour, now }) {
    paint.globalAlpha = 0.24;
    for (const bar of bars) {
      const y = row.get(bar.agent);
      const until = bar.to || now;
      if (y === undefined || until < this.scale.from) continue;
      const x = Math.max(0, this.scale.x(bar.from));
      paint.fillStyle = colour(bar.agent);
      paint.beginPath();
      paint.roundRect(x, y - 7, Math.max(3, this.scale.x(until) - x), 14, 2);
      paint.fill();
    }
    paint.globalAlpha = 1;
  }

  drawTicks({ paint, names, from, to, colour }) {
    const { timeline } = this.model;
    for (let i = Math.max(0, from); i < Math.min(names.length, to); i++) {
      paint.fillStyle = colour(names[i]);
      const y = i * LANE + LANE / 2;
      for (const [at, n] of timeline.lane(names[i])) {
        if (at < this.scale.from) continue;
        const half = Math.min(9, 4 + Math.log2(n + 1));
        paint.fillRect(Math.round(this.scale.x(at)) - 0.75, y - half, 1.5, half * 2);
      }
    }
  }

  drawCurves({ paint, row, curves, css }) {
    paint.strokeStyle = paint.fillStyle = css("--fg");
    paint.globalAlpha = curves.length > 60 ? 0.4 : 0.7;
    for (const curve of curves) {
      const y = row.get(curve.from);
      const end = row.get(curve.to);
      if (y === undefined || end === undefined || y === end || curve.at < this.scale.from) continue;
      const x = this.scale.x(curve.at);
      const until = Math.max(this.scale.x(curve.until), x + 4);
      paint.beginPath();
      paint.moveTo(x, y);
      paint.bezierCurveTo((x + until) / 2 + 6, y, (x + until) / 2 - 6, end, until, end);
      paint.stroke();
      paint.beginPath();
      paint.arc(until, end, 2.5, 0, 7);
      paint.fill();
    }
    paint.globalAlpha = 1;
  }

  line({ paint, css, height, now }) {
    const { model } = this;
    const x = this.scale.x(model.following ? now : model.moment);
    paint.fillStyle = css(model.following ? "--fg" : "--warn");
    paint.fillRect(Math.round(x), 0, 2, height);
    if (this.over !== undefined) {
      paint.globalAlpha = 0.4;
      paint.fillRect(Math.round(this.over), 0, 1, height);
      paint.globalAlpha = 1;
    }
  }

  drawAxis(paint, { css, width }) {
    paint.font = `11px ${css("--sans")}`;
    paint.fillStyle = css("--dim");
    paint.textBaseline = "middle";
    let free = 0;
    for (const { x, time, fine } of this.marks(110)) {
      const text = fine ? clock(time) : minutes(time);
      const wide = paint.measureText(text).width;
      if (x < free || x + 3 + wide > width) continue;
      paint.fillText(text, x + 3, 11);
      free = x + wide + 12;
    }
    paint.textAlign = "center";
    for (const fold of this.scale.folds()) paint.fillText("⋯", fold.x + fold.width / 2, 11);
    if (this.over === undefined) return;
    const time = this.scale.time(this.over);
    const fold = this.scale.folds().find((each) => this.over >= each.x && this.over <= each.x + each.width);
    const text = fold ? `idle ${spanText(fold.ms)}` : clock(time);
    const half = paint.measureText(text).width / 2 + 4;
    const x = Math.min(Math.max(half, this.over), width - half);
    paint.fillStyle = css("--bg");
    paint.fillRect(x - half, 0, half * 2, 22);
    paint.fillStyle = css("--fg");
    paint.fillText(text, x, 11);
  }

  // Round times, as far apart as a text needs.
  marks(apart) {
    const step = nice(apart / this.scale.perMs);
    const out = [];
    for (const part of this.scale.parts) {
      const offset = new Date(part.from).getTimezoneOffset() * 60000;
      for (let time = Math.ceil((part.from - offset) / step) * step + offset; time <= part.to && out.length < 60; time += step) {
        out.push({ time, x: this.scale.x(time), fine: step < 60000 });
      }
    }
    return out;
  }

  hover(event) {
    this.over = event.offsetX;
    this.actions.redraw();
  }

  unhover() {
    this.over = undefined;
    this.actions.redraw();
  }

  // Drags the upright line: past the present, the page follows again.
  drag(event) {
    const canvas = event.currentTarget;
    canvas.setPointerCapture?.(event.pointerId);
    const left = canvas.getBoundingClientRect().left;
    const move = (each) => this.to(each.clientX - left);
    const end = () => {
      canvas.removeEventListener("pointermove", move);
      canvas.removeEventListener("pointerup", end);
      canvas.removeEventListener("pointercancel", end);
    };
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    move(event);
  }

  to(x) {
    const { model } = this;
    const steps = model.timeline.steps();
    const time = this.scale.time(x);
    const last = steps[steps.length - 1];
    if (!last || time >= model.timeOf(last) + 400) return model.following ? undefined : this.actions.follow();
    this.actions.at(steps.findLast((step) => model.timeOf(step) <= time) ?? steps[0]);
  }
}

function prepared(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const w = Math.round(width * ratio);
  const h = Math.round(height * ratio);
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const paint = canvas.getContext("2d");
  paint.setTransform(ratio, 0, 0, ratio, 0, 0);
  paint.clearRect(0, 0, width, height);
  return paint;
}
