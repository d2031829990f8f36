/**
 * No session any more, or none yet: what to do, and the way back to where one was.
 *
 * A fresh link may be given here, or opened in another tab: either way this page goes on by itself, with what was typed in it.
 */
import { useEffect, useState } from "preact/hooks";
import { Failure, get, LOGGED_IN } from "../api.js";
import { html } from "../html.js";
import { Trouble } from "../parts.js";

const PLACE = "bough-place";
const tabs = "BroadcastChannel" in window ? new BroadcastChannel("bough-login") : null;

/** Where a link opened in this tab leads back to; "" where it was not left by being logged out. */
export function placeLeft() {
  const place = sessionStorage.getItem(PLACE) || "";
  sessionStorage.removeItem(PLACE);
  return place;
}

/** Tell other tabs that there is a session again. */
export const tellTabs = () => tabs?.postMessage("here");

/** Whether there is a session; if so, everything that waits goes on. */
async function look() {
  await get("/me");
  sessionStorage.removeItem(PLACE);
  dispatchEvent(new Event(LOGGED_IN));
}

export function LoggedOut({ isLinkUsed = false }) {
  const [failure, setFailure] = useState(null);
  useEffect(() => {
    if (!isLinkUsed) sessionStorage.setItem(PLACE, location.hash);
    const quietly = () => document.hidden || look().catch(() => {});
    addEventListener("focus", quietly);
    tabs?.addEventListener("message", quietly);
    return () => {
      removeEventListener("focus", quietly);
      tabs?.removeEventListener("message", quietly);
    };
  }, []);
  async function enter(event) {
    event.preventDefault();
    const code = /(?:code=)?([\w.~-]+)\s*$/.exec(new FormData(event.target).get("link").trim())?.[1] || "";
    try {
      const reply = await fetch(`/login?code=${encodeURIComponent(code)}`, { credentials: "same-origin", headers: { Accept: "application/json, text/plain" } });
      if (!reply.ok) {
        const told = await reply.json().catch(() => ({}));
        throw new Failure(reply.status, told.detail || "That is no link.", told.remedy || "");
      }
      await look();
      tellTabs();
      if (isLinkUsed) location.hash = placeLeft() || "#/optimizations";
    } catch (told) {
      setFailure(told instanceof Failure ? told : new Failure(0, "The coordinator does not answer.", "Is it running? Try again when it is."));
    }
  }
  return html`<div class="empty" role="alert"><h1>${isLinkUsed ? "This link is used up" : "Logged out"}</h1>
    <p>${isLinkUsed ? "A link opens the page once, within ten minutes." : "This browser is not logged in, or no longer: a session ends with its key, and after a while."}</p>
    <p>Open a fresh link: <code>bough login --link</code> prints one, and so does <code>bough up</code>. ${isLinkUsed ? "" : "This page goes on where it was as soon as you are logged in, here or in another tab."}</p>
    <form class="fields" onSubmit=${enter}><label>or paste it here <input name="link" size="44" required autocomplete="off" spellcheck=${false} /></label> <button type="submit" class="button-main">log in</button></form>
    <${Trouble} failure=${failure} /></div>`;
}

export function UsedLink({ tell }) {
  useEffect(() => tell("live"), []);
  document.title = "Log in · bough";
  return html`<${LoggedOut} isLinkUsed />`;
}
