"use strict";

const get = id => document.getElementById(id);
const found = get("results").querySelector("ol"), browsed = get("gallery").querySelector("ol");
const STEP = 30;  // images of the gallery that are shown at once
const LARGEST = 2 ** 24;  // bytes
const SIGNS = { same: "✓", unsure: "?", different: "✗" };
let columns = {};  // of the gallery, and what each holds
let query = null;  // { file } or { row }
let opened = null;  // the result whose explanation is shown
let turn = 0;  // of the searches, so that a late answer is not taken for the last one's

// --- the server -------------------------------------------------------------------------------

async function ask(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem("token");
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const answer = await fetch(path, { ...options, headers }).catch(() => {
      throw new Error("The server can't be reached.");
    });
    if (answer.ok) return answer;
    if (answer.status !== 401) {
      const said = await answer.json().catch(() => ({}));
      throw new Error(said.error || `The server answered ${answer.status}.`);
    }
    // Several requests may be refused at once: one dialog serves them all.
    await login(token);
  }
}

let waiting = null;
function login(refused) {
  if (sessionStorage.getItem("token") !== refused) return Promise.resolve();
  waiting ??= new Promise(resolve => {
    get("login-status").textContent = refused ? "That was not the token." : "";
    get("token").value = "";
    get("login").showModal();
    get("login").addEventListener("close", () => {
      sessionStorage.setItem("token", get("token").value);
      waiting = null;
      resolve();
    }, { once: true });
  });
  return waiting;
}
get("login").addEventListener("cancel", event => event.preventDefault());

// --- pictures: fetched when they come into sight, as an <img> sends no token -------------------

const pictures = new Map();
function picture(row) {
  if (!pictures.has(row)) {
    const url = ask(`api/images/${row}`).then(answer => answer.blob()).then(URL.createObjectURL);
    pictures.set(row, url);
    url.catch(() => pictures.delete(row));
  }
  return pictures.get(row);
}
const seen = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    picture(target.dataset.row).then(
      url => { target.src = url; },
      error => { target.alt = error.message; },
    );
  }
}, { rootMargin: "200px" });

function element(name, text, properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  if (text !== undefined) made.textContent = text;
  return made;
}

// The cameras that were seen so far, for the filter to offer.
const cameras = new Set();
function offer(camera) {
  if (cameras.has(camera)) return;
  cameras.add(camera);
  const sorted = [...cameras].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const options = sorted.map(value => element("option", undefined, { value }));
  get("cameras").replaceChildren(...options);
}

function tile(image, lines, act) {
  const button = element("button", undefined, { type: "button", className: "tile" });
  const shown = element("img", undefined, { alt: "" });
  shown.dataset.row = image.row;
  button.append(shown, ...lines);
  button.addEventListener("click", () => act(button));
  const item = element("li");
  item.append(button);
  seen.observe(shown);
  return item;
}

function who(image) {
  const lines = [];
  if (image.identity !== null) lines.push(element("span", `identity ${image.identity}`));
  if (image.camera !== null) {
    lines.push(element("span", `camera ${image.camera}`));
    offer(String(image.camera));
  }
  return lines;
}

// --- the query --------------------------------------------------------------------------------

function choose(next, url, name) {
  query = next;
  const image = get("asked").querySelector("img");
  if (image.src.startsWith("blob:") && image.dataset.own) URL.revokeObjectURL(image.src);
  image.dataset.own = next.file ? "1" : "";
  image.src = url;
  get("asked").querySelector("figcaption").textContent = name;
  get("asked").hidden = false;
  search();
}

function chooseFile(file) {
  if (file.size > LARGEST) {
    say(`${file.name} has more than ${LARGEST / 2 ** 20} MiB.`, true);
    return;
  }
  choose({ file }, URL.createObjectURL(file), file.name);
}

async function chooseRow(image) {
  try {
    choose({ row: image.row }, await picture(image.row), image.path);
  } catch (error) {
    say(error.message, true);
  }
}

get("file").addEventListener("change", ({ target }) => {
  if (target.files.length) chooseFile(target.files[0]);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, event => {
    event.preventDefault();
    get("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) chooseFile(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData.files.length) chooseFile(clipboardData.files[0]);
});

get("browse").addEventListener("click", ({ target }) => {
  const show = get("gallery").hidden;
  get("gallery").hidden = !show;
  target.setAttribute("aria-expanded", show);
  if (show && !browsed.children.length) more();
});
get("more").addEventListener("click", more);

async function more() {
  const start = browsed.children.length;
  try {
    const words = new URLSearchParams({ start, top: STEP, where: filter() });
    const { images, count } = await (await ask(`api/images?${words}`)).json();
    browsed.append(...images.map(image => tile(image, who(image), () => chooseRow(image))));
    get("more").hidden = browsed.children.length >= count;
    get("browsed").textContent = `${browsed.children.length} of ${count} shown`;
    // The keyboard goes on at the first of the new ones.
    if (start) browsed.children[start]?.firstChild.focus();
  } catch (error) {
    get("browsed").textContent = error.message;
  }
}

// --- the search -------------------------------------------------------------------------------

function filter() {
  const parts = [];
  if (get("where").value.trim()) parts.push(get("where").value);
  const camera = get("camera").value.trim();
  if (camera) parts.push(`camera == ${columns.camera === "text" ? JSON.stringify(camera) : camera}`);
  return parts.length > 1 ? `(${parts[0]}) and ${parts[1]}` : parts.join("");
}

function form(target) {
  const fields = new FormData();
  if (target.file) fields.append("image", target.file);
  else fields.append("row", target.row);
  return fields;
}

function say(text, isWrong = false) {
  get("status").textContent = text;
  get("status").classList.toggle("wrong", isWrong);
}

async function search() {
  if (!query) {
    say("Choose an image first.", true);
    get("file").focus();
    return;
  }
  const mine = ++turn, body = form(query);
  body.append("top", get("top").value);
  if (filter()) body.append("where", filter());
  say("Searching …");
  found.setAttribute("aria-busy", "true");
  try {
    const answer = await (await ask("api/search", { method: "POST", body })).json();
    if (mine === turn) show(answer.results, answer.warnings);
  } catch (error) {
    if (mine !== turn) return;
    found.replaceChildren();
    say(error.message, true);
  } finally {
    if (mine === turn) found.removeAttribute("aria-busy");
  }
}

// Four digits, at most four of them decimals: an image embedded anew is some 1e-7 from itself.
function digits(value) {
  return Math.abs(value) < 1 ? value.toFixed(4) : value.toPrecision(4);
}

function show(results, warnings) {
  found.replaceChildren(...results.map(result => {
    const lines = [element("span", `rank ${result.rank}`),
      element("span", `distance ${digits(result.distance)}`)];
    if (result.decision !== null) {
      const text = `${SIGNS[result.decision]} ${result.decision}`;
      lines.push(element("span", text, { className: "decision" }));
    }
    const item = tile(result, [...lines, ...who(result)], () => explain(result));
    item.firstChild.setAttribute("aria-haspopup", "dialog");
    item.classList.add(result.decision ?? "undecided");
    return item;
  }));
  const same = results.filter(result => result.decision === "same").length;
  const decided = results.some(result => result.decision !== null);
  say(results.length
    ? `${results.length} results${decided ? `, ${same} of the same person` : ""}. `
      + "Choose one to see what made it match."
    : "No image of the gallery fits the filters.");
  for (const warning of warnings) get("status").append(element("br"), `Beware: ${warning}.`);
}

get("query").addEventListener("submit", event => {
  event.preventDefault();
  search();
});
for (const id of ["camera", "where"]) {
  get(id).addEventListener("change", () => {
    browsed.replaceChildren();
    if (!get("gallery").hidden) more();
    if (id === "camera" && query) search();
  });
}

// --- the explanation of a pair ----------------------------------------------------------------

async function explain(result) {
  opened = result;
  const place = get("pair").querySelector("div"), body = form(query);
  place.replaceChildren();
  get("pair-status").classList.remove("wrong");
  get("pair-status").textContent = "Looking …";
  get("pair").showModal();
  try {
    const pair = await (await ask(`api/explain?result=${result.row}`, { method: "POST", body })).json();
    if (opened !== result) return;
    get("pair-status").textContent = `Rank ${result.rank}: ${result.path}, `
      + `distance ${digits(pair.distance)}, cosine ${digits(pair.cosine)}`;
    place.append(table(pair));
  } catch (error) {
    if (opened !== result) return;
    get("pair-status").classList.add("wrong");
    get("pair-status").textContent = error.message;
  }
}

function table(pair) {
  const made = element("table"), head = made.createTHead().insertRow();
  head.append(element("td"), ...pair.heads.map(title => element("th", title, { scope: "col" })));
  const body = made.createTBody();
  for (const side of ["query", "result"]) {
    const row = body.insertRow();
    row.append(element("th", side, { scope: "row" }));
    pair[side].forEach((src, number) => {
      const alt = `CAM of the ${side}, ${pair.heads[number]}`;
      row.insertCell().append(element("img", undefined, { src, alt }));
    });
  }
  return made;
}

get("close").addEventListener("click", () => get("pair").close());
get("again").addEventListener("click", () => {
  get("pair").close();
  chooseRow(opened);
  window.scrollTo(0, 0);
});

// What is wider than its box scrolls sideways, and the keyboard has to reach it.
const box = get("pair").querySelector(".scroll");
new ResizeObserver(() => {
  if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  else box.removeAttribute("tabindex");
}).observe(box);

// --- what there is ----------------------------------------------------------------------------

(async () => {
  try {
    const about = await (await ask("api/gallery")).json();
    const rule = about.is_calibrated
      ? "Decisions are those of the model’s calibration."
      : "The model is not calibrated, so distances alone are shown.";
    get("about").textContent = `${about.images.toLocaleString("en")} images. ${rule}`;
    columns = about.columns;
    const named = Object.entries(columns).map(([name, kind]) => `${name} (${kind})`);
    get("columns").textContent = `Columns: ${named.join(", ")}.`;
    get("camera").closest("p").hidden = !("camera" in columns);
  } catch (error) {
    get("about").textContent = error.message;
    get("about").classList.add("wrong");
  }
})();
