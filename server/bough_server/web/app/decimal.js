/**
 * A decimal that is whole, such as 1.0: to JavaScript it is the number 1, to a definition it is not, there it is the
 * difference between a decimal and a whole hyperparameter. So it is kept as it was written, and written so again.
 */
const MARK = `decimal-${crypto.randomUUID?.() ?? Math.random()}:`; // no text of a definition begins like that

export class Decimal {
  /** @param {string} text as JSON writes it: "1.0" */
  constructor(text) {
    this.text = text;
  }

  valueOf() {
    return Number(this.text);
  }

  toString() {
    return this.text;
  }

  toJSON() {
    return MARK + this.text;
  }
}

/** What was typed, as a number: "1.0" stays a decimal. NaN where it is none. */
export function numberOf(text) {
  const trimmed = String(text).trim();
  if (trimmed === "") return NaN;
  const found = Number(trimmed);
  return Number.isInteger(found) && /^[-+]?\d*\.\d*$/.test(trimmed) ? new Decimal(found.toFixed(1)) : found;
}

/** JSON in which decimals are written as such. */
export const jsonOf = (value) => JSON.stringify(value)?.replaceAll(new RegExp(`"${MARK.replaceAll(".", "\\.")}([-+\\d.eE]+)"`, "g"), "$1");
