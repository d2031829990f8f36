/** htm bound to preact: markup as tagged templates. Text is always set as text. */
import htm from "htm";
import { h } from "preact";

export const html = htm.bind(h);
