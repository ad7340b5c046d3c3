// Asks for the part of the page around it again, every few seconds, unless the reader is on the way to another page.
//
// A request that was sent on the old page and is answered on the new one makes Streamlit's front end drop what the new
// page has drawn. So nothing is asked from a click on a link (or a step back) until the next whole page has arrived, and
// what is left of the page before asks nothing any more.
const LEAVING_MS_MAX = 15000;

export default function ({ data, parentElement, setTriggerValue }) {
  if (data.turn > reader.turn) { reader.turn = data.turn; reader.left = 0; }
  clearTimeout(parentElement.beating);
  const after = (ms) => { parentElement.beating = setTimeout(beat, ms); };
  const beat = () => {
    const now = Date.now();
    if (data.turn < reader.turn) return;
    if (reader.asking || reader.pressed) return after(QUIET_MS);
    if (document.hidden) return after(data.seconds * 1000); // nobody reads it: nothing is asked, and no time counts
    if (now - reader.left > LEAVING_MS_MAX) inTurn(() => setTriggerValue("beat", now));
    after(data.seconds * 1000);
  };
  after(data.seconds * 1000);
  return () => clearTimeout(parentElement.beating);
}
