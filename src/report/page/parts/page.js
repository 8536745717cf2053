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

// On a narrow screen the chapters begin closed, so that the page can be looked over; without this script all are open.
if (matchMedia("(max-width: 40rem)").matches) {
  for (const details of document.querySelectorAll(".chapter > details, .attribute")) details.open = false;
}

// What is linked to must be seen: the details around it are opened.
function reveal(hash) {
  const target = document.getElementById(decodeURIComponent(hash.slice(1)));
  if (!target) return;
  const own = target.querySelector(":scope > details");
  if (own) own.open = true;
  for (let holder = target.closest("details"); holder; holder = holder.parentElement.closest("details")) holder.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", () => reveal(location.hash));
for (const link of document.querySelectorAll('a[href^="#"]')) link.addEventListener("click", () => reveal(link.hash));
if (location.hash) reveal(location.hash);

// What can be scrolled sideways says so at its edge, as long as there is more.
for (const holder of document.querySelectorAll(".scroll")) {
  const look = () => {
    const left = holder.scrollWidth - holder.clientWidth - holder.scrollLeft;
    holder.classList.toggle("more", left > 4);
  };
  holder.addEventListener("scroll", look, { passive: true });
  new ResizeObserver(look).observe(holder);
}

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

