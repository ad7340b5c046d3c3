// Draws a tree of nodes that Python described. Every text becomes a text node: nothing a stranger wrote is ever parsed.
const TAGS = new Set(["div", "span", "p", "h1", "h2", "h3", "ol", "ul", "li", "dl", "dt", "dd", "code", "pre", "small",
  "strong", "details", "summary", "table", "thead", "tbody", "tr", "th", "td", "header", "section", "time"]);
const HREF = /^[a-z]+(\?[a-z]+=[A-Za-z0-9._~%-]*)?$/;
const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  check: "M3.5 8.5l3 3 6-7", cross: "M4 4l8 8M12 4l-8 8", minus: "M4 8h8", next: "M6 3.5L10.5 8 6 12.5",
  alert: "M8 2.2l6.2 11H1.8zM8 6.4v3.2M8 11.4v.2", copy: "M5.5 5.5h7v7h-7zM3.5 10.5v-7h7", arrow: "M3 8h9M9 4.5L12.5 8 9 11.5",
  clock: "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8M8 4.6V8l2.3 1.6", back: "M10 3.5L5.5 8l4.5 4.5",
  turning: "M13.5 8A5.5 5.5 0 118 2.5",
};

function icon(name) {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  path.setAttribute("d", ICONS[name] || ICONS.minus);
  svg.append(path);
  return svg;
}

function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

// A deadline as one reads it aloud: how long, and when by the clock; the day only where it is another one.
function deadline(at, now) {
  const left = Math.round(Math.abs(at - now) / 1000), named = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
  const long = left < 60 ? named(left, "second") : left < 3600 ? named(Math.floor(left / 60), "minute")
    : left < 86400 ? `${named(Math.floor(left / 3600), "hour")} ${named(Math.floor((left % 3600) / 60), "minute")}`
    : `${named(Math.floor(left / 86400), "day")} ${named(Math.floor((left % 86400) / 3600), "hour")}`;
  const clock = new Date(at).toISOString(), day = clock.slice(0, 10);
  const when = `at ${clock.slice(11, 16)} UTC${day === new Date(now).toISOString().slice(0, 10) ? "" : ` on ${day}`}`;
  return at > now ? `in ${long}, ${when}` : `${long} ago, ${when}`;
}

function tell(element, now) {
  const at = Number(element.dataset.at), mode = element.dataset.mode, left = (at - now) / 1000;
  if (mode === "by") element.textContent = deadline(at, now);
  else if (mode === "age") element.textContent = span(-left);
  else if (mode === "ago") element.textContent = `${span(-left)} ago`;
  else element.textContent = left > 0 ? `in ${span(left)}` : `${span(-left)} ago`;
  if (mode === "until" || mode === "by") element.classList.toggle("soon", left < 900 && left > 0);
}

function copier(text) {
  const button = document.createElement("button");
  button.type = "button"; button.className = "copy"; button.title = "Copy"; button.setAttribute("aria-label", "Copy");
  button.append(icon("copy"));
  button.onclick = async (event) => {
    event.stopPropagation(); event.preventDefault();
    try { await navigator.clipboard.writeText(text); } catch { return; }
    button.replaceChildren(icon("check"));
    setTimeout(() => button.replaceChildren(icon("copy")), 1200);
  };
  return button;
}

function build(node, act) {
  if (typeof node === "string") return document.createTextNode(node);
  if (node.icon) { const drawn = icon(node.icon); if (node.c) drawn.classList.add(...node.c.split(" ")); return drawn; }
  const link = node.go && HREF.test(node.href || "");
  const element = document.createElement(link ? "a" : node.pick ? "button" : TAGS.has(node.t) ? node.t : "span");
  if (node.c) element.className = node.c;
  if (node.title) element.title = node.title;
  if (node.say) element.setAttribute("aria-label", node.say);
  if (node.key) element.dataset.key = node.key;
  if (node.open) element.open = true;
  if (node.at !== undefined) { element.dataset.at = node.at; element.dataset.mode = node.mode; }
  for (const child of node.k || []) element.append(build(child, act));
  if (node.copy) element.append(copier(node.copy));
  if (node.pick) {
    element.type = "button"; element.dataset.key = node.pick;
    if (node.now) element.setAttribute("aria-current", "true");
    element.onclick = () => act({ pick: node.pick });
  }
  if (link) {
    element.href = node.href; element.dataset.key ??= node.href; // a row is known again by where it leads
    element.onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault(); act(node.go);
    };
  }
  return element;
}

// J and K (or the arrows) walk the rows of a list, as in a mail program; Enter opens, since a row is a link.
function walk(root) {
  if (root.walking) return;
  root.walking = (event) => {
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    const inside = root.getRootNode().activeElement?.closest?.("a.row, a.run, a.ahead");
    const typing = event.composedPath()[0]?.closest?.("input, textarea, select, [contenteditable], [role=slider], [role=listbox]");
    if (!root.isConnected) return document.removeEventListener("keydown", root.walking);
    if (!step || typing || event.ctrlKey || event.metaKey || event.altKey || (event.key.startsWith("Arrow") && !inside)) return;
    const rows = [...root.querySelectorAll("a.row, a.run, a.ahead")];
    if (!rows.length) return;
    const next = inside ? rows.indexOf(inside) + step : 0;
    event.preventDefault();
    rows[Math.min(Math.max(next, 0), rows.length - 1)].focus();
  };
  document.addEventListener("keydown", root.walking);
}

// What is pressed must still be there when the finger lifts: a browser drops a click whose two halves met different elements.
function hold(root) {
  root.addEventListener("pointerdown", () => {
    const over = new AbortController();
    const release = () => { over.abort(); setTimeout(() => { root.held = false; root.late(); }); }; // after the click itself
    root.held = true;
    for (const name of ["pointerup", "pointercancel", "dragend", "blur"]) window.addEventListener(name, release, { capture: true, signal: over.signal });
  }, true);
}

export default function ({ data, parentElement, setTriggerValue }) {
  let root = parentElement.querySelector(".sheet");
  if (!root) { root = document.createElement("div"); root.className = "sheet"; parentElement.append(root); hold(root); }
  root.skew = data.now - Date.now();
  const tick = () => root.querySelectorAll("[data-at]").forEach((element) => tell(element, Date.now() + root.skew));
  root.late = () => { draw(root, data.tree, (where) => inTurn(() => setTriggerValue("go", where))); tick(); };
  if (!root.held) root.late();
  clearInterval(root.ticking);
  root.ticking = setInterval(tick, 1000);
  return () => clearInterval(root.ticking);
}

function draw(root, tree, act) {
  const print = JSON.stringify(tree);
  if (root.print !== print) {
    const opened = new Map([...root.querySelectorAll("details[data-key]")].map((d) => [d.dataset.key, d.open]));
    const current = () => root.querySelector(".choose [aria-current]")?.dataset.key, chosen = current();
    const focus = root.getRootNode().activeElement, scrolled = root.querySelector(".choose")?.scrollTop;
    const places = () => [...root.querySelectorAll("a, button, summary")], before = places(), place = before.indexOf(focus);
    root.print = print;
    root.replaceChildren(build(tree, act));
    for (const d of root.querySelectorAll("details[data-key]")) if (opened.has(d.dataset.key)) d.open = opened.get(d.dataset.key);
    if (scrolled) root.querySelector(".choose").scrollTop = scrolled; // what was redrawn stays where the reader has it
    // Whoever goes on to another piece sees it: its time counts from now on, and it may lie below the edge of the window.
    if (current()) reader.pieces = root;
    if (chosen && current() !== chosen) root.scrollIntoView({ block: "start" });
    const after = places(), same = (one) => one.dataset.key === focus.dataset.key;
    if (place >= 0) (focus.dataset.key ? after.find(same) : after.length === before.length && after[place])?.focus?.({ preventScroll: true });
    if (root.querySelector("a.row, a.run, a.ahead")) walk(root);
  }
}
