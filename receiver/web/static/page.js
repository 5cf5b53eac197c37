// Makes the pages live and quick: parts marked data-live follow the server, keys move, the recording and the words go
// together. Without this file everything works, and stands still.
"use strict";

const EVERY = 1000; // milliseconds between two looks
const SLOWEST = 15000; // where the server does not answer, or the stream tells of everything that is shown

// Live parts: the page is fetched as it stands; what is the same on the server costs one short answer. The stream of events
// says when. Parts marked data-live="second" show what makes no event (refusals, states of deliveries) and are looked at
// every second; so is everything while the stream cannot be had.

let tag = null;
let failed = EVERY; // milliseconds after a look that failed
let timer = null;
let looking = false;
let due = false; // something happened during a look
let stream = null; // ends the reading of the stream
let told = false; // the stream is open

function follow() {
  if (document.hidden || !document.querySelector("[data-live]")) {
    stream?.abort();
    soon(EVERY);
    return;
  }
  if (!stream) listen();
  looking = true;
  due = false;
  look().then(
    () => { failed = EVERY; shown(true); return told && !document.querySelector('[data-live="second"]') ? SLOWEST : EVERY; },
    () => { failed = Math.min(failed * 2, SLOWEST); shown(false); return failed; },
  ).then((wait) => { looking = false; soon(due ? 0 : wait); });
}

function soon(wait) {
  clearTimeout(timer);
  timer = setTimeout(follow, wait);
}

function happened() {
  due = true;
  if (!looking) soon(0);
}

// One connection for a page that is seen; a hidden one has none, because browsers allow few to a server.
async function listen() {
  stream = new AbortController();
  try {
    const answer = await fetch(`${document.documentElement.dataset.root}/api/v1/stream`, { signal: stream.signal, cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    told = true;
    happened(); // what came before it was open
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (part.value.includes("data:")) happened();
    }
  } catch {
    // looked at every second until it can be had again
  }
  told = false;
  setTimeout(() => { stream = null; }, 5 * EVERY);
}

addEventListener("visibilitychange", () => { if (!document.hidden) happened(); });

async function look() {
  const headers = { accept: "text/html" };
  if (tag) headers["if-none-match"] = tag;
  const answer = await fetch(location.href, { headers, redirect: "error", cache: "no-store" });
  if (answer.status === 304) return;
  if (!answer.ok) throw new Error(String(answer.status));
  tag = answer.headers.get("etag");
  replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
}

function replace(fresh) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(part.id);
    if (!other || other.innerHTML === part.innerHTML || held(part)) continue;
    const at = document.activeElement;
    const href = part.contains(at) ? at.getAttribute("href") : null;
    part.replaceChildren(...other.childNodes);
    if (href) part.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus();
  }
}

// What somebody types into, has marked or has opened is not taken from under the hand.
function held(part) {
  const at = document.activeElement;
  const typing = part.contains(at) && /^(INPUT|SELECT|TEXTAREA|BUTTON)$/.test(at.tagName);
  const chosen = getSelection();
  const marking = chosen && !chosen.isCollapsed && part.contains(chosen.anchorNode);
  const playing = [...part.querySelectorAll("audio")].some((one) => !one.paused);
  return typing || marking || playing || part.querySelector("details[open]") !== null;
}

function shown(live) {
  const sign = document.getElementById("live");
  if (sign) sign.hidden = !live;
}

// Keys: / searches, j and k go from row to row, g and a letter go to a page.

const PAGES = { o: "/", r: "/receipts", q: "/quarantine", c: "/calls", t: "/transcripts", d: "/deliveries", b: "/jobs" };
let going = false;

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (going && PAGES[event.key]) {
    location.href = document.documentElement.dataset.root + PAGES[event.key];
  } else if (event.key === "/") {
    document.getElementById("find")?.focus();
    event.preventDefault();
  } else if (event.key === "j" || event.key === "k") {
    step(event.key === "j" ? 1 : -1);
  }
  going = event.key === "g";
});

function step(by) {
  const links = [...document.querySelectorAll(".rows tbody th a, .rows .hit, .turn .at")];
  const at = links.indexOf(document.activeElement);
  links[Math.max(0, Math.min(links.length - 1, at + by))]?.focus();
}

// The recording: the playing turn and word are marked, the plot and the times jump in it.

const recording = document.getElementById("recording");

function within(element, time) {
  const start = Number(element.dataset.start ?? NaN);
  const end = Number(element.dataset.end ?? NaN);
  return start <= time && time < end;
}

if (recording) {
  const timed = [...document.querySelectorAll(".turn[data-start], .word[data-start]")];
  const head = document.getElementById("playhead");
  const line = document.getElementById("timeline");
  recording.addEventListener("timeupdate", () => {
    const time = recording.currentTime;
    for (const one of timed) one.classList.toggle("playing", within(one, time));
    if (!head || !line) return;
    const x = `${Math.min(100, (100 * time) / Number(line.dataset.duration))}%`;
    head.setAttribute("x1", x);
    head.setAttribute("x2", x);
    head.setAttribute("visibility", "visible");
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href*="#turn-"]');
    const turn = link && document.getElementById(new URL(link.href.baseVal ?? link.href, location.href).hash.slice(1));
    const start = Number(turn?.dataset.start ?? NaN);
    if (!Number.isNaN(start)) recording.currentTime = start;
  });
}

// A page that says what was just done does not say it again when it is loaded anew.
if (new URLSearchParams(location.search).has("done")) {
  const bare = new URL(location.href);
  bare.searchParams.delete("done");
  bare.searchParams.delete("n");
  history.replaceState(null, "", bare);
}

follow();
