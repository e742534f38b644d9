"use strict";
const run = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const NS = "http://www.w3.org/2000/svg";

function svg(parent, tag, attributes, text) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

function html(parent, tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  if (className) element.className = className;
  parent.append(element);
  return element;
}

/* The head. */
byId("name").textContent = run.scenario;
byId("summary").textContent = run.summary;
byId("facts").textContent =
  `Seed ${run.seed}, ${run.seconds} s of virtual time, round trip ${run.rtt} ms, loss ${run.loss} % on each hop, trace ${run.trace}`;

/* Where everything stands: members on an ellipse, relays inside. */
const WIDTH = 640, HEIGHT = 470, CENTRE = [WIDTH / 2, HEIGHT / 2];
function around(index, count, rx, ry, turn) {
  const angle = (index / count) * 2 * Math.PI + turn;
  return [CENTRE[0] + rx * Math.cos(angle), CENTRE[1] + ry * Math.sin(angle)];
}
const memberAt = run.nodes.map((_, i) => around(i, run.nodes.length, 235, 175, -Math.PI / 2));
const relayAt = run.relays.map((_, i) =>
  run.relays.length === 1 ? [CENTRE[0], CENTRE[1] + (run.nodes.length === 2 ? 0 : 20)]
    : around(i, run.relays.length, 85, 60, Math.PI / 7));
/* Two members and their relay in one line would hide the direct way. */
if (run.nodes.length === 2) {
  memberAt[0] = [110, HEIGHT / 2]; memberAt[1] = [WIDTH - 110, HEIGHT / 2];
  run.relays.forEach((_, i) => { relayAt[i] = [WIDTH / 2 + (i - (run.relays.length - 1) / 2) * 130, 110]; });
}

/* What holds at a time: the last change until then. */
function presenceAt(node, t) {
  let state = "away";
  for (const [at, word] of node.presence) if (at <= t) state = word;
  return state;
}
function routesAt(t) {
  const routes = new Map();
  for (const [at, from, to, paths, rtt] of run.routes) {
    if (at > t) break;
    const before = routes.get(from + ">" + to);
    routes.set(from + ">" + to, { paths, rtt: rtt ?? before?.rtt ?? null });
  }
  return routes;
}

const map = byId("map");
const edges = svg(map, "g", { fill: "none" });
const places = svg(map, "g", {});
run.relays.forEach(([name, hosting], i) => {
  const [x, y] = relayAt[i];
  svg(places, "rect", { x: x - 11, y: y - 11, width: 22, height: 22, rx: 4, style: "fill:var(--relay)" });
  svg(places, "text", { x, y: y - 17, "text-anchor": "middle" }, `${name} (${hosting})`);
});
const dots = run.nodes.map((node, i) => {
  const [x, y] = memberAt[i];
  const dot = svg(places, "circle", { cx: x, cy: y, r: run.nodes.length > 24 ? 7 : 13 });
  const below = y >= CENTRE[1] - 1;
  svg(places, "text", { x, y: below ? y + 29 : y - 20, "text-anchor": "middle" }, node.name);
  svg(dot, "title", {});
  return dot;
});

function line(points, colour, dash, title) {
  const d = "M" + points.map((p) => p.map((v) => v.toFixed(1)).join(" ")).join(" L");
  const path = svg(edges, "path", { d, style: `stroke:var(${colour})`, "stroke-width": run.nodes.length > 12 ? 1.2 : 2.4 });
  if (dash) path.setAttribute("stroke-dasharray", dash);
  svg(path, "title", {}, title);
}

function drawMap(t) {
  edges.replaceChildren();
  const routes = routesAt(t);
  const states = run.nodes.map((node) => presenceAt(node, t));
  states.forEach((state, i) => {
    dots[i].setAttribute("style", `fill:var(--${state === "away" ? "out" : state})`);
    dots[i].setAttribute("fill-opacity", state === "away" ? 0.35 : 1);
    dots[i].firstChild.textContent = `${run.nodes[i].name}: ${state}`;
  });
  for (let a = 0; a < run.nodes.length; a++) {
    for (let b = a + 1; b < run.nodes.length; b++) {
      if (states[a] !== "in" || states[b] !== "in") continue;
      const ways = [routes.get(a + ">" + b), routes.get(b + ">" + a)];
      const names = `${run.nodes[a].name} and ${run.nodes[b].name}`;
      const used = new Map();
      for (const way of ways) for (const path of way?.paths ?? []) used.set(path, (used.get(path) ?? 0) + 1);
      if (used.size === 0) line([memberAt[a], memberAt[b]], "--none", "2 6", `${names}: no way`);
      for (const [path, sides] of used) {
        const rtt = ways.map((way) => way?.rtt).find((value) => value != null);
        const told = `${names}: ${path < 0 ? "directly" : "over relay " + run.relays[path][0]}`
          + (rtt != null ? `, ${rtt.toFixed(1)} ms` : "") + (sides === 1 ? " (one of them only)" : "");
        const points = path < 0 ? [memberAt[a], memberAt[b]] : [memberAt[a], relayAt[path], memberAt[b]];
        line(points, path < 0 ? "--direct" : "--relay", sides === 1 ? "7 5" : "", told);
      }
    }
  }
}

for (const [mark, words] of [
  ['<circle cx="13" cy="6" r="6" style="fill:var(--in)"/>', "in"],
  ['<circle cx="13" cy="6" r="6" style="fill:var(--dialling)"/>', "at the door"],
  ['<circle cx="13" cy="6" r="6" style="fill:var(--out)"/>', "out"],
  ['<path d="M0 6H26" stroke-width="3" style="stroke:var(--direct)"/>', "direct"],
  ['<path d="M0 6H26" stroke-width="3" style="stroke:var(--relay)"/>', "over a relay"],
  ['<path d="M0 6H26" stroke-width="3" stroke-dasharray="7 5" style="stroke:var(--direct)"/>', "one of the two only"],
  ['<path d="M0 6H26" stroke-width="3" stroke-dasharray="2 6" style="stroke:var(--none)"/>', "no way"],
]) {
  const item = html(byId("legend"), "li");
  item.innerHTML = `<svg viewBox="0 0 26 12">${mark}</svg>`;
  item.append(words);
}

/* The list. */
const LABELS = {
  script: "script", presence: "coming and going", route: "routes", measured: "measured routes", keys: "keys",
  silence: "silences", told: "everything else", violation: "violations",
};
const shown = new Set(Object.keys(LABELS).filter((kind) => kind !== "measured"));
const list = byId("happenings");
const rows = run.happenings.map((happening) => {
  const row = html(list, "li", undefined, happening.kind);
  html(row, "time", happening.t.toFixed(3) + " s");
  html(row, "span", happening.who ?? "");
  const what = html(row, "span", happening.what);
  if (happening.why) html(what, "small", "← " + happening.why);
  row.addEventListener("click", () => show(happening.t));
  return row;
});
function filter() {
  rows.forEach((row, i) => { row.hidden = !shown.has(run.happenings[i].kind); row.style.display = row.hidden ? "none" : ""; });
}
for (const [kind, words] of Object.entries(LABELS)) {
  const count = run.happenings.filter((happening) => happening.kind === kind).length;
  if (count === 0) continue;
  const label = html(byId("kinds"), "label");
  const box = html(label, "input");
  box.type = "checkbox";
  box.checked = shown.has(kind);
  box.addEventListener("change", () => { shown[box.checked ? "add" : "delete"](kind); filter(); });
  label.append(` ${words} (${count})`);
}
filter();

function drawList(t) {
  let last = null;
  rows.forEach((row, i) => {
    const past = run.happenings[i].t <= t + 1e-9;
    row.classList.toggle("later", !past);
    row.classList.remove("now");
    if (past && !row.hidden) last = row;
  });
  if (!last) { list.scrollTop = 0; return; }
  last.classList.add("now");
  list.scrollTop = last.offsetTop - list.clientHeight / 2;
}

/* Charts: one row for each listener, the same scales in all. */
const LEFT = 44, RIGHT = 8, TOP = 6, BOTTOM = 16, W = 520, H = 84;
const x = (t) => LEFT + (t / run.seconds) * (W - LEFT - RIGHT);
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((top) => top >= value);
}
const delays = run.nodes.flatMap((node) => node.delayMax).filter((value) => value !== null);
/* A long stall would press everything else together: it is cut off, and the list tells it. */
const sorted = [...delays].sort((a, b) => a - b);
const usual = sorted.length ? sorted[Math.floor(sorted.length * 0.98)] : 1;
const delayTop = nice(Math.max(1, usual * 1.2));
const losses = run.nodes.flatMap((node) => node.loss).filter((value) => value !== null);
const lossTop = nice(Math.max(5, ...losses.slice(0, 100000)));
const cursors = [];

function chart(parent, values, most, top, colour, unit) {
  const box = svg(parent, "svg", { viewBox: `0 0 ${W} ${H}` });
  const y = (value) => H - BOTTOM - (Math.min(value, top) / top) * (H - TOP - BOTTOM);
  for (const part of [0, 0.5, 1]) {
    svg(box, "path", { d: `M${LEFT} ${y(top * part)}H${W - RIGHT}`, style: "stroke:var(--line)" });
    svg(box, "text", { x: LEFT - 5, y: y(top * part) + 4, "text-anchor": "end", class: "small" },
      `${+(top * part).toPrecision(3)}${part === 1 ? " " + unit : ""}`);
  }
  const step = nice(run.seconds / 8);
  for (let t = 0; t <= run.seconds; t += step) {
    svg(box, "text", { x: x(t), y: H - 3, "text-anchor": t === 0 ? "start" : "middle", class: "small" }, `${+t.toFixed(1)}${t === 0 ? " s" : ""}`);
  }
  for (const happening of run.happenings) {
    if (happening.kind !== "script" && happening.kind !== "violation") continue;
    const mark = svg(box, "path", {
      d: `M${x(happening.t)} ${TOP}V${H - BOTTOM}`,
      style: `stroke:var(--${happening.kind === "script" ? "script" : "none"})`,
      "stroke-width": happening.kind === "script" ? 1 : 2,
    });
    if (happening.kind === "script") mark.setAttribute("stroke-dasharray", "3 3");
    svg(mark, "title", {}, happening.what);
  }
  const stroke = (series, width, opacity) => {
    let d = "", open = false;
    series.forEach((value, i) => {
      if (value === null) { open = false; return; }
      d += `${open ? "L" : "M"}${x(Math.min(i * run.bin + run.bin / 2, run.seconds)).toFixed(1)} ${y(value).toFixed(1)}`;
      if (!open) d += "h0.1";
      open = true;
    });
    svg(box, "path", { d, fill: "none", style: `stroke:var(${colour})`, "stroke-width": width, opacity, "stroke-linejoin": "round", "stroke-linecap": "round" });
  };
  if (most) stroke(most, 1, 0.5);
  stroke(values, 1.8, 1);
  cursors.push(svg(box, "path", { d: `M0 ${TOP}V${H - BOTTOM}`, style: "stroke:var(--text)", "stroke-width": 1 }));
}
byId("note").textContent =
  `Bins of ${run.bin} s, by when frames were spoken, over all speakers that the listener has begun to hear. Dashed: the script; thick: violations.`;
const head = html(byId("charts"), "div", undefined, "row head");
html(head, "span");
html(head, "span", "delay from the microphone to the decrypted frame: mean, and faint the largest (ms)");
html(head, "span", "frames that did not arrive (%)");
for (const node of run.nodes) {
  const row = html(byId("charts"), "div", undefined, "row");
  html(row, "b", node.name);
  if (!node.delay.some((value) => value !== null)) {
    html(row, "span", "heard nobody", "faint");
    continue;
  }
  chart(row, node.delay, node.delayMax, delayTop, "--delay", "ms");
  chart(row, node.loss, null, lossTop, "--loss", "%");
}

/* Time. */
const slider = byId("time");
slider.max = run.seconds;
function show(t) {
  slider.value = t;
  byId("clock").textContent = `${t.toFixed(2)} of ${run.seconds} s`;
  drawMap(t);
  drawList(t);
  for (const cursor of cursors) cursor.setAttribute("transform", `translate(${x(t)} 0)`);
}
slider.addEventListener("input", () => show(Number(slider.value)));
let playing = null;
byId("play").addEventListener("click", () => {
  if (playing) { clearInterval(playing); playing = null; byId("play").textContent = "Play"; return; }
  if (Number(slider.value) >= run.seconds) show(0);
  byId("play").textContent = "Pause";
  /* The whole run in half a minute. */
  playing = setInterval(() => {
    const t = Math.min(run.seconds, Number(slider.value) + run.seconds / 300);
    show(t);
    if (t >= run.seconds) byId("play").click();
  }, 100);
});
/* `#t=12.5` opens the page at a time. */
show(Number(/^#t=([\d.]+)$/.exec(location.hash)?.[1] ?? 0));
