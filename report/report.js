"use strict";
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
