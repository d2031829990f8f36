/**
 * A definition that is being written, by form and as text at once. The coordinator reads both: what it says is wrong
 * stands beside the field, in the words of the command line.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import { postExactly } from "./api.js";

const WAIT_MS = 250;

/**
 * @param {object} first the definition to begin with
 * @returns {{raw: object, text: string, error: object | null, failure: Failure | null, checked: boolean, change: (raw: object) => void, write: (text: string) => void}}
 *   `checked`: what is shown has been read by the coordinator
 */
export function useDefinition(first) {
  const [state, setState] = useState({ raw: first, text: "", error: null, failure: null, checked: false });
  const turn = useRef(0);
  const timer = useRef(null);

  function check(body, wait) {
    const mine = (turn.current += 1);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      postExactly("/definition", body).then(
        (told) => mine === turn.current && setState((was) => ({ raw: told.definition || was.raw, text: body.text === undefined ? told.text : was.text, error: told.error, failure: null, checked: true })),
        (failure) => mine === turn.current && setState((was) => ({ ...was, failure })),
      );
    }, wait);
  }

  function change(raw) {
    setState((was) => ({ ...was, raw, checked: false }));
    check({ definition: raw }, WAIT_MS);
  }

  function write(text) {
    setState((was) => ({ ...was, text, checked: false }));
    check({ text }, WAIT_MS);
  }

  useEffect(() => {
    if (turn.current === 0) check({ definition: first }, 0); // who typed at once comes first
    return () => clearTimeout(timer.current);
  }, []);
  return { ...state, change, write };
}

/** The error if it is at this path or below it. */
export const errorAt = (error, path) => (error?.at && path.length > 0 && path.every((key, i) => String(error.at[i]) === String(key)) ? error : null);

/** The error if it is exactly here. */
export const errorHere = (error, path) => (errorAt(error, path) && error.at.length === path.length ? error : null);
