// Has the browser's authenticator make a passkey, or sign with one, when its button is pressed; hands back what it answered.
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const known = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

async function make(options) {
  const publicKey = {
    ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: known(options.excludeCredentials),
  };
  const made = await navigator.credentials.create({ publicKey });
  const { clientDataJSON, attestationObject } = made.response;
  return { id: made.id, rawId: text(made.rawId), type: made.type,
    response: { clientDataJSON: text(clientDataJSON), attestationObject: text(attestationObject) } };
}

async function sign(options) {
  const publicKey = { ...options, challenge: bytes(options.challenge), allowCredentials: known(options.allowCredentials) };
  const signed = await navigator.credentials.get({ publicKey });
  const { clientDataJSON, authenticatorData, signature } = signed.response;
  return { id: signed.id, rawId: text(signed.rawId), type: signed.type,
    response: { clientDataJSON: text(clientDataJSON), authenticatorData: text(authenticatorData), signature: text(signature) } };
}

function hint(keys) {
  const shown = document.createElement("span");
  shown.className = "hint";
  shown.textContent = keys.replaceAll("+", " + ");
  return shown;
}

export default function ({ data, parentElement, setTriggerValue }) {
  const button = parentElement.querySelector("button");
  const said = `${data.label} ${data.keys}`; // what has not changed stays, so that no click loses what it began on
  if (button.dataset.said !== said) button.replaceChildren(data.label, ...(data.keys ? [hint(data.keys)] : []));
  button.dataset.said = said;
  button.className = `passkey ${data.kind}`;
  button.disabled = data.disabled;
  button.onclick = async () => {
    button.disabled = true;
    try {
      if (!window.PublicKeyCredential) throw new DOMException("", "NotSupportedError");
      const answer = await (data.mode === "make" ? make : sign)(JSON.parse(data.options));
      inTurn(() => setTriggerValue("answer", JSON.stringify(answer)));
    } catch (error) {
      inTurn(() => setTriggerValue("answer", JSON.stringify({ error: error.name ?? "Error" })));
    } finally {
      button.disabled = data.disabled;
    }
  };
  const pressed = (event) => {
    const wanted = event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.shiftKey === data.keys.includes("Shift");
    if (!wanted || event.altKey || event.repeat || button.disabled || !button.isConnected) return;
    event.preventDefault();
    button.click();
  };
  if (!data.keys) return;
  document.addEventListener("keydown", pressed);
  return () => document.removeEventListener("keydown", pressed);
}
