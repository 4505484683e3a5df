// Live logs and steps. Everything else on our pages works without a script.
"use strict";

const MOST_LINES = 3000;

for (const log of document.querySelectorAll("[data-stream]")) follow(log);

function follow(log) {
  const light = document.getElementById(log.dataset.light || "");
  const steps = document.getElementById(log.dataset.steps || "");
  const source = new EventSource(log.dataset.stream);
  const say = (text, isOn) => {
    if (light) { light.textContent = text; light.classList.toggle("on", isOn); }
  };
  // The server sends the log from its beginning at each connection, hence anew after a break.
  source.addEventListener("begin", () => { log.replaceChildren(); say("live", true); });
  source.addEventListener("line", (event) => append(log, JSON.parse(event.data)));
  source.addEventListener("steps", (event) => { if (steps) steps.innerHTML = JSON.parse(event.data).html; });
  source.addEventListener("problem", (event) => { say(JSON.parse(event.data).detail, false); source.close(); });
  source.addEventListener("end", () => { say("ended", false); source.close(); });
  source.onerror = () => say(source.readyState === EventSource.CLOSED ? "ended" : "reconnecting …", false);
}

function append(log, line) {
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const at = document.createElement("time");
  at.dateTime = line.at;
  at.textContent = new Date(line.at).toLocaleTimeString([], { hour12: false });
  log.append(at, line.text, "\n");
  while (log.childNodes.length > MOST_LINES * 3) log.firstChild.remove();
  if (follows) log.scrollTop = log.scrollHeight;
}
