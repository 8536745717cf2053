// The map: colours by an attribute, a legend that picks out one value, and the text of the point pointed at.

for (const figure of document.querySelectorAll(".map-figure")) {
  const { points, palette } = data.runs[Number(figure.dataset.run)].map;
  const map = figure.querySelector(".map");
  const tip = figure.querySelector(".tip");
  const legend = figure.querySelector(".map-legend");
  const choice = figure.querySelector(".map-colour");
  const circles = [...map.querySelectorAll("circle")];
  let chosen = -1;

  const valueOf = (number, name) => points[number][1][name];

  function colour() {
    const name = choice.value;
    const values = palette[name];
    const groups = values.map((value) => ({ value, colour: `var(--c${values.indexOf(value)})`, members: [] }));
    const others = { value: undefined, colour: "var(--other)", members: [] };
    circles.forEach((circle, number) => {
      const place = values.indexOf(valueOf(number, name));
      const group = place < 0 ? others : groups[place];
      group.members.push(circle);
      circle.setAttribute("fill", group.colour);
      circle.classList.remove("faint");
    });
    legend.replaceChildren();
    for (const group of others.members.length ? [...groups, others] : groups) {
      const button = element("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      const swatch = element("span", "swatch round");
      swatch.style.background = group.colour;
      const label = group === others ? "all others" : group.value || NOTHING;
      button.append(swatch, element("span", "", label), element("span", "soft", String(group.members.length)));
      button.addEventListener("click", () => pick(button, new Set(group.members)));
      const item = element("li");
      item.append(button);
      legend.append(item);
    }
  }

  function pick(button, members) {
    const isPicked = button.getAttribute("aria-pressed") === "true";
    for (const other of legend.querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", String(!isPicked));
    for (const circle of circles) circle.classList.toggle("faint", !isPicked && !members.has(circle));
  }

  function show(number) {
    hide();
    if (number < 0) return;
    chosen = number;
    const [text] = points[number];
    const circle = circles[number];
    circle.classList.add("chosen");
    tip.replaceChildren();
    const value = choice ? valueOf(number, choice.value) : undefined;
    if (value !== undefined) tip.append(element("b", "", `${choice.value}: ${value || NOTHING}`));
    tip.append(element("span", "", text));
    tip.hidden = false;
    place(circle);
  }

  function place(circle) {
    const frame = map.getBoundingClientRect();
    const at = circle.getBoundingClientRect();
    const left = Math.min(Math.max(at.left - frame.left - tip.offsetWidth / 2, 0), frame.width - tip.offsetWidth);
    const isAbove = at.top - frame.top > tip.offsetHeight + 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${isAbove ? at.top - frame.top - tip.offsetHeight - 6 : at.bottom - frame.top + 6}px`;
  }

  function hide() {
    if (chosen >= 0) circles[chosen].classList.remove("chosen");
    tip.hidden = true;
    chosen = -1;
  }

  map.addEventListener("pointerover", (event) => {
    if (event.target.dataset?.point !== undefined) show(Number(event.target.dataset.point));
  });
  map.addEventListener("pointerleave", hide);
  map.addEventListener("click", (event) => {
    if (event.target.dataset?.point === undefined) hide();
  });
  map.addEventListener("blur", hide);
  map.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (event.key === "Escape") hide();
    if (!(event.key in steps)) return;
    event.preventDefault();
    const shown = circles.map((_, number) => number).filter((number) => !circles[number].classList.contains("faint"));
    const at = shown.indexOf(chosen);
    const next = at < 0 ? 0 : (at + steps[event.key] + shown.length) % shown.length;
    show(shown.length ? shown[next] : -1);
  });
  if (choice) {
    choice.addEventListener("change", () => { hide(); colour(); });
    colour();
  }
}

