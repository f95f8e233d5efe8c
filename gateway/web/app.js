// The demo page: microphone in, captions out. Mints a session over HTTP, then speaks the WebSocket protocol.

import { Recorder } from "./recorder.js";

const MAX_BUFFERED_BYTES = 4 * 1024 * 1024;
const STREAM_ID = "microphone";
const $ = (id) => document.getElementById(id);
const segments = new Map();
let call = null;

if (["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) $("key").value = "dev-key";

async function mintSession(key) {
  const response = await fetch("v1/sessions", { method: "POST", headers: { Authorization: `Bearer ${key}` } });
  const body = await response.json();
  if (!response.ok) throw new Error(body.error.message);
  return body;
}

function connect({ url, token }) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, ["talkup.v1", `bearer.${token}`]);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => resolve(socket);
    socket.onerror = () => reject(new Error(`no connection to ${url}`));
  });
}

function line(id) {
  if (!segments.has(id)) segments.set(id, $("captions").appendChild(document.createElement("p")));
  return segments.get(id);
}

function showError(message) {
  const place = $("captions").appendChild(document.createElement("p"));
  place.className = "error";
  place.textContent = message;
}

function receive(message) {
  const { type, data } = message;
  if (type === "transcript_update") {
    const place = line(data.segment_id);
    place.textContent = data.text;
    place.className = data.is_final ? "final" : "interim";
    place.scrollIntoView({ block: "end" });
  } else if (type === "stream_ended") {
    call?.socket.close(1000);
  } else if (type === "error") {
    showError(data.message);
  }
}

async function start() {
  $("captions").replaceChildren();
  segments.clear();
  const socket = await connect(await mintSession($("key").value));
  let recorder;
  try {
    recorder = await Recorder.open((slice) => {
      if (socket.readyState !== WebSocket.OPEN) return;
      if (socket.bufferedAmount > MAX_BUFFERED_BYTES) return void stop("the network is too slow");
      socket.send(slice);
    });
  } catch (error) {
    socket.close(1000);
    throw error;
  }
  call = { socket, recorder };
  socket.onmessage = ({ data }) => receive(JSON.parse(data));
  socket.onclose = () => { void recorder.stop(); call = null; show("idle", "Start"); };
  const data = { stream_id: STREAM_ID, kind: "audio", format: recorder.mimeType, language: $("language").value };
  socket.send(JSON.stringify({ type: "stream_start", timestamp: Math.floor(Date.now() / 1000), data }));
  recorder.start();
  show("listening", "Stop");
}

async function stop(reason) {
  const current = call;
  if (!current) return;
  if (reason) showError(reason);
  show("finishing", "Stop");
  await current.recorder.stop();
  const data = { stream_id: STREAM_ID };
  current.socket.send(JSON.stringify({ type: "stream_end", timestamp: Math.floor(Date.now() / 1000), data }));
}

function show(state, label) {
  $("state").value = state;
  $("toggle").textContent = label;
}

$("controls").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("toggle").disabled = true;
  try {
    await (call ? stop() : start());
  } catch (error) {
    showError(error.message);
    show("idle", "Start");
  } finally {
    $("toggle").disabled = false;
  }
});
