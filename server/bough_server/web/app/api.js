/**
 * The coordinator's API as the page needs it.
 *
 * The session is a cookie that the browser adds; the page never sees a key. Everything that can go wrong ends as a
 * `Failure` with one sentence and what to do.
 */
import { jsonOf } from "./decimal.js";
import { readExactly } from "./exact.js";

const BASE = "/api/v1";
/** Events of the window: there is no session any more; there is one again. */
export const LOGGED_OUT = "bough-logged-out";
export const LOGGED_IN = "bough-logged-in";

/** What went wrong, in two parts; `status` is 0 when nobody answered. */
export class Failure extends Error {
  constructor(status, what, remedy) {
    super(what);
    this.status = status;
    this.what = what;
    this.remedy = remedy;
  }
}

async function failure(reply) {
  if (reply.status === 401) {
    return new Failure(401, "This browser is not logged in, or no longer.", "Open a fresh link: bough login --link prints one, and so does bough up.");
  }
  const told = await reply.json().catch(() => ({}));
  return new Failure(reply.status, told.detail || `The coordinator answered ${reply.status}.`, told.remedy || "");
}

const underWay = new Set();

/** Wait until nothing that was asked for is still to be answered. */
export const settled = () => Promise.allSettled([...underWay]);

function ask(path, options) {
  const asked = answered(path, options).finally(() => underWay.delete(asked));
  underWay.add(asked);
  return asked;
}

async function answered(path, options) {
  let reply;
  try {
    reply = await fetch(BASE + path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, "The coordinator does not answer.", "Is it running? bough up starts it; this page goes on by itself.");
  }
  if (reply.status === 401) dispatchEvent(new Event(LOGGED_OUT));
  if (!reply.ok) throw await failure(reply);
  return reply;
}

/** `{a: 1, b: null, c: [2, 3]}` → `?a=1&c=2&c=3`; what is null or "" is left out. */
export function query(fields) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") pairs.append(name, one);
    }
  }
  const text = pairs.toString();
  return text && "?" + text;
}

export const get = async (path, fields = {}) => (await ask(path + query(fields))).json();

export const post = async (path, body = {}) =>
  (await ask(path, sent(body))).json();

const sent = (body) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: jsonOf(body) });

/** As `get` and `post`, for replies that hold a definition: what is a decimal there stays one. */
export const getExactly = async (path) => readExactly(await (await ask(path)).text());
export const postExactly = async (path, body) => readExactly(await (await ask(path, sent(body))).text());

export const patch = async (path, body = {}) =>
  (await ask(path, { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();

export const del = async (path) => {
  await ask(path, { method: "DELETE" });
};

/** The bytes of a job's log from `offset`, at most `limit`, and how many there are in all. */
export async function log(job, offset, limit) {
  const reply = await ask(`/jobs/${job}/log` + query({ offset, limit }));
  const total = Number(reply.headers.get("Bough-Log-Bytes") || 0);
  return { bytes: new Uint8Array(await reply.arrayBuffer()), total };
}

export const eventsUrl = (topics) => `${BASE}/events${query({ topic: topics })}`;

export const exportUrl = (kind, id) => `${BASE}/${kind}/${encodeURIComponent(id)}/export?format=csv`;
