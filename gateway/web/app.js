// The demo page: media in, captions and signals out. One call at a time. Everything it shows arrives over the protocol.

import { Captions } from "./captions.js";
import { Meter } from "./meter.js";
import { Overlay } from "./overlay.js";
import { openFile, openMicrophone } from "./sources.js";
import { Summary } from "./summary.js";
import { CameraSource, TalkupClient } from "./talkup-client.js";
import { Timeline } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const STATES = {
  idle: "not connected",
  connecting: "connecting",
  open: "connected",
  reconnecting: "reconnecting",
  suspended: "network cut",
  closed: "call ended",
};

// The shortest length at which an event is drawn.
const MOMENT_MS = 200;

const captions = new Captions({ box: $("captions"), finals: $("finals"), interim: $("interim"), empty: $("empty"), tip: $("tip") });
const timeline = new Timeline($("timeline"), $("events"));
const summary = new Summary($("summary"), { interim: $("interim-delay"), final: $("final-delay"), end: $("end-delay") });
const overlay = new Overlay({ canvas: $("overlay"), video: $("video"), list: $("signals") });
const meter = new Meter($("meter"));
let call = null;
let ticket = null;

function showNotice(message) {
  $("notice").textContent = message;
  $("notice").hidden = !message;
}

async function createSession() {
  const headers = { Authorization: `Bearer ${$("key").value}` };
  const response = await fetch("v1/sessions", { method: "POST", headers });
  const body = await response.json();
  if (!response.ok) throw new Error(body.error.message);
  ticket = body;
  return body;
}

// --- a call ---

class Call {
  client = new TalkupClient({ session: createSession });
  #source;
  #audio;
  #camera;
  #pictures;
  #startedAt = Date.now();
  #picturesBegan;
  #spoken;
  #stopping = false;
  #away = false;
  #waiting = false;
  #happening = new Map();

  async start(open) {
    this.client.on("state", (state) => this.#showState(state));
    this.client.on("error", (error) => showNotice(error.message));
    // The session opens while the browser asks for the microphone; until then the client keeps what is said.
    const source = open((slice) => this.#send(slice), () => void this.stop());
    await Promise.all([this.client.connect(), source.then((opened) => this.#begin(opened))]);
    await this.#audio?.accepted;
  }

  async #begin(source) {
    this.#source = source;
    if (this.#stopping) return source.stop();
    this.#audio = this.client.stream({ format: source.format, kind: "audio", language: $("language").value });
    this.#audio.on("transcript", (segment) => this.#showSegment(segment));
    this.#audio.on("speech", (event) => this.#showSpeechEvent(event));
    this.#audio.on("error", (error) => this.#handleError(error));
    this.#audio.on("flow", ({ failover }) => failover && this.#mark(this.#mediaMs(), "another worker took over"));
    if (source.hasPicture) this.#startPicture();
    await source.start();
    this.#startedAt = Date.now();
    meter.start(source.media);
  }

  get stopping() {
    return this.#stopping;
  }

  // The second click on Stop does not wait for the last captions.
  stopOrLeave() {
    if (this.#stopping) this.client.close();
    else void this.stop();
  }

  async stop() {
    if (this.#stopping) return;
    this.#stopping = true;
    show("finishing");
    // Captions for what was said while disconnected must still arrive.
    this.client.restore();
    meter.stop();
    this.#camera?.stop();
    try {
      await this.#source?.stop();
      const ends = [this.#audio, this.#pictures].filter((stream) => stream && !stream.over).map((stream) => stream.end());
      await Promise.allSettled(ends);
    } finally {
      this.client.close();
      this.#hidePicture();
      showSpeech(false);
      if (call === this) call = null;
      show("idle");
    }
  }

  #send(slice) {
    try {
      if (!this.#audio.over) this.#audio.send(slice);
    } catch (error) {
      showNotice(error.message);
      void this.stop();
    }
  }

  #startPicture() {
    const video = $("video");
    if (this.#source.mirrored) {
      video.srcObject = this.#source.media;
      video.muted = true;
      void video.play();
    }
    $("picture-card").hidden = false;
    video.parentElement.classList.toggle("mirrored", this.#source.mirrored);
    this.#camera = new CameraSource(video, (picture, takenAt) => this.#sendPicture(picture, takenAt));
    this.#pictures = this.client.stream({ format: this.#camera.format, kind: "image", live: true });
    this.#pictures.on("analysis", (result) => this.#showAnalysis(result));
    this.#pictures.on("flow", (flow) => this.#camera.adapt(flow));
    this.#pictures.on("error", (error) => timeline.note(this.#mediaMs(), `picture: ${error.message}`));
    this.#pictures.accepted.then(() => this.#camera.start(), () => undefined);
  }

  #sendPicture(picture, takenAt) {
    if (!this.#pictures.over && this.client.state === "open") this.#pictures.send(picture, takenAt);
  }

  #hidePicture() {
    $("video").srcObject = null;
    $("picture-card").hidden = true;
    overlay.clear();
  }

  // --- results ---

  #mediaMs() {
    return Date.now() - this.#startedAt;
  }

  #showSegment(segment) {
    if (this.#waiting) showNotice("");
    this.#waiting = false;
    captions.show(segment);
    summary.segment(segment, this.#mediaMs());
    $("heard-language").textContent = segment.language;
    $("heard-language").hidden = !segment.language;
    if (segment.is_final) timeline.span("caption", segment.start_ms, segment.end_ms);
    else timeline.reach(segment.end_ms);
  }

  #showSpeechEvent({ event, media_time_ms }) {
    const speaking = event === "speech_started";
    if (!speaking) summary.speechEnded(media_time_ms);
    showSpeech(speaking);
    timeline.note(media_time_ms, speaking ? "speech begins" : "speech ends");
    if (speaking) this.#spoken = timeline.span("spoken", media_time_ms);
    else if (this.#spoken) timeline.close(this.#spoken, media_time_ms);
  }

  #showAnalysis(result) {
    overlay.show(result);
    // The clock of the pictures starts with the first picture, that of the timeline with the sound.
    if (result.captured_at !== null) this.#picturesBegan ??= result.captured_at - result.media_time_ms;
    const offset = (this.#picturesBegan ?? this.#startedAt) - this.#startedAt;
    if (result.window) summary.seen(result.window);
    for (const event of result.events) this.#showEvent(event, offset);
  }

  // The gateway reports an event when it begins, without an end, and again when it is over.
  #showEvent({ type, t0_ms, t1_ms }, offset) {
    const name = `${type} ${t0_ms}`;
    const end = t1_ms === null ? undefined : offset + Math.max(t1_ms, t0_ms + MOMENT_MS);
    const begun = this.#happening.get(name);
    if (!begun) timeline.note(offset + t0_ms, type.replaceAll("_", " "));
    if (!begun) this.#happening.set(name, timeline.span("seen", offset + t0_ms, end));
    else if (end !== undefined) timeline.close(begun, end);
    if (end !== undefined) this.#happening.delete(name);
  }

  #handleError(error) {
    if (error.code === "gap") return timeline.note(this.#mediaMs(), error.message);
    showNotice(error.message);
    if (error.code === "no_worker" && error.retryAfterMs !== undefined) {
      if (!this.#waiting) this.#mark(this.#mediaMs(), "waiting for a worker");
      this.#waiting = true;
      return;
    }
    void this.stop();
  }

  #mark(ms, text) {
    timeline.span("line", ms, ms);
    timeline.note(ms, text);
  }

  #showState(state) {
    $("connection").dataset.state = state;
    $("connection").textContent = STATES[state];
    $("plug").disabled = state !== "open" && state !== "suspended" && state !== "reconnecting";
    $("plug").textContent = state === "suspended" ? "Restore network" : "Cut network";
    if (state === "suspended") this.#mark(this.#mediaMs(), "the network was cut");
    if (state === "reconnecting" || state === "suspended") this.#away = true;
    if (state === "open" && this.#away) {
      this.#away = false;
      summary.resumed();
      this.#mark(this.#mediaMs(), "reconnected");
    }
    if (state === "closed" && !this.#stopping) void this.stop();
  }
}

// --- the page ---

function show(state) {
  $("toggle").dataset.on = state !== "idle";
  $("toggle").textContent = { idle: "Start microphone", live: "Stop", finishing: "Finishing (click to leave now)" }[state];
  for (const id of ["camera", "language", "key", "file"]) $(id).disabled = state !== "idle";
  for (const button of document.querySelectorAll("[data-format]")) button.disabled = !ticket;
}

function showSpeech(speaking) {
  $("speech").dataset.on = speaking;
  $("speech").textContent = speaking ? "speech" : "silence";
}

async function begin(open) {
  if (call) return;
  for (const part of [captions, timeline, summary, overlay]) part.clear();
  showNotice("");
  const begun = (call = new Call());
  show("live");
  if (matchMedia("(max-width: 52rem)").matches) $("captions-title").scrollIntoView();
  try {
    await begun.start(open);
    if (!begun.stopping) show("live");
  } catch (error) {
    showNotice(error.message);
    await begun.stop();
  }
}

const beginFile = (file) => file && begin((onSlice, onEnd) => openFile(file, $("video"), onSlice, onEnd));

async function download(format) {
  const path = `v1/sessions/${encodeURIComponent(ticket.session_id)}/transcript?format=${format}`;
  const response = await fetch(path, { headers: { Authorization: `Bearer ${ticket.token}` } });
  if (!response.ok) return showNotice((await response.json()).error.message);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = `transcript.${format}`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function useTheme(name) {
  document.documentElement.dataset.theme = name;
  $("theme").setAttribute("aria-pressed", String(name === "dark"));
}

$("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  if (call) call.stopOrLeave();
  else void begin((onSlice, onEnd) => openMicrophone($("camera").checked, onSlice, onEnd));
});
$("file").addEventListener("change", () => {
  void beginFile($("file").files[0]);
  $("file").value = "";
});
$("plug").addEventListener("click", () => {
  if (call?.client.state === "suspended") call.client.restore();
  else call?.client.suspend();
});
$("theme").addEventListener("click", () => {
  const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", name);
  useTheme(name);
});
for (const button of document.querySelectorAll("[data-format]")) {
  button.addEventListener("click", () => void download(button.dataset.format));
}
for (const [name, dropping] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", dropping);
    if (name === "drop") void beginFile(event.dataTransfer.files[0]);
  });
}
if (["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) $("key").value = "dev-key";
useTheme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
show("idle");
