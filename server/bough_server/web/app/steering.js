/** What changes something: buttons that ask first where something is lost, a secret that is shown once, a dialog. */
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "./html.js";
import { Trouble } from "./parts.js";

/** A button that asks first. `question` is said in full; the second press does it. */
export function Sure({ word, question, go, disabled = false }) {
  const [asking, setAsking] = useState(false);
  const back = useRef(false); // the focus comes back to where it was
  const ask = () => { back.current = true; setAsking(true); };
  if (!asking) return html`<button type="button" disabled=${disabled} onClick=${ask} ref=${(one) => { if (one && back.current) { back.current = false; one.focus(); } }}>${word}</button>`;
  const no = () => setAsking(false);
  return html`<span class="sure" role="alertdialog" aria-label=${question} onKeyDown=${(event) => event.key === "Escape" && no()}>
    <span>${question}?</span>
    <button type="button" class="button-bad" ref=${(one) => one?.focus()} onClick=${() => { no(); go(); }}>yes, ${word}</button>
    <button type="button" onClick=${no}>no</button></span>`;
}

/** A text to be copied, that will not be shown again. */
export function Secret({ label, text }) {
  const [copied, setCopied] = useState(false);
  const copy = () => navigator.clipboard.writeText(text).then(() => setCopied(true), () => setCopied(false));
  return html`<div class="note" role="status"><strong>${label}</strong>, shown only now: <code class="secret">${text}</code> <button type="button" onClick=${copy}>${copied ? "copied" : "copy"}</button></div>`;
}

/** A dialog of the browser's own: modal, closed by Escape, gives the focus back. */
export function Dialog({ title, close, children }) {
  const place = useRef(null);
  useEffect(() => {
    place.current.showModal();
  }, []);
  return html`<dialog ref=${place} aria-label=${title} onClose=${close}>
    <div class="heading"><h2>${title}</h2><button type="button" class="steering" onClick=${() => place.current.close()} aria-label="close">×</button></div>${children}</dialog>`;
}

/** Send something, and say what went wrong: `[send, failure, busy]`. */
export function useSending(changed) {
  const [failure, setFailure] = useState(null);
  const [busy, setBusy] = useState(false);
  function send(promise) {
    setBusy(true);
    return promise.then(
      (reply) => { setFailure(null); setBusy(false); changed?.(reply); return reply; },
      (error) => { setFailure(error); setBusy(false); },
    );
  }
  return [send, failure ? html`<${Trouble} failure=${failure} />` : null, busy];
}
