// Asks for the part of the page around it again, every few seconds, unless the reader is on the way to another page.
//
// A request that was sent on the old page and is answered on the new one makes Streamlit's front end drop what the new
// page has drawn. So nothing is asked from a click on a link (or a step back) until the next whole page has arrived.
const LEAVING_MS_MAX = 15000;
const APART_MS = 120; // two parts that ask in the same moment would be taken for one
const SENT_MS = 1500;
const reader = (window.tenutoReader ??= watch({ left: 0, turn: -1, asked: 0, acted: 0 }));

function watch(reader) {
  const leave = () => { reader.left = Date.now(); };
  document.addEventListener("keydown", () => { reader.acted = Date.now(); }, true);
  document.addEventListener("click", (event) => {
    reader.acted = Date.now();
    const path = event.composedPath();
    if (path.some((node) => node.tagName === "A")) leave();
    if (path.some((node) => node.tagName === "BUTTON")) dim(path.find((node) => node.dataset?.testid === "stForm"));
  }, true);
  window.addEventListener("popstate", leave);
  return reader;
}

// A decision shows that it was taken before the server has answered, and cannot be made twice meanwhile.
function dim(form) {
  if (!form) return;
  form.dataset.sent = "";
  setTimeout(() => delete form.dataset.sent, SENT_MS);
}

export default function ({ data, parentElement, setTriggerValue }) {
  if (data.turn > reader.turn) { reader.turn = data.turn; reader.left = 0; }
  clearTimeout(parentElement.beating);
  const after = (ms) => { parentElement.beating = setTimeout(beat, ms); };
  const beat = () => {
    const now = Date.now(), early = Math.max(reader.asked, reader.acted) + APART_MS - now;
    if (early > 0) return after(early);
    if (document.hidden) return after(data.seconds * 1000); // nobody reads it: nothing is asked, and no time counts
    if (now - reader.left > LEAVING_MS_MAX) { reader.asked = now; setTriggerValue("beat", now); }
    after(data.seconds * 1000);
  };
  after(data.seconds * 1000);
  return () => clearTimeout(parentElement.beating);
}
