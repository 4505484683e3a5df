// Live logs and steps, colours of terminals, buttons that copy. Everything else on our pages works without a script.
"use strict";

const MOST_LINES = 3000;
const COLOUR = /\x1b\[([\d;]*)m/g;
// Other sequences of terminals, then single characters that are neither text nor a tab.
const CONTROL = /\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;
const waiting = new Map(); // lines by their log

for (const log of document.querySelectorAll("[data-stream]")) follow(log);
if (navigator.clipboard) for (const button of document.querySelectorAll("[data-copy]")) offerToCopy(button);

function follow(log) {
  const light = document.getElementById(log.dataset.light || "");
  const steps = document.getElementById(log.dataset.steps || "");
  const say = (text, isOn) => {
    if (light) { light.textContent = text; light.classList.toggle("on", isOn); }
  };
  let source = null, isOver = false;
  const end = (text) => { isOver = true; say(text, false); source.close(); };
  const open = () => {
    source = new EventSource(log.dataset.stream);
    // The server sends the log from its beginning at each connection, hence anew after a break.
    source.addEventListener("begin", () => { waiting.get(log)?.splice(0); log.replaceChildren(); say("live", true); });
    source.addEventListener("line", (event) => append(log, JSON.parse(event.data)));
    source.addEventListener("steps", (event) => { if (steps) steps.innerHTML = JSON.parse(event.data).html; });
    source.addEventListener("problem", (event) => end(JSON.parse(event.data).detail));
    source.addEventListener("end", () => end("ended"));
    source.onerror = () => source.readyState === EventSource.CLOSED ? end("ended") : say("reconnecting …", false);
  };
  // A browser holds six connections to a host in all its tabs: one that nobody looks at lets go of its own.
  const look = () => {
    source?.close();
    if (isOver) return;
    if (document.hidden) say("paused", false); else open();
  };
  document.addEventListener("visibilitychange", look);
  look();
}

// Lines that come in the same moment are laid out together.
function append(log, line) {
  if (!waiting.has(log)) {
    waiting.set(log, []);
    setTimeout(() => flush(log), 30);
  }
  waiting.get(log).push(line);
}

function flush(log) {
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(...waiting.get(log).slice(-MOST_LINES).map(row));
  waiting.delete(log);
  while (log.childNodes.length > MOST_LINES) log.firstChild.remove();
  if (follows) log.scrollTop = log.scrollHeight;
}

function row(line) {
  const made = document.createElement("div");
  const at = document.createElement("time");
  at.dateTime = line.at;
  at.textContent = new Date(line.at).toLocaleTimeString([], { hour12: false });
  if (line.replica) at.title = (line.release ? `release ${line.release}, ` : "") + line.replica;
  made.append(at, ...painted(line.text), "\n");
  return made;
}

// The text with its colours as classes; of a progress bar, how it ended.
function painted(text) {
  const shown = text.replace(/\r+$/, "").split("\r").pop();
  const parts = [];
  let style = [], from = 0;
  for (const found of [...shown.matchAll(COLOUR), { index: shown.length, 0: "", 1: "" }]) {
    const piece = shown.slice(from, found.index).replace(CONTROL, "");
    from = found.index + found[0].length;
    if (piece) parts.push(style.length ? span(piece, style) : piece);
    for (const code of found[1].split(";").map(Number)) style = after(style, code);
  }
  return parts;
}

function after(style, code) {
  if (code === 0) return [];
  if (code === 39) return style.filter((name) => !/^c\d/.test(name));
  if (code === 22) return style.filter((name) => name !== "b" && name !== "d");
  if (code === 1) return [...style, "b"];
  if (code === 2) return [...style, "d"];
  const colour = code >= 30 && code <= 37 ? code - 30 : code >= 90 && code <= 97 ? code - 90 : -1;
  return colour < 0 ? style : [...style.filter((name) => !/^c\d/.test(name)), `c${colour}`];
}

function span(text, style) {
  const made = document.createElement("span");
  made.className = style.join(" ");
  made.textContent = text;
  return made;
}

function offerToCopy(button) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
