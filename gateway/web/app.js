// The demo page: its controls, and the parts that a call writes to. One call at a time.

import { Call } from "./call.js";
import { Captions } from "./captions.js";
import { DeliveryStrip } from "./delivery.js";
import { fillLanguages } from "./languages.js";
import { Meter } from "./meter.js";
import { Overlay } from "./overlay.js";
import { explain } from "./problems.js";
import { Progress } from "./progress.js";
import { openRecording } from "./recording.js";
import { listMicrophones, openMicrophone } from "./sources.js";
import { StateLine } from "./state.js";
import { followReportLanguage, openReport, saveReport, saveTranscript } from "./stored.js";
import { Summary } from "./summary.js";
import { TalkupError } from "./talkup-client.js";
import { followTheme } from "./theme.js";
import { shortClock, Timeline } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const CONNECTION = {
  idle: "not connected",
  connecting: "connecting",
  open: "connected",
  reconnecting: "reconnecting",
  suspended: "connection dropped",
  closed: "stopped",
};
const INVITATION = "Start the microphone, or drop a recording anywhere on this page. Interim text is grey; it turns black when it is final.";
const LABELS = { idle: "Start microphone", live: "Stop", finishing: "Finishing… Stop now" };
const COPIED_MS = 2000;

let call = null;
let ticket = null;
let repeat = () => undefined;

const page = {
  video: $("video"),
  captions: new Captions({ box: $("captions"), finals: $("finals"), interim: $("interim"), empty: $("empty"), tip: $("tip") }),
  timeline: new Timeline($("timeline"), $("events")),
  summary: new Summary({
    place: $("summary"),
    counts: $("counts"),
    delays: { interim: $("interim-delay"), final: $("final-delay"), end: $("end-delay") },
  }),
  overlay: new Overlay({ canvas: $("overlay"), video: $("video"), list: $("signals"), angles: $("angles") }),
  delivery: new DeliveryStrip($("delivery-card")),
  meter: new Meter($("meter")),
  state: new StateLine($("state")),
  progress: new Progress($("progress")),

  // A sentence above the captions; `label` and `action` are those of its button.
  tell(text, label, action) {
    $("notice").hidden = !text;
    $("notice-text").textContent = text;
    $("notice-action").hidden = !label;
    $("notice-action").textContent = label ?? "";
    $("notice-action").onclick = () => {
      page.tell("");
      $("toggle").focus();
      action();
    };
  },

  complain(error) {
    const { text, action } = explain(error);
    page.tell(text, action, action === "Enter the API key" ? enterKey : () => repeat());
    if (!call) page.captions.explain(INVITATION);
  },

  show(phase) {
    $("toggle").dataset.on = phase !== "idle";
    $("toggle").textContent = LABELS[phase];
    for (const id of ["microphone", "camera", "delivery", "as-live", "language", "key", "file"]) $(id).disabled = phase !== "idle";
    for (const id of ["copy", "clear", "download"]) $(id).disabled = !ticket;
    for (const id of ["report", "report-json"]) $(id).disabled = !ticket || phase !== "idle";
    if (phase === "finishing") page.state.note({ phase });
  },

  showSpeech(speaking, paused = false) {
    $("speech").dataset.on = speaking && !paused;
    $("speech").textContent = paused ? "paused" : speaking ? "speech" : "silence";
  },

  showLanguage(name) {
    $("heard-language").textContent = name;
    $("heard-language").hidden = !name;
  },

  showPicture(shown) {
    $("picture-card").hidden = !shown;
    $("latest-event").textContent = "";
  },

  showLatest(text) {
    $("latest-event").textContent = text;
  },

  showConnection(state) {
    $("connection").dataset.state = state;
    $("connection").textContent = CONNECTION[state];
    $("plug").disabled = state !== "open" && state !== "suspended" && state !== "reconnecting";
    $("plug").textContent = state === "suspended" ? "Restore the connection" : "Simulate a dropped connection";
  },

  ended(over) {
    if (call !== over) return;
    showElapsed();
    call = null;
    page.state.note({ phase: "stopped" });
    page.captions.explain($("notice").hidden ? "No words were heard." : INVITATION);
    page.show("idle");
  },
};

// --- a call ---

async function createSession() {
  const headers = { Authorization: `Bearer ${$("key").value}` };
  const response = await fetch("v1/sessions", { method: "POST", headers }).catch(() => {
    throw new TalkupError("unreachable", "the gateway does not answer", { retryable: true });
  });
  const body = await response.json();
  if (!response.ok) {
    const waitS = Number(response.headers.get("Retry-After"));
    throw new TalkupError(body.error.code, body.error.message, { retryAfterMs: waitS ? 1000 * waitS : undefined });
  }
  ticket = body;
  return body;
}

async function begin(open, file) {
  if (call) return;
  repeat = () => begin(open, file);
  ticket = null;
  clear($("camera").checked && !file);
  page.tell("");
  page.showLanguage("");
  page.captions.explain("");
  const mode = file && !$("as-live").checked ? "file" : "live";
  const options = { language: $("language").value, delivery: $("delivery").checked, mode, file };
  const begun = (call = new Call(page, createSession, options));
  for (const id of ["speech", "meter"]) $(id).hidden = Boolean(file);
  page.show("live");
  showElapsed();
  if (matchMedia("(max-width: 44rem)").matches) $("captions-title").scrollIntoView();
  try {
    await begun.start(open);
    if (!begun.stopping) page.show("live");
  } catch (error) {
    if (!begun.stopping || $("notice").hidden) page.complain(error);
    await begun.stop();
  }
  void fillMicrophones();
}

function beginMicrophone() {
  const wanted = { deviceId: $("microphone").value, withCamera: $("camera").checked };
  void begin((listeners) => openMicrophone(wanted, listeners));
}

function beginFile(file) {
  if (file && call) return page.tell("Stop first: the page transcribes one recording at a time.");
  if (file?.size === 0) return page.tell(`${file.name} is empty: choose another recording.`);
  if (file) void begin(() => openRecording(file, page.video), file.name);
}

function showElapsed() {
  if (call) $("elapsed").textContent = shortClock(call.elapsedMs);
}

// Names of microphones are secret until the page has the permission.
async function fillMicrophones() {
  const chosen = $("microphone").value;
  const options = (await listMicrophones()).filter(({ deviceId }) => deviceId !== "default");
  $("microphone").replaceChildren(new Option("Default microphone", ""), ...options.map(({ label, deviceId }) => new Option(label, deviceId)));
  $("microphone").value = options.some(({ deviceId }) => deviceId === chosen) ? chosen : "";
}

function showDelivery() {
  $("delivery-card").hidden = !$("delivery").checked;
}

function enterKey() {
  $("developer").open = $("developer").contains($("key")) || $("developer").open;
  $("key").focus();
}

// --- the transcript ---

function clear(camera = $("camera").checked) {
  for (const part of [page.captions, page.delivery, page.timeline, page.summary, page.overlay]) part.clear();
  page.summary.begin({ delivery: $("delivery").checked, camera });
}

async function copy() {
  try {
    await navigator.clipboard.writeText(page.captions.text);
    $("copy").textContent = "Copied";
    setTimeout(() => ($("copy").textContent = "Copy"), COPIED_MS);
  } catch {
    page.tell("The browser does not let this page use the clipboard: select the text, or download it.");
  }
}

// Does something with what is stored; says what went wrong.
async function attempt(work) {
  try {
    await work();
  } catch (error) {
    page.tell(explain(error).text, "Try again", () => void attempt(work));
  }
}

// --- the controls ---

$("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  if (call) call.stopOrLeave();
  else beginMicrophone();
});
$("file").addEventListener("change", () => {
  beginFile($("file").files[0]);
  $("file").value = "";
});
$("plug").addEventListener("click", () => {
  if (call?.client.state === "suspended") call.client.restore();
  else call?.client.suspend();
});
$("copy").addEventListener("click", () => void copy());
$("download").addEventListener("click", () => void attempt(() => saveTranscript(ticket, $("format").value)));
$("report").addEventListener("click", () => void attempt(() => openReport(ticket, $("report-language").value)));
$("report-json").addEventListener("click", () => void attempt(() => saveReport(ticket)));
$("delivery").addEventListener("change", () => {
  localStorage.setItem("delivery", $("delivery").checked ? "on" : "off");
  showDelivery();
});
$("clear").addEventListener("click", () => {
  clear();
  if (call) return;
  ticket = null;
  page.state.note({ phase: "idle" });
  page.captions.explain(INVITATION);
  page.show("idle");
});
for (const [name, dropping] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", dropping);
    if (name === "drop") beginFile(event.dataTransfer.files[0]);
  });
}
for (const name of ["pointerdown", "pointerup", "keydown"]) document.addEventListener(name, () => call?.wake());
document.addEventListener("visibilitychange", () => document.hidden || call?.wake());
navigator.mediaDevices?.addEventListener?.("devicechange", () => void fillMicrophones());
setInterval(() => call && !call.stopping && showElapsed(), 250);

// On this machine the page knows the development key: nobody needs to enter it.
if (["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) {
  $("key").value = "dev-key";
  $("tools").prepend($("key-field"));
}
fillLanguages($("language"));
followTheme($("theme"));
followReportLanguage($("report-language"));
$("delivery").checked = localStorage.getItem("delivery") !== "off";
showDelivery();
clear();
page.captions.explain(INVITATION);
page.show("idle");
void fillMicrophones();
