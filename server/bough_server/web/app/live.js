/**
 * What changes, as it changes: one event stream per view.
 *
 * `hello` is the first event of every connection, so it is where a view loads its data: whatever happened before is in
 * that load, whatever happens after comes as an event, and nothing falls between. A stream that breaks is opened again,
 * and the page says that it is behind for as long as it is.
 */
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { eventsUrl, Failure, get, LOGGED_IN } from "./api.js";

/** The events of the protocol, besides `hello` and `reload`. */
const KINDS = ["optimization", "job", "points", "log", "agent", "gone"];
const RETRY_MS = 1000;
const LONGEST_RETRY_MS = 15000;
const HIDDEN_MS = 5000; // a tab that nobody sees lets its stream go: a browser has six connections for all of its tabs
const SILENCE_MS = 40000; // a stream may be dead and not know it: then the coordinator is asked directly

/**
 * Open a stream; returns the function that closes it.
 *
 * @param {string[]} topics
 * @param {(kind: string, data: object | null) => void} told each event, `hello` first
 * @param {(state: "connecting" | "live" | "behind" | "out") => void} changed "out": logged out, no use to try again
 */
export function listen(topics, told, changed) {
  let source = null;
  let timer = null;
  let wait = RETRY_MS;
  let heard = Date.now();
  let isClosed = false;
  let isResting = false;
  let hiding = null;

  function open() {
    if (isClosed || isResting) return;
    let greeted = false;
    source = new EventSource(eventsUrl(topics));
    source.addEventListener("hello", () => {
      heard = Date.now();
      if (greeted) return;
      greeted = true;
      wait = RETRY_MS;
      changed("live");
      told("hello", null);
    });
    source.addEventListener("reload", () => told("hello", null)); // we were too slow, and events were dropped
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        heard = Date.now();
        told(kind, JSON.parse(event.data));
      });
    }
    source.onerror = broken;
  }

  function rest() {
    isResting = true;
    clearTimeout(timer);
    source.close();
  }

  function seen() {
    clearTimeout(hiding);
    if (document.hidden) {
      hiding = setTimeout(rest, HIDDEN_MS);
    } else if (isResting) {
      isResting = false;
      changed("connecting");
      open();
    }
  }

  function broken() {
    if (isClosed || isResting) return;
    source.close(); // the browser's own retry gives up after an answer like 503: ours does not
    changed("behind");
    clearTimeout(timer);
    timer = setTimeout(again, wait);
    wait = Math.min(2 * wait, LONGEST_RETRY_MS);
  }

  /** A stream does not say why it broke: ask, so that a browser that is logged out does not knock for ever. */
  function again() {
    get("/me").then(open, (failure) => (failure.status === 401 ? out() : broken()));
  }

  function out() {
    if (isClosed) return;
    changed("out");
    addEventListener(LOGGED_IN, open, { once: true });
  }

  const watch = setInterval(() => {
    if (isResting || Date.now() - heard < SILENCE_MS) return;
    heard = Date.now();
    get("/health").catch(broken);
  }, SILENCE_MS / 4);

  open();
  document.addEventListener("visibilitychange", seen);
  return () => {
    isClosed = true;
    document.removeEventListener("visibilitychange", seen);
    clearTimeout(hiding);
    removeEventListener(LOGGED_IN, open);
    clearInterval(watch);
    clearTimeout(timer);
    source.close();
  };
}

/**
 * Load a view's data and keep it fresh.
 *
 * @param {string[]} topics what to listen to
 * @param {() => Promise<void>} load reads everything anew; called at each connection
 * @param {(kind: string, data: object) => void} told called for each event after that
 * @returns {{state: "connecting" | "live" | "behind" | "out", failure: Failure | null}}
 */
export function useLive(topics, load, told) {
  const [state, setState] = useState("connecting");
  const [failure, setFailure] = useState(null);
  const latest = useRef({ load, told });
  latest.current = { load, told };
  const key = topics.join(" ");

  // Not an effect after the drawing: those are also ended after it, and until then a view that is gone would go on asking.
  useLayoutEffect(() => {
    let close = () => {};
    let isGone = false; // what is not there will not change: nothing is asked any more, and what was under way says nothing
    const failed = (told) => {
      if (isGone) return;
      isGone = told.status === 404;
      setFailure(told);
      if (isGone) close();
    };
    const reload = () => latest.current.load().then(() => isGone || setFailure(null), failed);
    close = listen(
      key.split(" "),
      (kind, data) => {
        if (kind === "hello") reload();
        else if (kind === "gone") failed(new Failure(404, "It was just deleted.", ""));
        else latest.current.told(kind, data);
      },
      (now) => {
        setState(now);
        if (now === "behind" || now === "out") reload(); // says what is the matter
      },
    );
    return () => close();
  }, [key]);
  return { state, failure };
}

/** `run` of a view, throttled; when the view is left, what was still to come is not run. */
export function useThrottled(run, ms) {
  const latest = useRef(run);
  latest.current = run;
  const ask = useMemo(() => throttled(() => latest.current(), ms), []);
  useLayoutEffect(() => ask.end, []);
  return ask;
}

/** `run`, at most once per `ms`, and once more at the end if it was asked for meanwhile; never again after `end()`. */
export function throttled(run, ms) {
  let timer = null;
  let wanted = false;
  let isOver = false;
  function ask() {
    if (isOver) return;
    if (timer !== null) {
      wanted = true;
      return;
    }
    run();
    timer = setTimeout(() => {
      timer = null;
      if (wanted) {
        wanted = false;
        ask();
      }
    }, ms);
  }
  ask.end = () => {
    isOver = true;
    clearTimeout(timer);
  };
  return ask;
}
