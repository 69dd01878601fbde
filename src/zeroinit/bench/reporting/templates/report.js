const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
function keep(name, value) {
  if (value) state.set(name, value); else state.delete(name);
  history.replaceState(null, "", state.size ? "#" + state : location.pathname + location.search);
}
const percent = (value) => (100 * value).toFixed(1) + " %";
const press = (button, on) => button.setAttribute("aria-pressed", String(on));
const isPressed = (button) => button.getAttribute("aria-pressed") === "true";

for (const each of all(".controls, .theme")) each.hidden = false;

const theme = document.querySelector(".theme select");
function dress(value) {
  if (value) document.documentElement.dataset.theme = value; else delete document.documentElement.dataset.theme;
  theme.value = value;
  keep("theme", value);
}
theme.addEventListener("change", () => dress(theme.value));
dress(["light", "dark"].includes(state.get("theme")) ? state.get("theme") : "");

const buttons = all(".counts button"), rows = all("tr[data-verdict]"), told = document.querySelector(".counts output");
function show(verdict) {
  for (const each of buttons) press(each, each.dataset.verdict === verdict);
  for (const row of rows) row.hidden = verdict !== "" && row.dataset.verdict !== verdict;
  for (const table of all("table.claims")) table.hidden = verdict !== "" && !table.querySelector("tr[data-verdict]:not([hidden])");
  told.textContent = verdict ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} claims are shown` : "";
  keep("verdict", verdict);
}
for (const each of buttons) each.addEventListener("click", () => show(isPressed(each) ? "" : each.dataset.verdict));
if (buttons.some((each) => each.dataset.verdict === state.get("verdict"))) show(state.get("verdict"));

function curves(section, figure, chart) {
  const name = section.id, said = section.querySelector(".said"), toggles = all("[data-start]", section);
  const seeds = section.querySelector("[data-seeds]"), svg = figure.querySelector("svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  line.setAttribute("class", "pointer");
  let place = [0, -1];
  function draw() {
    const off = toggles.filter((each) => !isPressed(each)).map((each) => each.dataset.start);
    for (const part of all("[data-curve]", figure)) part.style.display = off.includes(part.dataset.curve) || (part.dataset.part === "seed" && !isPressed(seeds)) ? "none" : "";
    keep(name + ".off", off.join("."));
    keep(name + ".seeds", isPressed(seeds) ? "" : "off");
    if (place[1] >= 0) point(...place);
  }
  function steps(panel) { return [...new Set(panel.curves.flatMap((curve) => curve.x))].sort((a, b) => a - b); }
  function point(number, step) {
    const panel = chart.panels[number], x = steps(panel)[step], [left, top, right, bottom] = panel.box, [low, high] = panel.limits;
    place = [number, step];
    const at = left + ((x - low) / (high - low)) * (right - left);
    for (const [key, value] of Object.entries({ x1: at, x2: at, y1: top, y2: bottom })) line.setAttribute(key, value);
    svg.append(line);
    const near = (curve) => curve.x.reduce((best, each, index) => (Math.abs(each - x) < Math.abs(curve.x[best] - x) ? index : best), 0);
    const on = panel.curves.filter((curve) => isPressed(toggles.find((each) => each.dataset.start === String(curve.start))) && x <= curve.x.at(-1));
    said.textContent = `${panel.xlabel} ${+x.toFixed(1)}: ${on.map((curve) => `${curve.label} ${percent(curve.y[near(curve)])}`).join("; ")}`;
  }
  svg.addEventListener("pointermove", (event) => {
    const spot = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const number = chart.panels.findIndex(({ box }) => spot.x >= box[0] - 8 && spot.x <= box[2] + 8 && spot.y >= box[1] && spot.y <= box[3]);
    if (number < 0) return;
    const { box, limits } = chart.panels[number], x = limits[0] + ((spot.x - box[0]) / (box[2] - box[0])) * (limits[1] - limits[0]);
    const known = steps(chart.panels[number]);
    point(number, known.reduce((best, each, index) => (Math.abs(each - x) < Math.abs(known[best] - x) ? index : best), 0));
  });
  figure.addEventListener("keydown", (event) => {
    const move = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!move) return;
    event.preventDefault();
    const number = Math.min(Math.max(place[0] + move[0], 0), chart.panels.length - 1);
    point(number, Math.min(Math.max(place[1] + move[1], 0), steps(chart.panels[number]).length - 1));
  });
  const off = (state.get(name + ".off") ?? "").split(".");
  for (const each of toggles) press(each, !off.includes(each.dataset.start));
  press(seeds, state.get(name + ".seeds") !== "off");
  for (const each of [...toggles, seeds]) each.addEventListener("click", () => (press(each, !isPressed(each)), draw()));
  draw();
}

function grids(section, figure, chart) {
  const slider = section.querySelector("input[type=range]"), said = section.querySelector(".said"), play = section.querySelector("[data-play]");
  let timer = 0;
  function draw() {
    const step = +slider.value;
    for (const cell of all("[data-step]", figure)) cell.classList.toggle("later", +cell.dataset.step > step);
    said.textContent = `Update ${step}: ${chart.grids.map((grid) => `${grid.title} ${grid.received[step - 1]} of ${grid.layers} layers`).join("; ")}`;
    keep(section.id + ".step", slider.value === slider.max ? "" : slider.value);
  }
  function stop() { clearInterval(timer); timer = 0; play.textContent = "Play"; }
  slider.addEventListener("input", () => (stop(), draw()));
  play.hidden = matchMedia("(prefers-reduced-motion: reduce)").matches;
  play.addEventListener("click", () => {
    if (timer) return stop();
    slider.value = slider.min; draw(); play.textContent = "Stop";
    timer = setInterval(() => { slider.stepUp(); draw(); if (slider.value === slider.max) stop(); }, 900);
  });
  if (state.get(section.id + ".step")) slider.value = state.get(section.id + ".step");
  draw();
}

for (const section of all("section[id]")) {
  const holder = section.querySelector("script[type='application/json']");
  if (!holder) continue;
  const chart = JSON.parse(holder.textContent), figure = section.querySelector("figure"), zoom = section.querySelector("[data-zoom]");
  if (chart.panels.length) curves(section, figure, chart);
  if (chart.grids.length) grids(section, figure, chart);
  const enlarge = (on) => { press(zoom, on); figure.classList.toggle("large", on); keep(section.id + ".zoom", on ? "on" : ""); };
  zoom.addEventListener("click", () => enlarge(!isPressed(zoom)));
  enlarge(state.get(section.id + ".zoom") === "on");
}

const forms = {
  CSV: (cells) => cells.map((row) => row.map((text) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)).join(",")).join("\n"),
  LaTeX: (cells) => {
    const lines = cells.map((row) => row.map((text) => text.replace(/[\\&%$#_{}~^]/g, (sign) => ({ "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" })[sign] ?? "\\" + sign)).join(" & ") + " \\\\");
    return ["\\begin{tabular}{" + "l".repeat(cells[0].length) + "}", "\\hline", lines[0], "\\hline", ...lines.slice(1), "\\hline", "\\end{tabular}"].join("\n");
  },
};
for (const each of all("[data-copy]")) each.addEventListener("click", async () => {
  const holder = each.closest("details"), box = holder.querySelector("textarea");
  const cells = all("tr", holder.querySelector("table")).map((row) => [...row.cells].map((cell) => cell.textContent.trim()));
  box.value = forms[each.dataset.copy](cells);
  box.hidden = false;
  box.select();
  try { await navigator.clipboard.writeText(box.value); each.textContent = each.dataset.copy + " copied"; } catch { document.execCommand("copy"); }
});
