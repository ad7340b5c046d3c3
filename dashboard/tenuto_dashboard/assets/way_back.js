// Keeps the address that somebody wanted before he had to log in, in this tab alone, and tells it once he is back.
//
// A part of a page may be drawn more than once before the server has heard of the first time. So what was kept goes only
// when he has long been on his way.
const KEY = "tenuto-way-back";
const GONE_MS = 15000;

export default function ({ data, setTriggerValue }) {
  if (data.keep) {
    sessionStorage.setItem(KEY, location.pathname + location.search);
    return;
  }
  const back = sessionStorage.getItem(KEY) ?? "/";
  inTurn(() => setTriggerValue("back", back));
  setTimeout(() => sessionStorage.removeItem(KEY), GONE_MS);
}
