// Sources of media: the microphone and camera, or a file that plays while it is sent. Each source has `media` (to
// measure and show), `format`, `start` and `stop`, and calls `onEnd` when it ends.

import { PcmSource, RecorderSource } from "./talkup-client.js";

const SLICE_BYTES = 8192;
const LEAD_S = 0.5;
const PACE_MS = 100;
// These are sent unchanged. The page plays anything else and records it in a format that can be streamed.
const STREAMED = { wav: "audio/wav", mp3: "audio/mpeg", ogg: "audio/ogg", opus: "audio/ogg", flac: "audio/flac", weba: "audio/webm" };

const REFUSALS = {
  NotAllowedError: "the browser does not let this page use the microphone or the camera",
  NotFoundError: "there is no microphone, or no camera",
  NotReadableError: "another program uses the microphone or the camera",
};

async function requestMedia(wanted) {
  if (!navigator.mediaDevices) throw new Error("browsers allow the microphone only on pages over https or on localhost");
  try {
    return await navigator.mediaDevices.getUserMedia(wanted);
  } catch (error) {
    throw new Error(REFUSALS[error.name] ?? error.message);
  }
}

// Releases the microphone if recording cannot start.
async function listenTo(media, onSlice) {
  try {
    return PcmSource.supported
      ? await PcmSource.open(media, onSlice, { processorUrl: "pcm-processor.js" })
      : new RecorderSource(media, onSlice, { sliceMs: 100 });
  } catch (error) {
    for (const track of media.getTracks()) track.stop();
    throw error;
  }
}

// `onEnd`: the device was unplugged, or the permission was revoked.
export async function openMicrophone(withCamera, onSlice, onEnd) {
  const media = await requestMedia({
    audio: { channelCount: 1, echoCancellation: true },
    video: withCamera && { width: 640, height: 480 },
  });
  const release = () => media.getTracks().forEach((track) => track.stop());
  for (const track of media.getTracks()) track.onended = onEnd;
  const sound = await listenTo(media, onSlice);
  return {
    media,
    format: sound.format,
    hasPicture: withCamera,
    mirrored: true,
    start: () => sound.start(),
    async stop() {
      await sound.stop();
      release();
    },
  };
}

export async function openFile(file, player, onSlice, onEnd) {
  player.src = URL.createObjectURL(file);
  await new Promise((resolve, reject) => {
    player.onloadedmetadata = resolve;
    player.onerror = () => reject(new Error("this browser cannot play the file"));
  });
  player.onended = onEnd;
  const media = player.captureStream?.() ?? player.mozCaptureStream?.();
  const format = STREAMED[file.name.split(".").pop().toLowerCase()];
  const sender = format ? new FileSender(file, player, onSlice) : new LateRecorder(player, media, onSlice);
  return {
    media,
    format: format ?? sender.format,
    hasPicture: player.videoWidth > 0,
    mirrored: false,
    async start() {
      player.muted = false;
      await player.play();
      sender.start();
    },
    async stop() {
      player.pause();
      await sender.stop();
      URL.revokeObjectURL(player.src);
      player.removeAttribute("src");
      player.load();
    },
  };
}

// Sends the file's own bytes, half a second ahead of playback.
class FileSender {
  #file;
  #player;
  #onSlice;
  #offset = 0;
  #running = false;
  #task = Promise.resolve();

  constructor(file, player, onSlice) {
    [this.#file, this.#player, this.#onSlice] = [file, player, onSlice];
  }

  start() {
    this.#running = true;
    this.#task = this.#run();
  }

  async stop() {
    this.#running = false;
    await this.#task;
    if (this.#player.ended) await this.#sendUpTo(this.#file.size);
  }

  async #run() {
    while (this.#running && this.#offset < this.#file.size) {
      const { currentTime, duration } = this.#player;
      const share = Number.isFinite(duration) ? Math.min(1, (currentTime + LEAD_S) / duration) : 1;
      await this.#sendUpTo(share * this.#file.size);
      await new Promise((resolve) => setTimeout(resolve, PACE_MS));
    }
  }

  async #sendUpTo(end) {
    while (this.#offset < end) {
      const slice = this.#file.slice(this.#offset, this.#offset + SLICE_BYTES);
      this.#offset += slice.size;
      this.#onSlice(await slice.arrayBuffer());
    }
  }
}

// The sound tracks of an element appear once it plays, so the recorder is created then.
class LateRecorder {
  format = "audio/webm;codecs=opus";
  #player;
  #media;
  #onSlice;
  #recorder;

  constructor(player, media, onSlice) {
    if (!media) throw new Error("this browser cannot stream this kind of file");
    [this.#player, this.#media, this.#onSlice] = [player, media, onSlice];
  }

  start() {
    if (this.#media.getAudioTracks().length === 0) return;
    this.#recorder = new RecorderSource(this.#media, this.#onSlice);
    this.#recorder.start();
  }

  async stop() {
    this.#player.pause();
    await this.#recorder?.stop();
  }
}
