// Asks for the part of the page around it again, every few seconds, unless the reader is on the way to another page.
//
// A request that was sent on the old page and is answered on the new one makes Streamlit's front end drop what the new
// page has drawn. So nothing is asked from a click on a link (or a step back) until the next whole page has arrived.
const LEAVING_MS_MAX = 15000;
const APART_MS = 300; // two parts that ask in the same moment would be taken for one
const reader = (window.tenutoReader ??= watch({ left: 0, turn: -1 }));

function watch(reader) {
  const leave = () => { reader.left = Date.now(); };
  document.addEventListener("click", (event) => { if (event.composedPath().some((node) => node.tagName === "A")) leave(); }, true);
  window.addEventListener("popstate", leave);
  return reader;
}

export default function ({ data, parentElement, setTriggerValue }) {
  if (data.turn > reader.turn) { reader.turn = data.turn; reader.left = 0; }
  clearInterval(parentElement.beating);
  const beat = () => { if (Date.now() - reader.left > LEAVING_MS_MAX) setTriggerValue("beat", Date.now()); };
  parentElement.beating = setInterval(beat, data.seconds * 1000 + Math.random() * APART_MS);
  return () => clearInterval(parentElement.beating);
}
