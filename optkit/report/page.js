"use strict";
// The page is whole without this: sorting, filtering, and details that open when they are named in the address.
(() => {
  const table = document.getElementById("files-table");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const original = new Map(rows.map((row, index) => [row, index]));

  function key(row, column) {
    return row.cells[column].dataset.key;
  }

  function compare(one, other, column, direction) {
    const a = key(one, column);
    const b = key(other, column);
    if (a === "" || b === "") {
      // What was not measured stays last, whichever way the rest is sorted.
      return (a === "") - (b === "") || original.get(one) - original.get(other);
    }
    const order = column === 0 ? a.localeCompare(b) : Number(a) - Number(b);
    return direction * order || original.get(one) - original.get(other);
  }

  function sortBy(header) {
    const column = Number(header.dataset.column);
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) {
      other.removeAttribute("aria-sort");
    }
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    rows.sort((one, other) => compare(one, other, column, ascending ? 1 : -1));
    body.append(...rows);
  }

  for (const header of table.tHead.rows[0].cells) {
    const label = header.querySelector(".head");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label.textContent;
    button.addEventListener("click", () => sortBy(header));
    label.replaceChildren(button);
  }

  const form = document.querySelector(".filters");
  const said = form.querySelector("output");

  function filter() {
    const words = form.elements.name.value.toLowerCase().split(/\s+/).filter(Boolean);
    const format = form.elements.format.value;
    const which = form.elements.which.value;
    let shown = 0;
    for (const row of rows) {
      const name = row.dataset.name.toLowerCase();
      const fits =
        words.every((word) => name.includes(word)) &&
        (format === "" || row.dataset.format === format) &&
        (which === "" || row.dataset[which] === "yes");
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    said.textContent = `${shown} of ${rows.length} files`;
  }

  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());

  function openNamed() {
    const named = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (named && named.tagName === "DETAILS") {
      named.open = true;
      named.scrollIntoView();
    }
  }

  window.addEventListener("hashchange", openNamed);
  openNamed();

  // On paper nothing can be opened.
  const closed = [];
  window.addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details:not([open])")) {
      part.open = true;
      closed.push(part);
    }
  });
  window.addEventListener("afterprint", () => {
    for (const part of closed.splice(0)) {
      part.open = false;
    }
  });
})();
