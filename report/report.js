"use strict";
// A finding and the methods to look at; without this script all are shown.
const bar = document.querySelector(".filters");
if (bar) {
  const finding = bar.querySelector("select"), boxes = [...bar.querySelectorAll("input")], all = boxes.length;
  const show = () => {
    const name = finding ? finding.value : "", off = boxes.filter((box) => !box.checked);
    for (const e of document.querySelectorAll("[data-finding]")) e.classList.toggle("away", name !== "" && e.dataset.finding !== name);
    for (const box of boxes) for (const e of document.querySelectorAll(".by" + box.value)) e.classList.toggle("off", !box.checked);
    const parts = [];
    if (name !== "") parts.push(finding.selectedOptions[0].textContent);
    if (off.length > 0) parts.push(all - off.length + " of " + all + " methods");
    bar.querySelector(".showing").textContent = parts.length > 0 ? "Showing " + parts.join(", ") + "; the summary is of everything." : "";
  };
  bar.addEventListener("change", show);
  bar.hidden = false;
}
// The nearest point of a plot is read out under a pointer, and with the arrow keys.
for (const plot of document.querySelectorAll("svg.read")) {
  const words = plot.dataset.says.split("{}"), points = [];
  for (const g of plot.querySelectorAll("[data-points]")) {
    for (const text of g.dataset.points.split(";")) {
      const [x, y, ...values] = text.split(",");
      points.push({ g, x: Number(x), y: Number(y), says: g.dataset.method + ": " + words.map((word, k) => word + (values[k] ?? "")).join("") });
    }
  }
  const reading = document.createElement("p"), ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  reading.className = "reading";
  reading.setAttribute("aria-live", "polite");
  reading.textContent = "\u00a0";
  plot.nextElementSibling.after(reading);
  ring.setAttribute("r", "5");
  ring.setAttribute("class", "ring");
  let at = -1;
  const seen = () => points.filter((p) => !p.g.classList.contains("off"));
  const say = (p) => {
    at = points.indexOf(p);
    ring.setAttribute("cx", p.x);
    ring.setAttribute("cy", p.y);
    plot.append(ring);
    reading.textContent = p.says;
  };
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect(), view = plot.viewBox.baseVal, shown = seen();
    const x = ((event.clientX - box.left) * view.width) / box.width, y = ((event.clientY - box.top) * view.height) / box.height;
    const far = (p) => (p.x - x) ** 2 + (p.y - y) ** 2;
    if (shown.length > 0) say(shown.reduce((best, p) => (far(best) > far(p) ? p : best)));
  });
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key], shown = seen();
    if (!step || shown.length === 0) return;
    event.preventDefault();
    const now = shown.indexOf(points[at]);
    say(shown[now === -1 ? 0 : (now + step + shown.length) % shown.length]);
  });
  plot.setAttribute("tabindex", "0");
}
// A slider for each histogram moves a threshold; what it makes of the test
// samples is counted again. Without this script the page shows them at 0.5.
for (const figure of document.querySelectorAll("figure[data-positives]")) {
  const counts = (name) => figure.dataset[name].split(",").map(Number);
  const positives = counts("positives"), negatives = counts("negatives");
  const input = figure.querySelector("input"), line = figure.querySelector(".at");
  const sum = (values) => values.reduce((total, v) => total + v, 0);
  const share = (n, of) => (of > 0 ? n + " of " + of + " (" + Math.round((100 * n) / of) + " %)" : "–");
  const show = () => {
    const k = Number(input.value), at = (k / positives.length).toFixed(2), x = 10 + (300 * k) / positives.length;
    const tp = sum(positives.slice(k)), fp = sum(negatives.slice(k)), fn = sum(positives) - tp, tn = sum(negatives) - fp;
    const cells = { at, tp, fp, fn, tn, sensitivity: share(tp, tp + fn), specificity: share(tn, tn + fp), ppv: share(tp, tp + fp), npv: share(tn, tn + fn) };
    for (const cell of figure.querySelectorAll("[data-cell]")) cell.textContent = cells[cell.dataset.cell];
    input.setAttribute("aria-valuetext", at);
    line.setAttribute("d", "M" + x + " 6V154");
  };
  input.addEventListener("input", show);
  figure.querySelector("label").hidden = false;
}
