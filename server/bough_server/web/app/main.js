/** The page: which view the address names, the frame around it, and whether it is up to date. */
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { read } from "./address.js";
import { LOGGED_IN, LOGGED_OUT } from "./api.js";
import { html } from "./html.js";
import { Agents } from "./views/agents.js";
import { Browser } from "./views/browser.js";
import { Compare } from "./views/compare.js";
import { Edit } from "./views/edit.js";
import { Job } from "./views/job.js";
import { Keys } from "./views/keys.js";
import { Model } from "./views/model.js";
import { Models } from "./views/models.js";
import { LoggedOut, placeLeft, tellTabs, UsedLink } from "./views/loggedout.js";
import { NewOptimization } from "./views/new.js";
import { NoSuchView } from "./views/nosuch.js";
import { Optimization } from "./views/optimization.js";
import { Optimizations } from "./views/optimizations.js";

/** The views of a name: of many, and of one. */
const VIEWS = {
  optimizations: [Optimizations, Optimization],
  models: [Models, Model],
  jobs: [Browser, Job],
  agents: [Agents, Agents],
  keys: [Keys, Keys],
  compare: [Compare, Compare],
  new: [NewOptimization, NewOptimization],
  edit: [NoSuchView, Edit],
  link: [UsedLink, UsedLink],
};
const NAMED = [["models", "Models"], ["optimizations", "Optimizations"], ["jobs", "Jobs"], ["agents", "Agents"], ["keys", "Keys"]];

/** The whole state of a view is in its address. */
function route() {
  const { name, id, fields } = read(location.hash);
  if (name === "") return { name: "optimizations", view: Optimizations, id, fields };
  const [many, one] = VIEWS[name] || [NoSuchView, NoSuchView];
  return { name, view: id ? one : many, id, fields };
}

const SAID = { connecting: "connecting …", live: "live", behind: "behind: connecting again …", out: "logged out" };

function Page() {
  const [at, go] = useState(route);
  const [state, setState] = useState("connecting");
  useEffect(() => {
    const moved = () => go(route());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const isFirst = useRef(true);
  useEffect(() => {
    window.scrollTo(0, 0);
    // Who goes on by keyboard, or listens, goes on in the new view; a view that took the focus itself keeps it.
    if (!isFirst.current && !document.getElementById("content").contains(document.activeElement)) skip();
    isFirst.current = false;
  }, [at.name, at.id]);
  const [isOut, setOut] = useState(false);
  useEffect(() => {
    const out = () => setOut(true);
    const back = () => setOut(false);
    addEventListener(LOGGED_OUT, out);
    addEventListener(LOGGED_IN, back);
    return () => {
      removeEventListener(LOGGED_OUT, out);
      removeEventListener(LOGGED_IN, back);
    };
  }, []);

  const link = (name, text) => html`<a href="#/${name}" aria-current=${at.name === name ? "page" : null}>${text}</a>`;
  return html`<a class="skip" href="#content" onClick=${skip}>Skip to the content</a>
    <header>
      <a class="brand" href="#/optimizations"><img src="./app/icon.svg" alt="" width="22" height="22" />bough</a>
      <nav aria-label="Views">${NAMED.map(([name, text]) => link(name, text))}</nav>
      <span class="link link-${isOut ? "out" : state}" role="status">${SAID[isOut ? "out" : state]}</span>
    </header>
    <main id="content" tabindex="-1">${isOut ? html`<${LoggedOut} />` : null}
      <div class="view" hidden=${isOut}><${at.view} key=${`${at.name}/${at.id}/${at.fields.offset || ""}`} id=${at.id} fields=${at.fields} tell=${setState} /></div></main>`;
}

function skip(event) {
  event?.preventDefault(); // the hash is the address of the view
  document.getElementById("content").focus({ preventScroll: !event });
}

if (location.hash === "" || location.hash === "#/") {
  const left = placeLeft();
  if (left) location.replace(left);
}
tellTabs();
const place = document.getElementById("app");
place.replaceChildren();
render(html`<${Page} />`, place);
