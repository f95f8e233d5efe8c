// One call, from a source to captions and signals. `page` holds the parts of the page that it writes to.

import { nameOfEvent } from "./delivery.js";
import { FileCamera } from "./frames.js";
import { nameOf } from "./languages.js";
import { damageOf } from "./problems.js";
import { requestCamera } from "./sources.js";
import { CameraSource, TalkupClient } from "./talkup-client.js";
import { shortClock } from "./timeline.js";

// The shortest length at which an event is drawn.
const MOMENT_MS = 200;
const WORKER_POLL_MS = 1000;
// Speech that is kept while no worker is ready: eight minutes of samples.
const MAX_EARLY_BYTES = 15 * 1024 * 1024;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Call {
  client;
  #page;
  #options;
  #source;
  #audio;
  #early = [];
  #earlyBytes = 0;
  #camera;
  #pictures;
  #startedAt = Date.now();
  #picturesBegan;
  #spoken;
  #speaking = false;
  #stopping = false;
  #leaving = false;
  #away = false;
  #happening = new Map();
  #captioned = 0;

  /** `options`: `language`, `mode` of the stream, `delivery`, whether to measure it, and `file`, a recording's name. */
  constructor(page, session, options) {
    [this.#page, this.#options] = [page, options];
    this.client = new TalkupClient({ session });
  }

  get stopping() {
    return this.#stopping;
  }

  get elapsedMs() {
    return Date.now() - this.#startedAt;
  }

  /** Resolves when captions may come, for a recording when all of them have. Rejects with what went wrong. */
  async start(open) {
    this.#page.state.begin({ file: this.#options.file ?? "" });
    this.client.on("state", (state) => this.#showConnection(state));
    this.client.on("error", (error) => this.#handleError(error));
    const source = open({
      onSlice: (slice) => this.#send(slice),
      onEnd: () => this.#endOfMicrophone(),
      onSound: (state) => this.#showSound(state),
      onCameraProblem: (problem) => this.#goOnWithoutCamera(problem),
    });
    // The session opens while the browser asks for the microphone. What is said before a worker is ready is kept.
    const served = this.client.connect().then(() => this.#untilServed());
    await Promise.all([served, source.then((opened) => this.#capture(opened))]);
    if (this.#stopping) return;
    this.#openStream();
    if (this.#source.hasPicture) this.#startPicture();
    if (this.#options.file) await this.#transcribe();
    else await this.#audio.accepted;
  }

  async #capture(source) {
    this.#source = source;
    if (this.#stopping) return source.stop();
    this.#startedAt = Date.now();
    source.start();
    this.#page.state.note({ opened: true });
    if (source.media) this.#page.meter.start(source.media);
  }

  // Resolves once a speech worker serves: a stream that begins earlier would be refused.
  async #untilServed() {
    while (!this.#stopping) {
      const status = await this.client.status().catch(() => undefined);
      const speech = status?.services.find(({ service }) => service === "stt");
      if (status && (!speech || speech.workers_serving > 0)) break;
      if (status) this.#page.state.note({ waiting: "worker" });
      await pause(WORKER_POLL_MS);
    }
    this.#page.state.note({ waiting: "" });
  }

  #openStream() {
    const { language, mode, delivery } = this.#options;
    const services = delivery ? ["stt", "delivery"] : ["stt"];
    this.#audio = this.client.stream({ format: this.#source.format, kind: "audio", language, mode, services });
    this.#audio.on("transcript", (segment) => this.#showSegment(segment));
    this.#audio.on("analysis", (result) => this.#showDelivery(result));
    this.#audio.on("speech", (event) => this.#showSpeechEvent(event));
    this.#audio.on("error", (error) => this.#handleStreamError(error));
    this.#audio.on("flow", ({ failover }) => failover && this.#mark(this.elapsedMs, "another worker took over"));
    if (this.#options.file) this.#audio.on("acknowledge", ({ committed }) => this.#progress(this.#source.share(committed)));
    this.#audio.accepted.then(() => this.#page.state.note({ waiting: "" }), () => undefined);
    for (const slice of this.#early.splice(0)) this.#send(slice);
  }

  // --- the end ---

  // The second click on Stop does not wait for the last captions.
  stopOrLeave() {
    if (!this.#stopping) return void this.stop();
    this.#leaving = true;
    this.client.close();
  }

  async stop() {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#page.show("finishing");
    // Captions for what was said while disconnected must still arrive.
    this.client.restore();
    this.#page.meter.stop();
    this.#camera?.stop();
    try {
      await this.#source?.stop();
      // Captions for what was said while no worker was ready must still arrive.
      if (!this.#audio && this.#early.length > 0 && this.client.state !== "closed") this.#openStream();
      const ends = [this.#audio, this.#pictures].filter((stream) => stream && !stream.over).map((stream) => stream.end());
      await Promise.allSettled(ends);
    } finally {
      this.client.close();
      this.#hidePicture();
      this.#page.progress.stop();
      this.#page.showSpeech(false);
      this.#page.ended(this);
    }
  }

  #endOfMicrophone() {
    if (!this.#stopping) this.#page.tell("The microphone was disconnected, or the browser revoked the permission.");
    void this.stop();
  }

  // --- sound ---

  /** A tap, a key or a return to the page: now the browser lets sound through again. */
  wake() {
    if (this.#stopping) return;
    this.#source?.resume();
    this.#page.meter.resume();
  }

  #showSound(sound) {
    if (this.#stopping) return;
    this.#page.state.note({ sound });
    this.#page.showSpeech(this.#speaking, sound !== "running");
  }

  #send(slice) {
    try {
      if (!this.#audio) this.#keep(slice);
      else if (!this.#audio.over) this.#audio.send(slice);
    } catch (error) {
      this.#page.complain(error);
      void this.stop();
    }
  }

  #keep(slice) {
    this.#early.push(slice);
    this.#earlyBytes += slice.byteLength;
    if (this.#earlyBytes < MAX_EARLY_BYTES) return;
    this.#page.complain({ code: "no_worker" });
    void this.stop();
  }

  // --- a recording ---

  // Captions and pictures must both be finished.
  #progress(captioned = 0) {
    if (captioned > this.#captioned) this.#captioned = captioned;
    this.#page.progress.reach(Math.min(this.#captioned, this.#camera?.share ?? 1));
  }

  async #transcribe() {
    this.#page.progress.start();
    await this.#source.send(this.#audio);
    if (!this.#stopping) {
      const [totals] = await Promise.all([this.#audio.end(), this.#camera?.done]);
      const damage = damageOf(totals);
      if (damage && !this.#stopping) this.#page.tell(damage);
    }
    await this.stop();
  }

  // --- pictures ---

  #startPicture() {
    const { video } = this.#page;
    const { mirrored, media } = this.#source;
    if (mirrored) {
      video.srcObject = media;
      video.muted = true;
      void video.play();
    }
    this.#page.showPicture(true);
    video.parentElement.classList.toggle("mirrored", mirrored);
    const Camera = this.#options.file ? FileCamera : CameraSource;
    const camera = (this.#camera = new Camera(video, (picture, takenAt) => this.#sendPicture(picture, takenAt)));
    this.#pictures = this.client.stream({ format: camera.format, kind: "image", live: true });
    this.#pictures.on("analysis", (result) => this.#showAnalysis(result));
    this.#pictures.on("flow", (flow) => camera.adapt(flow));
    this.#pictures.on("error", (error) => {
      this.#noteEvent(this.elapsedMs, `No signals: ${error.message}`);
      if (this.#options.file) camera.stop();
    });
    this.#pictures.ended.then(() => camera.stop(), () => camera.stop());
    this.#pictures.accepted.then(() => this.#stopping || camera.start(), () => undefined);
  }

  #sendPicture(picture, takenAt) {
    if (!this.#pictures.over && this.client.state === "open") this.#pictures.send(picture, takenAt);
  }

  #hidePicture() {
    const { video, overlay } = this.#page;
    video.srcObject = null;
    this.#page.showPicture(false);
    overlay.clear();
  }

  #goOnWithoutCamera(problem) {
    if (this.#stopping) return;
    this.#camera?.stop();
    if (this.#pictures && !this.#pictures.over) void this.#pictures.end().catch(() => undefined);
    this.#hidePicture();
    this.#page.tell(`${problem.message} Captions continue with audio only.`, "Try the camera again", () => void this.#retryCamera());
  }

  async #retryCamera() {
    try {
      const [track] = (await requestCamera()).getVideoTracks();
      if (this.#stopping) return track.stop();
      for (const old of this.#source.media.getVideoTracks()) this.#source.media.removeTrack(old);
      this.#source.media.addTrack(track);
      this.#startPicture();
    } catch (problem) {
      this.#goOnWithoutCamera(problem);
    }
  }

  // --- results ---

  #showSegment(segment) {
    const { captions, summary, timeline, state } = this.#page;
    if (state.facts.waiting) state.note({ waiting: "" });
    captions.show(segment);
    // A recording is sent faster than it was spoken: its captions have no delay.
    summary.segment(segment, this.#options.file ? undefined : this.elapsedMs);
    this.#page.showLanguage(segment.language && nameOf(segment.language));
    if (this.#options.file) this.#progress(segment.end_ms / this.#source.durationMs);
    if (segment.is_final) timeline.span("caption", segment.start_ms, segment.end_ms);
    else timeline.reach(segment.end_ms);
  }

  #showSpeechEvent({ event, media_time_ms }) {
    const { summary, timeline, state } = this.#page;
    this.#speaking = event === "speech_started";
    if (!this.#speaking && !this.#options.file) summary.speechEnded(media_time_ms);
    this.#page.showSpeech(this.#speaking, state.facts.sound !== "running");
    timeline.note(media_time_ms, this.#speaking ? "speech begins" : "speech ends");
    if (this.#speaking) this.#spoken = timeline.span("spoken", media_time_ms);
    else if (this.#spoken) timeline.close(this.#spoken, media_time_ms);
  }

  #showAnalysis(result) {
    const { overlay, summary } = this.#page;
    overlay.show(result);
    this.#camera.analysed?.();
    if (this.#options.file) this.#progress();
    // The clock of the pictures starts with the first picture, that of the timeline with the sound.
    if (result.captured_at !== null) this.#picturesBegan ??= result.captured_at - result.media_time_ms;
    const offset = this.#options.file ? 0 : (this.#picturesBegan ?? this.#startedAt) - this.#startedAt;
    if (result.window) summary.seen(result.window);
    for (const event of result.events) {
      if (this.#showEvent("seen", event, offset)) this.#noteEvent(offset + event.t0_ms, event.type.replaceAll("_", " "));
    }
  }

  #showDelivery({ delivery, events }) {
    const { summary, timeline } = this.#page;
    if (delivery.frame) this.#page.delivery.show(delivery.frame, shortClock(delivery.frame.t1_ms));
    if (delivery.window) summary.said(delivery.window);
    if (delivery.summary?.whole) summary.said(delivery.summary.whole);
    for (const event of events) {
      if (!this.#showEvent("said", event, 0)) continue;
      const name = nameOfEvent(event.type);
      timeline.note(event.t0_ms, name);
      this.#page.delivery.tell(`${shortClock(event.t0_ms)} ${name}`);
    }
  }

  // The gateway reports an event when it begins, without an end, and again when it is over. Returns whether it is new.
  #showEvent(row, { type, t0_ms, t1_ms }, offset) {
    const { timeline } = this.#page;
    const name = `${type} ${t0_ms}`;
    const end = t1_ms === null ? undefined : offset + Math.max(t1_ms, t0_ms + MOMENT_MS);
    const begun = this.#happening.get(name);
    if (!begun) this.#happening.set(name, timeline.span(row, offset + t0_ms, end));
    else if (end !== undefined) timeline.close(begun, end);
    if (end !== undefined) this.#happening.delete(name);
    return !begun;
  }

  #noteEvent(ms, text) {
    this.#page.timeline.note(ms, text);
    this.#page.showLatest(`${shortClock(ms)} ${text}`);
  }

  // --- trouble ---

  #handleError(error) {
    if (error.code === "busy" && this.client.state === "connecting") this.#page.state.note({ waiting: "slot" });
    else if (!this.#leaving) this.#page.complain(error);
  }

  #handleStreamError(error) {
    if (this.#leaving) return;
    if (error.code === "gap") return this.#page.timeline.note(this.elapsedMs, error.message);
    const waits = error.retryAfterMs !== undefined && !this.#audio.over;
    if (waits && error.code === "busy") return this.#page.state.note({ waiting: "slot" });
    if (waits && error.code === "no_worker") {
      if (!this.#page.state.facts.waiting) this.#mark(this.elapsedMs, "waiting for a worker");
      return this.#page.state.note({ waiting: "worker" });
    }
    this.#page.complain(error);
    void this.stop();
  }

  #mark(ms, text) {
    this.#page.timeline.span("line", ms, ms);
    this.#page.timeline.note(ms, text);
  }

  #showConnection(state) {
    this.#page.showConnection(state);
    this.#page.state.note({ network: state });
    if (state === "suspended") this.#mark(this.elapsedMs, "the network was cut");
    if (state === "reconnecting" || state === "suspended") this.#away = true;
    if (state === "open" && this.#away) {
      this.#away = false;
      this.#page.summary.resumed();
      this.#mark(this.elapsedMs, "reconnected");
    }
    if (state === "closed" && !this.#stopping) void this.stop();
  }
}
