"use strict";
// Shows the numbers of what is pointed at, hides lines, opens what is linked or printed. All of it is in the page.
for (const figure of document.querySelectorAll("figure")) {
  const svg = figure.querySelector("svg.chart");
  const readout = figure.querySelector("output.readout");
  if (!svg || !readout) continue;
  let chosen = null;
  const choose = (part) => {
    if (chosen) chosen.classList.remove("on");
    chosen = part;
    if (!part) return;
    part.classList.add("on");
    readout.textContent = part.querySelector("title").textContent;
  };
  svg.addEventListener("click", (event) => {
    const part = event.target.closest(".c, .flag, .mark");
    if (part) choose(part);
  });
  svg.addEventListener("keydown", (event) => {
    const parts = [...svg.querySelectorAll(".c")];
    const at = parts.indexOf(chosen);
    const lane = (part) => part.getAttribute("y");
    let next = null;
    if (event.key === "ArrowRight") next = parts[at + 1];
    else if (event.key === "ArrowLeft") next = parts[Math.max(at - 1, 0)];
    else if (event.key === "Home") next = parts[0];
    else if (event.key === "End") next = parts[parts.length - 1];
    else if (event.key === "Escape") { choose(null); readout.textContent = ""; }
    else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && chosen) {
      const x = Number(chosen.getAttribute("x"));
      const others = parts.filter((part) => lane(part) !== lane(chosen));
      const lanes = [...new Set(parts.map(lane))].sort((a, b) => a - b);
      const wanted = lanes[lanes.indexOf(lane(chosen)) + (event.key === "ArrowDown" ? 1 : -1)];
      const there = others.filter((part) => lane(part) === wanted);
      there.sort((a, b) => Math.abs(a.getAttribute("x") - x) - Math.abs(b.getAttribute("x") - x));
      next = there[0];
    } else return;
    event.preventDefault();
    if (next) choose(next);
  });
  for (const button of figure.querySelectorAll("button[data-show]")) {
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      for (const group of svg.querySelectorAll("[data-series]"))
        if (group.dataset.series === button.dataset.show) group.style.display = shown ? "" : "none";
    });
  }
}
const reveal = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") target.open = true;
};
addEventListener("hashchange", reveal);
reveal();
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details.map")) details.open = true;
});
