// What a call's page can do with script: the cursor follows the recording, times are jumped to, live calls move.
// Without it the page is whole: times are links into the recording, and a reload shows a live call as it stands.
"use strict";

const story = document.getElementById("story");

function timeline() {
  const svg = document.getElementById("timeline");
  return svg && { svg, left: +svg.dataset.left, start: +svg.dataset.start, end: +svg.dataset.end, scale: +svg.dataset.scale };
}

function show(ms, follow) {
  const line = timeline(), cursor = document.getElementById("cursor"), scroller = document.getElementById("scroller");
  if (!line || !cursor) return;
  const x = line.left + (ms - line.start) * line.scale;
  cursor.setAttribute("x1", x);
  cursor.setAttribute("x2", x);
  if (scroller.getAttribute("role") === "slider") {
    scroller.setAttribute("aria-valuenow", (ms / 1000).toFixed(1));
    scroller.setAttribute("aria-valuetext", (ms / 1000).toFixed(1) + " seconds");
  }
  const now = document.getElementById("now");
  if (now) now.textContent = (ms / 1000).toFixed(1) + " s";
  if (follow && (x < scroller.scrollLeft || x > scroller.scrollLeft + scroller.clientWidth - 40)) {
    scroller.scrollLeft = Math.max(0, x - 80);
  }
}

let position = 0; // ms, also where there is no recording

function jump(ms) {
  const line = timeline(), audio = document.getElementById("audio");
  if (!line) return;
  position = Math.min(Math.max(ms, line.start), line.end);
  if (audio) audio.currentTime = Math.max(0, position / 1000);
  show(position, true);
}

function begin() {
  const line = timeline(), scroller = document.getElementById("scroller"), audio = document.getElementById("audio");
  if (!line) return;
  scroller.setAttribute("role", "slider");
  scroller.setAttribute("aria-valuemin", line.start / 1000);
  scroller.setAttribute("aria-valuemax", line.end / 1000);
  if (audio) {
    audio.addEventListener("timeupdate", () => { position = audio.currentTime * 1000; show(position, !audio.paused); });
  }
  show(position, false);
}

document.addEventListener("click", (event) => {
  const at = event.target.closest("[data-ms]"), svg = event.target.closest("#timeline"), line = timeline();
  if (at && at.closest("#story") && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    jump(+at.dataset.ms);
  } else if (svg && line) {
    jump(line.start + (event.clientX - svg.getBoundingClientRect().left - line.left) / line.scale);
  }
});

const STEPS = { ArrowLeft: -1000, ArrowRight: 1000, PageDown: -10000, PageUp: 10000 };

document.addEventListener("keydown", (event) => {
  const audio = document.getElementById("audio"), line = timeline();
  if (event.target.id !== "scroller" || !line || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key in STEPS) jump(position + STEPS[event.key] * (event.shiftKey ? 10 : 1));
  else if (event.key === "Home") jump(line.start);
  else if (event.key === "End") jump(line.end);
  else if (event.key === " " && audio) audio.paused ? audio.play() : audio.pause();
  else return;
  event.preventDefault();
});

function redraw(html) {
  const scroller = document.getElementById("scroller"), open = [...story.querySelectorAll("details")].map((one) => one.open);
  const kept = scroller ? scroller.scrollLeft : 0, atEnd = scroller && kept + scroller.clientWidth >= scroller.scrollWidth - 4;
  const focused = document.activeElement === scroller;
  story.innerHTML = html;
  story.querySelectorAll("details").forEach((one, number) => { one.open = open[number] || one.open; });
  begin();
  const fresh = document.getElementById("scroller");
  if (!fresh) return;
  fresh.scrollLeft = atEnd ? fresh.scrollWidth : kept;
  if (focused) fresh.focus({ preventScroll: true });
}

if (story) {
  begin();
  if (story.dataset.events) {
    const source = new EventSource(story.dataset.events);
    source.addEventListener("story", (event) => redraw(event.data));
    source.addEventListener("over", () => { source.close(); location.reload(); });
  }
}
