// Draws a diff that Python has cut into files and lines. Text is set as text and never parsed.
const NAMES = { "+": "add", "-": "del", " ": "same", "@": "hunk", "\\": "note" };

function piece(tag, name, text) {
  const element = document.createElement(tag);
  element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
}

function drawLine([sign, before, after, text]) {
  const line = piece("div", `line ${NAMES[sign] || "same"}`), said = piece("span", "said", text);
  said.dataset.sign = sign === "+" || sign === "-" ? sign : " ";
  line.append(piece("span", "old", before ?? ""), piece("span", "new", after ?? ""), said);
  return line;
}

function drawFile(file) {
  const block = piece("details", "file"), head = piece("summary", ""), counts = piece("span", "counts");
  counts.append(piece("span", "plus mono", `+${file.added}`), piece("span", "less mono", `\u2212${file.removed}`));
  head.append(piece("span", "path mono", file.path));
  if (file.odd) head.append(piece("span", "odd", "hidden characters, written out"));
  head.append(counts);
  const scroll = piece("div", "lines"), grid = piece("div", "grid");
  grid.append(...file.lines.map(drawLine));
  scroll.append(grid);
  block.append(head, scroll);
  block.open = true;
  return block;
}

export default function ({ data, parentElement }) {
  let root = parentElement.querySelector(".files");
  if (!root) { root = piece("div", "files"); parentElement.append(root); }
  const print = JSON.stringify(data);
  if (root.print === print) return;
  root.print = print;
  root.replaceChildren(...data.files.map(drawFile));
}
