// What the parts of a page share in a reader's browser: each asks the server by itself, and no click is lost over it.
//
// Streamlit sends what is asked in one turn of the browser's clock as one request, in the name of the part that asked first;
// what another part asked is then gone. Such a turn takes as long as the machine is busy, so it is not measured here: whoever
// comes next waits for a timer that was set after the question before, and so fires after Streamlit's own.
const APART_MS = 30, QUIET_MS = 120;
const reader = (window.tenutoReader ??= attend({ left: 0, turn: -1, pressed: false, asking: false, unsent: false, line: [] }));

function attend(reader) {
  const leave = () => { reader.left = Date.now(); };
  const act = () => { // what was pressed may ask for something, in a turn that comes after this one
    reader.pressed = true;
    clearTimeout(reader.calm);
    reader.calm = setTimeout(() => { reader.calm = setTimeout(() => { reader.pressed = false; }, QUIET_MS); });
  };
  document.addEventListener("pointerdown", act, true);
  document.addEventListener("keydown", (event) => {
    act();
    const typing = event.composedPath()[0]?.closest?.("input, textarea, select, [contenteditable]");
    if (event.key === "Escape" && typing) return typing.blur(); // the keys are keys again
    const plain = !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (plain && KEYS[event.key]?.()) return stop(event);
    if (plain && event.key.length === 1) later(event); // a decision's keys send their form at once, whatever else is on its way
  }, true);
  document.addEventListener("click", (event) => {
    act();
    const path = event.composedPath();
    if (path.some((node) => node.tagName === "A")) return leave(); // a link of ours stands in line by itself
    if (later(event)) return;
    if (path.some((node) => node.tagName === "BUTTON")) dim(path.find((node) => node.dataset?.testid === "stForm"));
  }, true);
  window.addEventListener("popstate", leave);
  return reader;
}

// What Streamlit's own buttons ask stands in no line. So a press that meets a question on its way happens a moment later.
function later(event) {
  if (!reader.unsent || !event.isTrusted) return false;
  const target = event.composedPath()[0], again = new event.constructor(event.type, event);
  stop(event);
  setTimeout(() => {
    target.dispatchEvent(again);
    // The finger has left the key by now; without this it would count as held, and spoil every combination after it.
    if (event.type === "keydown") target.dispatchEvent(new KeyboardEvent("keyup", event));
  });
  return true;
}

function stop(event) {
  event.stopImmediatePropagation();
  event.preventDefault();
}

// What a key does before anybody else hears of it; each says whether that was all.
const KEYS = { r: reason, n: bring };

function reason() {
  const field = document.querySelector("textarea[aria-label=Reason]");
  field?.focus();
  return Boolean(field);
}

// Whoever asks for the next piece has seen the one that is open: where it lies below the edge of the window, it comes first.
const ROOM_PX = 200;
function bring() {
  const list = reader.pieces, open = list?.isConnected && list.querySelector("[aria-current]")?.dataset.key;
  if (!open || list.brought === open || list.getBoundingClientRect().bottom + ROOM_PX < innerHeight) return false;
  list.brought = open;
  list.scrollIntoView({ block: "start" });
  return true;
}

// A decision shows that it was taken before the server has answered, and cannot be made twice meanwhile.
const SENT_MS = 1500;
function dim(form) {
  if (!form) return;
  form.dataset.sent = "";
  setTimeout(() => delete form.dataset.sent, SENT_MS);
}

function inTurn(ask) {
  reader.line.push(ask);
  if (!reader.asking) next();
}

function next() {
  const ask = reader.line.shift();
  reader.asking = reader.unsent = Boolean(ask);
  if (!ask) return;
  ask();
  setTimeout(() => { reader.unsent = false; setTimeout(next, APART_MS); });
}
