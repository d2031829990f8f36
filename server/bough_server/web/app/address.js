/** The address of a view holds its whole state: what follows `#/` is a path and fields, and nothing else is remembered. */

/** `#/jobs/k3f9?attempt=2` → {name: "jobs", id: "k3f9", fields: {attempt: "2"}}; an id may hold slashes (`#/models/me/digits`). */
export function read(hash) {
  const [path, fields] = hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map(decode);
  return { name: name || "", id: rest.join("/"), fields: Object.fromEntries(new URLSearchParams(fields)) };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // an address that somebody mended by hand
  }
}

/** `write("jobs", "", {sort: ["-kpi"]})` → `#/jobs?sort=["-kpi"]`; lists as JSON, what is empty is left out. */
export function write(name, id = "", fields = {}) {
  const pairs = new URLSearchParams();
  for (const [field, value] of Object.entries(fields)) {
    if (value === null || value === undefined || value === "" || (Array.isArray(value) && value.length === 0)) continue;
    pairs.set(field, Array.isArray(value) ? JSON.stringify(value) : String(value));
  }
  const text = pairs.toString();
  const path = id ? `${name}/${id.split("/").map(encodeURIComponent).join("/")}` : name;
  return `#/${path}${text && "?" + text}`;
}

/** A list that stands in a field as JSON; [] where there is none, or none that can be read. */
export function list(text) {
  try {
    const found = JSON.parse(text || "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

export const go = (hash) => {
  location.hash = hash;
};
