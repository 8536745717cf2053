"use strict";
// What the whole page shares: the embedded data, folded rows, the chapter that is being read, printing.
// All texts of records enter the page through `textContent`, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const NOTHING = "(empty)";

function element(name, classes, text) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Long tables and lists show their head; a button shows the rest. Without this script, and on paper, all is shown.
for (const holder of document.querySelectorAll("tbody, ul.groups")) {
  const folded = [...holder.children].filter((child) => child.classList.contains("folds"));
  if (folded.length === 0) continue;
  const button = element("button", "plain fold screen-only", `Show ${folded.length} more`);
  button.type = "button";
  button.setAttribute("aria-expanded", "false");
  holder.classList.add("folded");
  button.addEventListener("click", () => {
    const isFolded = holder.classList.toggle("folded");
    button.setAttribute("aria-expanded", String(!isFolded));
    button.textContent = isFolded ? `Show ${folded.length} more` : "Show less";
  });
  (holder.closest("table") ?? holder).after(button);
}

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});

const links = new Map();
for (const link of document.querySelectorAll(".contents a")) links.set(link.hash.slice(1), link);
const inView = new Set();
const reading = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) inView.add(entry.target.id);
    else inView.delete(entry.target.id);
  }
  const first = [...links.keys()].find((id) => inView.has(id));
  for (const [id, link] of links) {
    if (id === first) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}, { rootMargin: "-10% 0px -70% 0px" });
for (const id of links.keys()) reading.observe(document.getElementById(id));

