// The whole view in the URL: context, tab, path, moment, filter, span of the timeline, folders. What stands there can be
// sent to others, gone back to, and survives a reload.

const FIELDS = ["context", "tab", "path", "at", "filter", "span"];

export function read() {
  const query = new URLSearchParams(location.search || location.hash.slice(1));
  const place = Object.fromEntries(FIELDS.map((name) => [name, query.get(name) ?? ""]));
  place.tab ||= "entries";
  place.toggled = new Set(query.getAll("toggle"));
  return place;
}

// `step`: a place of its own, to go back from.
export function write(place, step) {
  const query = new URLSearchParams();
  for (const name of FIELDS) if (place[name] && !(name === "tab" && place.tab === "entries")) query.set(name, place[name]);
  for (const folder of [...place.toggled].slice(-60)) query.append("toggle", folder);
  const text = query.toString().replaceAll("%2F", "/");
  // A page that was saved has no server behind its URL.
  const url = location.protocol === "file:" ? `#${text}` : `?${text}`;
  if (url === (location.search || location.hash)) return;
  history[step ? "pushState" : "replaceState"](null, "", url);
}
