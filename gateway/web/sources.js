// The microphone and the camera. A source has `media` (to measure and show), `format`, `start`, `resume` and `stop`.

import { DeviceError } from "./problems.js";
import { PcmSource, RecorderSource } from "./talkup-client.js";

const STARTS_WITHIN_MS = 1000;
const CAMERA = { width: 640, height: 480 };

async function requestMedia(device, wanted) {
  if (!navigator.mediaDevices) throw new DeviceError(device, { name: "InsecureError" });
  try {
    return await navigator.mediaDevices.getUserMedia(wanted);
  } catch (error) {
    throw new DeviceError(device, error);
  }
}

const release = (media) => media.getTracks().forEach((track) => track.stop());

// Both in one request, so that the browser asks once. Without a camera, the microphone alone.
async function requestBoth(audio, onCameraProblem) {
  try {
    return await requestMedia("camera", { audio, video: CAMERA });
  } catch (problem) {
    const media = await requestMedia("microphone", { audio });
    onCameraProblem(problem);
    return media;
  }
}

export const requestCamera = () => requestMedia("camera", { video: CAMERA });

// The microphones, once the browser reveals their names.
export async function listMicrophones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter(({ kind, deviceId, label }) => kind === "audioinput" && deviceId && label);
}

async function captureSound(media, onSlice, onState) {
  if (!PcmSource.supported) return new RecorderSource(media, onSlice, { sliceMs: 100 });
  return PcmSource.open(media, onSlice, { processorUrl: "pcm-processor.js", onState });
}

/**
 * `onEnd`: the microphone was unplugged, or the permission was revoked. `onSound`: "running", "muted", or the state in
 * which the browser holds the sound back. `onCameraProblem`: there is no camera, or no longer.
 */
export async function openMicrophone({ deviceId, withCamera }, { onSlice, onEnd, onSound, onCameraProblem }) {
  const audio = { channelCount: 1, echoCancellation: true, ...(deviceId && { deviceId: { exact: deviceId } }) };
  const media = withCamera ? await requestBoth(audio, onCameraProblem) : await requestMedia("microphone", { audio });
  const [track] = media.getAudioTracks();
  let sound;
  const tell = () => onSound(track.muted ? "muted" : (sound.state ?? "running"));
  try {
    sound = await captureSound(media, onSlice, () => tell());
  } catch (error) {
    release(media);
    throw error;
  }
  track.onmute = track.onunmute = tell;
  track.onended = onEnd;
  const [picture] = media.getVideoTracks();
  if (picture) picture.onended = () => onCameraProblem(new DeviceError("camera", { message: "The camera was disconnected" }));
  return {
    media,
    format: sound.format,
    hasPicture: Boolean(picture),
    mirrored: true,
    // A context that waits for a tap starts later, or never.
    start() {
      void Promise.resolve(sound.start()).catch(() => undefined);
      setTimeout(tell, STARTS_WITHIN_MS);
    },
    resume: () => void sound.resume?.().catch(() => undefined),
    async stop() {
      await sound.stop();
      release(media);
    },
  };
}
