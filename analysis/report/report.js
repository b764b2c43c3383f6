"use strict";
// Sorting, filtering, and the values under the pointer. Without this script the page is complete.

const natural = new Intl.Collator("en", { numeric: true });

/** Compare two cells. Missing numbers come last in both directions. */
function compare(a, b, direction) {
  if (a === undefined || b === undefined) return 0;
  const [x, y] = [a, b].map((cell) => Number(cell.dataset.value ?? "x"));
  const numeric = "value" in a.dataset && "value" in b.dataset;
  if (!numeric) return direction * natural.compare(a.textContent, b.textContent);
  if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
  return direction * (x - y || 0);
}

/** Return the titles of the columns, in order, without the titles of groups. */
function headersOf(table) {
  return [...table.tHead.querySelectorAll("[scope=col]")];
}

function sortBy(table, header) {
  const direction = header.ariaSort === "ascending" ? -1 : 1;
  for (const other of headersOf(table)) other.ariaSort = "none";
  header.ariaSort = direction > 0 ? "ascending" : "descending";
  const column = headersOf(table).indexOf(header);
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(a.cells[column], b.cells[column], direction));
  table.tBodies[0].append(...rows);
}

function filterRows(table, words, status) {
  const rows = [...table.tBodies[0].rows];
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
  const shown = rows.filter((row) => !row.hidden).length;
  status.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
}

for (const block of document.querySelectorAll(".table")) {
  const table = block.querySelector("table");
  for (const header of headersOf(table)) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sortBy(table, header));
    header.append(button);
    header.ariaSort = "none";
  }
  const [input, status] = block.querySelectorAll("input, [role=status]");
  input.addEventListener("input", () => {
    filterRows(table, input.value.toLowerCase().split(/\s+/).filter(Boolean), status);
  });
  block.querySelector(".tools").hidden = false;
}

const tip = document.getElementById("tip");

function showTip(text, event) {
  tip.textContent = text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(event.clientX + 14, document.documentElement.clientWidth - width - 8);
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${event.clientY > height + 24 ? event.clientY - height - 14 : event.clientY + 20}px`;
}

/** Return the function from the values of an axis to places in the figure. */
function scale([low, high, log], start, length) {
  const at = log ? Math.log : (value) => value;
  return (value) => start + ((at(value) - at(low)) / (at(high) - at(low))) * length;
}

function nearest(panels, x, y) {
  let found = { distance: 15 };
  for (const panel of panels) {
    const [left, top, width, height] = panel.box;
    if (x < left || x > left + width || y < top || y > top + height) continue;
    const across = scale(panel.x, left, width);
    const up = scale(panel.y, top + height, -height);
    for (const line of panel.lines) {
      line.x.forEach((value, place) => {
        const distance = Math.hypot(across(value) - x, up(line.y[place]) - y);
        if (distance < found.distance) found = { distance, panel, line, place };
      });
    }
  }
  return found;
}

for (const figure of document.querySelectorAll("figure")) {
  const svg = figure.querySelector("svg");
  const panels = JSON.parse(figure.querySelector("script").textContent);
  const clear = () => {
    tip.hidden = true;
    svg.classList.remove("pointed");
    svg.querySelector(".on")?.classList.remove("on");
  };
  svg.addEventListener("pointermove", (event) => {
    clear();
    const bar = event.target.closest("[data-tip]");
    if (bar) return showTip(bar.dataset.tip, event);
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const { panel, line, place } = nearest(panels, x, y);
    if (!line) return undefined;
    svg.classList.add("pointed");
    document.getElementById(line.id)?.classList.add("on");
    const title = [line.name, panel.title].filter(Boolean).join(", ");
    const across = line.at ? line.at[place] : line.x[place];
    return showTip(`${title}\nx = ${across}, y = ${line.y[place]}`, event);
  });
  svg.addEventListener("pointerleave", clear);
  document.addEventListener("keydown", (event) => event.key === "Escape" && clear());
}
