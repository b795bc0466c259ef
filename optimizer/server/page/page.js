// Asks the server it came from and shows the answer. Text is only ever set as text; a report stands in a frame without scripts.
"use strict";

const at = (id) => document.getElementById(id);
const form = at("ask");
let running = null;
let asked = null;

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function svg(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function number(value) {
  if (typeof value !== "number") return value === null || value === undefined ? "–" : String(value);
  return value.toLocaleString("en", Math.abs(value) >= 1000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 4 });
}

// The question in the form, as the body of a request.
function question() {
  const file = at("file").value;
  if (file.trim()) return { problem: file };
  const line = {};
  for (const field of at("fields").querySelectorAll("input, select")) {
    if (field.value !== "") line[field.name] = field.type === "number" ? Number(field.value) : field.value;
  }
  return { line };
}

function decisions() {
  const fixed = {};
  for (const field of at("strategy").querySelectorAll("input")) {
    if (field.value !== "") fixed[field.name] = Number(field.value);
  }
  return fixed;
}

// The answer of the server; it stays busy where another question follows at once.
async function ask(name, body, last = true) {
  running = new AbortController();
  busy(true);
  let done = true;
  try {
    const response = await fetch(`api/${name}`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal: running.signal,
    });
    const data = await response.json();
    if (!response.ok) throw new Error(data.error.field ? `${data.error.field}: ${data.error.message}` : data.error.message);
    done = last;
    return { data, code: Number(response.headers.get("optimizer-exit-code")) };
  } finally {
    if (done) busy(false);
  }
}

function busy(on) {
  for (const button of document.querySelectorAll("button[type=submit], #report")) button.disabled = on;
  at("stop").hidden = !on;
  document.body.setAttribute("aria-busy", String(on));
}

function clear(kind, verdict) {
  for (const id of ["said", "curve", "tables"]) at(id).replaceChildren();
  for (const id of ["report", "pictures", "json"]) at(id).hidden = true;
  at("answer").hidden = false;
  at("verdict").className = `verdict ${kind}`;
  at("verdict").textContent = verdict;
}

function table(caption, columns, rows) {
  const made = element("table");
  made.append(element("caption", caption));
  const head = element("thead"), line = element("tr"), body = element("tbody");
  for (const [title, right] of columns) {
    const cell = element("th", title, right ? "number" : "");
    cell.scope = "col";
    line.append(cell);
  }
  head.append(line);
  for (const row of rows) {
    const one = element("tr");
    row.forEach((value, i) => {
      const cell = element("td", undefined, columns[i][1] ? "number" : "");
      cell.dataset.label = columns[i][0];
      cell.append(value instanceof Node ? value : element("span", number(value)));
      one.append(cell);
    });
    body.append(one);
  }
  made.append(head, body);
  at("tables").append(made);
}

function sentences(all, shown) {
  for (const sentence of all.slice(0, shown)) at("said").append(element("p", sentence));
  if (all.length > shown) {
    const more = element("details");
    more.append(element("summary", `${all.length - shown} more`));
    for (const sentence of all.slice(shown)) more.append(element("p", sentence));
    at("said").append(more);
  }
}

const METRICS = {
  ttft_p50_ms: "time to first token P50, ms", ttft_p99_ms: "time to first token P99, ms", tpot_p50_ms: "time per output token P50, ms",
  tpot_p99_ms: "time per output token P99, ms", request_mean_ms: "whole request, mean, ms", tokens_per_s: "output tokens/s at the demand",
  max_request_rate: "largest request rate within all limits, requests/s", availability: "requests served, failures counted",
  bound_tokens_per_s: "bound, tokens/s",
};

function label(data) {
  if (data.strategy === null || data.strategy === undefined) return data.kind === "uniform" ? "no strategy" : "";
  return data.strategy.label || `TP${data.strategy.tensor_parallel}·PP${data.strategy.pipeline_parallel}·DP${data.strategy.data_parallel}`;
}

const WORDS = { optimal: "proved best", feasible: "feasible, not proved best", infeasible: "proved infeasible", unknown: "not decided in time" };

function show({ data, code }, name) {
  const wrong = data.verification.checks > 0 && !data.verification.passed;
  const judged = name === "check" ? { true: "keeps every rule", false: "is not feasible", null: "not decided" }[String(data.feasible)] : WORDS[data.status];
  const said = wrong ? "the independent verification disagrees; do not rely on this" : [label(data), judged].filter(Boolean).join(" — ");
  clear(wrong || code === 1 ? "fail" : code === 0 ? "pass" : "unknown", `${data.problem}: ${said}`);
  sentences(data.explanation, 4);
  if (data.metrics) {
    const rows = Object.entries(METRICS).filter(([key]) => typeof data.metrics[key] === "number").map(([key, words]) => [words, data.metrics[key]]);
    table("Figures", [["metric"], ["value", true]], rows);
  }
  if (data.rules.length) {
    table("Rules", [["rule"], ["here", true], ["limit", true], ["to spare", true], ["holds"]], data.rules.map((rule) => [
      rule.sentence, `${number(rule.actual)} ${rule.unit || ""}`.trim(), `${number(rule.limit)} ${rule.unit || ""}`.trim(), rule.slack,
      rule.enabled === false ? "off" : element("span", rule.holds ? "✓ holds" : "✗ broken", rule.holds ? "pass-mark" : "fail-mark"),
    ]));
  }
  if (data.repairs.length) table("What would help", [["change"]], data.repairs.map((one) => [one.sentence]));
  at("report").hidden = false;
  raw(data);
}

function raw(data) {
  at("raw").textContent = JSON.stringify(data, null, 1);
  at("json").hidden = false;
}

function showSweep({ data, code }) {
  const good = data.points.filter((one) => one.status === "optimal" || one.status === "feasible");
  const what = `${good.length} of ${data.points.length} points keep every rule${data.complete ? "" : "; the rest was not reached in time"}`;
  clear(code === 0 ? "pass" : code === 1 ? "fail" : "unknown", what);
  sentences(data.explanation, 6);
  const figures = (one) => one.metrics || one.inventory || {};
  const points = data.points.filter((one) => one.gpus !== null).map((one) => [one.gpus, figures(one).max_request_rate ?? null]);
  if (points.length > 1) at("curve").append(curve(points, "Largest request rate within all limits by number of GPUs", "requests/s"));
  table("Points", [["GPUs", true], ["strategy"], ["TTFT P99, ms", true], ["TPOT P99, ms", true], ["requests/s at most", true]], data.points.map((one) => [
    one.gpus, one.strategy?.label || one.inventory?.label || (one.strategy ? label(one) : one.error || one.said || one.status),
    figures(one).ttft_p99_ms, figures(one).tpot_p99_ms, figures(one).max_request_rate,
  ]));
  raw(data);
}

// A line over the points that have a value, and a ring on the axis for those that have none.
function curve(points, title, unit) {
  const wide = Math.max(280, Math.min(640, at("curve").clientWidth)), high = 280, left = 56, right = 12, top = 12, bottom = 44;
  const known = points.filter(([, y]) => y !== null);
  const xs = points.map(([x]) => x), low = Math.min(...xs), most = Math.max(...xs), peak = Math.max(1e-9, ...known.map(([, y]) => y));
  const x = (value) => left + (wide - left - right) * (most === low ? 0.5 : (value - low) / (most - low));
  const y = (value) => high - bottom - (high - top - bottom) * value / peak;
  const made = svg("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-labelledby": "curve-title curve-words" });
  made.append(svg("title", { id: "curve-title" }, title));
  made.append(svg("desc", { id: "curve-words" }, `From ${low} to ${most} GPUs; up to ${number(peak)} ${unit}. The table below has every point.`));
  for (let i = 0; i <= 4; i += 1) {
    made.append(svg("line", { x1: left, x2: wide - right, y1: y(peak * i / 4), y2: y(peak * i / 4), class: "axis" }));
    made.append(svg("text", { x: left - 6, y: y(peak * i / 4) + 4, "text-anchor": "end" }, number(peak * i / 4)));
  }
  made.append(svg("text", { x: x(low), y: high - bottom + 18, "text-anchor": "middle" }, String(low)));
  if (most > low) made.append(svg("text", { x: x(most) - 4, y: high - bottom + 18, "text-anchor": "middle" }, String(most)));
  made.append(svg("text", { x: (left + wide) / 2, y: high - 8, "text-anchor": "middle" }, `GPUs; ${unit}`));
  if (known.length) made.append(svg("polyline", { class: "curve", points: known.map(([a, b]) => `${x(a)},${y(b)}`).join(" ") }));
  for (const [a, b] of points) {
    made.append(svg("circle", b === null ? { class: "none", cx: x(a), cy: y(0), r: 4 } : { class: "dot", cx: x(a), cy: y(b), r: 3 }));
  }
  return made;
}

function failed(error) {
  if (error.name === "AbortError") clear("unknown", "Stopped.");
  else clear("fail", error.message);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = event.submitter ? event.submitter.value : "solve";
  const body = question();
  if (name === "check") body.fixed = decisions();
  if (name === "sweep") {
    if (body.line) delete body.line.gpus;
    body.gpus = at("counts").value;
  }
  asked = { name, body };
  try {
    if (name === "check") await check(body);
    else if (name === "sweep") showSweep(await ask(name, body));
    else show(await ask(name, body), name);
  } catch (error) {
    failed(error);
  }
});

// The judgement at once; what would help takes longer and follows.
async function check(body) {
  const found = await ask("check", { ...body, repairs: false }, false);
  show(found, "check");
  if (found.data.feasible !== false) {
    busy(false);
    return;
  }
  const note = element("p", "Looking for the smallest changes that would help …");
  at("said").append(note);
  try {
    show(await ask("check", body), "check");
  } catch (error) {
    note.textContent = error.name === "AbortError" ? "Stopped before the smallest changes that would help were found." : error.message;
  }
}

at("report").addEventListener("click", async () => {
  const body = { ...asked.body };
  try {
    const { data } = await ask("report", body);
    const frame = at("pictures");
    if (data.html === null) {
      at("said").append(element("p", data.lacking));
      return;
    }
    frame.onload = () => { frame.style.height = `${frame.contentDocument.documentElement.scrollHeight + 2}px`; };
    frame.srcdoc = data.html;
    frame.hidden = false;
  } catch (error) {
    failed(error);
  }
});

at("stop").addEventListener("click", () => running && running.abort());

at("templates").addEventListener("click", async (event) => {
  const kind = event.target.dataset.kind;
  if (kind) at("file").value = (await (await fetch(`api/template/${kind}`)).json()).text;
});

async function offer(kind) {
  const list = element("datalist");
  list.id = kind;
  for (const one of await (await fetch(`api/catalog/${kind}`)).json()) list.append(new Option(one.title || one.name, one.name));
  document.body.append(list);
}

offer("gpus");
offer("models");
