/** The page: which view the address names, the frame around it, and whether it is up to date. */
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { html } from "./html.js";
import { Agents } from "./views/agents.js";
import { Job } from "./views/job.js";
import { Optimization } from "./views/optimization.js";
import { Optimizations } from "./views/optimizations.js";

const VIEWS = { optimizations: [Optimizations, Optimization], jobs: [Optimizations, Job], agents: [Agents, Agents] };

/** `#/optimizations/p7tq?sort=kpi` → the view, its id and its fields: the whole state of a view is in its address. */
function route() {
  const [path, fields] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id] = path.split("/").map(decodeURIComponent);
  const [many, one] = VIEWS[name] || VIEWS.optimizations;
  return { name: VIEWS[name] ? name : "optimizations", view: id ? one : many, id, fields: Object.fromEntries(new URLSearchParams(fields)) };
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
  useEffect(() => window.scrollTo(0, 0), [at.name, at.id]);

  const link = (name, text) => html`<a href="#/${name}" aria-current=${at.name === name ? "page" : null}>${text}</a>`;
  return html`<a class="skip" href="#content" onClick=${skip}>Skip to the content</a>
    <header>
      <a class="brand" href="#/optimizations"><img src="./app/icon.svg" alt="" width="22" height="22" />bough</a>
      <nav aria-label="Views">${link("optimizations", "Optimizations")}${link("agents", "Agents")}</nav>
      <span class="link link-${state}" role="status">${SAID[state]}</span>
    </header>
    <main id="content" tabindex="-1"><${at.view} key=${`${at.name}/${at.id}/${at.fields.offset}`} id=${at.id} fields=${at.fields} tell=${setState} /></main>`;
}

function skip(event) {
  event.preventDefault(); // the hash is the address of the view
  document.getElementById("content").focus();
}

const place = document.getElementById("app");
place.replaceChildren();
render(html`<${Page} />`, place);
