/** Stars, tags and notes of a job: shown, and changed in place. */
import { useState } from "preact/hooks";
import { post } from "./api.js";
import { html } from "./html.js";
import { Trouble } from "./parts.js";

/** A star that can be pressed. `changed` gets the job's new marks. */
export function Star({ job, on, label, changed }) {
  const [failure, setFailure] = useState(null);
  const press = () => post(`/jobs/${job}/marks`, { star: !on }).then(changed, setFailure);
  return html`<button type="button" class="star" aria-pressed=${on ? "true" : "false"} aria-label=${`star ${label}`} onClick=${press}>${on ? "★" : "☆"}</button>
    <${Trouble} failure=${failure} />`;
}

/** Tags as words; pressing one takes it away, the field adds one. */
export function Tags({ job, tags, changed, onFilter }) {
  const [typed, setTyped] = useState("");
  const [failure, setFailure] = useState(null);
  const save = (wanted) => post(`/jobs/${job}/marks`, { tags: wanted }).then(changed, setFailure);
  function add(event) {
    event.preventDefault();
    if (typed.trim()) save([...tags, typed]).then(() => setTyped(""));
  }
  return html`<span class="tags">
    ${tags.map((tag) => html`<span class="chip" key=${tag}>${onFilter ? html`<a href=${onFilter(tag)}>${tag}</a>` : tag}
      <button type="button" aria-label=${`remove tag ${tag}`} onClick=${() => save(tags.filter((one) => one !== tag))}>×</button></span>`)}
    <form onSubmit=${add}><input aria-label="add a tag" placeholder="add a tag" size="9" maxlength="60" value=${typed} onInput=${(event) => setTyped(event.target.value)} /></form>
    <${Trouble} failure=${failure} />
  </span>`;
}

/** A note that is kept when one leaves the field. */
export function Note({ job, note, changed }) {
  const [failure, setFailure] = useState(null);
  const save = (event) => event.target.value !== note && post(`/jobs/${job}/marks`, { note: event.target.value }).then(changed, setFailure);
  return html`<label class="note-field">note<textarea rows="2" maxlength="10000" onBlur=${save}>${note}</textarea></label><${Trouble} failure=${failure} />`;
}
