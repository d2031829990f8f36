/** An optimization on its way out: its view is closed, what that asked for is answered, then it goes. */
import { useEffect, useState } from "preact/hooks";
import { go, write } from "../address.js";
import { del, query, settled } from "../api.js";
import { html } from "../html.js";
import { Empty, Trouble } from "../parts.js";

/** `records`: those in git go with it; `back`: it stays after all, because it could not be deleted. */
export function Deleting({ id, records, back }) {
  const [failure, setFailure] = useState(null);
  useEffect(() => {
    settled().then(() => del(`/optimizations/${id}${query({ confirm: id, records })}`)).then(() => go(write("optimizations")), setFailure);
  }, []);
  if (!failure) return html`<${Empty} isPage title=${`Deleting ${id} …`} />`;
  return html`<${Empty} isPage title=${`${id} was not deleted`}><${Trouble} failure=${failure} /><p><button type="button" onClick=${back}>back to it</button></p><//>`;
}
