// The sample: every record that holds all words searched for and has every attribute chosen.

const PAGE = 25;
const form = document.getElementById("filters");

if (form) {
  const search = document.getElementById("search");
  const list = document.getElementById("list");
  const count = document.getElementById("count");
  const showMore = document.getElementById("show-more");
  const moreFilters = document.getElementById("more-filters");
  const records = data.runs.flatMap((run, number) => run.records.map((record) => ({ ...record, run: number })));
  let limit = PAGE;

  for (const record of records) {
    const texts = record.turns.map((turn) => turn.text);
    record.haystack = [record.id, ...texts, ...Object.values(record.attributes), record.rejected ?? ""]
      .join("\n").toLowerCase();
  }

  const wanted = () => search.value.toLowerCase().split(/\s+/).filter(Boolean);

  function matching(words) {
    const chosen = [...form.querySelectorAll("select")].filter((select) => select.value !== "");
    return records.filter((record) => {
      if (!words.every((word) => record.haystack.includes(word))) return false;
      return chosen.every((select) => {
        if (select.dataset.filter === "run") return record.run === Number(select.value);
        if (select.dataset.filter === "outcome") return (record.rejected ? "rejected" : "kept") === select.value;
        return record.attributes[select.dataset.attribute] === select.value.slice(1);
      });
    });
  }

  // The text with each word searched for in a `mark`.
  function marked(text, words) {
    const paragraph = element("p", "text");
    if (words.length === 0) {
      paragraph.textContent = text;
      return paragraph;
    }
    const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    text.split(new RegExp(`(${escaped.join("|")})`, "gi")).forEach((part, number) => {
      if (part !== "") paragraph.append(number % 2 ? element("mark", "", part) : part);
    });
    return paragraph;
  }

  function shown(record, words) {
    const item = element("li");
    for (const turn of record.turns) {
      if (turn.role !== "text") item.append(element("p", "who", turn.role));
      item.append(marked(turn.text, words));
    }
    const tags = element("dl", "tags");
    const tag = (name, value, classes) => {
      const pair = element("div", classes);
      pair.append(element("dt", "", name), element("dd", "", value));
      tags.append(pair);
    };
    if (record.rejected) tag("rejected", record.rejected, "flag");
    if (data.runs.length > 1) tag("data set", data.runs[record.run].name);
    for (const [name, value] of Object.entries(record.attributes)) tag(name, value || NOTHING);
    tag("words", record.target_words === null ? String(record.words) : `${record.words} of ${record.target_words} asked for`);
    tag("id", record.id);
    item.append(tags);
    return item;
  }

  function render() {
    const words = wanted();
    const found = matching(words);
    list.replaceChildren(...found.slice(0, limit).map((record) => shown(record, words)));
    const all = records.length.toLocaleString("en");
    if (found.length === 0) count.textContent = `No record of ${all} matches. Search for fewer words or clear the filters.`;
    else if (found.length === records.length) count.textContent = `${all} records`;
    else count.textContent = `${found.length.toLocaleString("en")} of ${all} records`;
    showMore.hidden = found.length <= limit;
    showMore.textContent = `Show ${Math.min(PAGE, found.length - limit)} more`;
  }

  function restart() {
    limit = PAGE;
    render();
  }

  form.addEventListener("input", restart);
  form.addEventListener("change", restart);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    // Done here, because the browser clears the fields only after this event.
    event.preventDefault();
    for (const control of form.querySelectorAll("input, select")) control.value = "";
    restart();
  });
  showMore.addEventListener("click", () => {
    const first = list.children.length;
    limit += PAGE;
    render();
    const next = list.children[first];
    next.tabIndex = -1;
    next.focus({ preventScroll: true });
  });
  moreFilters?.addEventListener("click", () => {
    for (const label of form.querySelectorAll(".more")) label.hidden = false;
    moreFilters.remove();
  });
  render();
}
