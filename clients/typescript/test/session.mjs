// A conversation with a real gateway: node --experimental-websocket session.mjs HTTP_URL KEY BYTES [PORT]
// Sends BYTES of PCM and prints the totals and all that came as JSON. Over PORT, a line that breaks by itself, to the
// WebSocket; without one it loses the network in the middle of its own accord.
import { TalkupClient } from "../dist/index.js";

const [url, key, size, port] = process.argv.slice(2);
const audio = Uint8Array.from({ length: Number(size) }, (_, index) => (index * 31 + (index >> 8)) & 255);

const client = new TalkupClient({
  session: async () => {
    const answer = await fetch(`${url}/v1/sessions`, { method: "POST", headers: { Authorization: `Bearer ${key}` } });
    const ticket = await answer.json();
    const address = new URL(ticket.url);
    if (port) address.port = port;
    return { ...ticket, url: address.href };
  },
});
const states = [];
const finals = [];
const messages = [];
client.on("message", (message) => messages.push(message));
client.on("state", (state) => states.push(state));
await client.connect();
const stream = client.stream({ format: "audio/pcm;rate=16000;channels=1;encoding=s16le" });
stream.on("transcript", ({ is_final, segment_id, text }) => is_final && finals.push({ segment_id, text }));
const heard = new Promise((resolve) => stream.on("acknowledge", ({ committed }) => committed >= 0 && resolve()));
await stream.accepted;
const step = 3200;
for (let at = 0; at < audio.length; at += step) {
  if (!port && at === Math.floor(audio.length / step / 2) * step) {
    await heard;
    client.suspend();
    setTimeout(() => client.restore(), 50);
  }
  stream.send(audio.subarray(at, at + step));
}
await stream.flush();
const flushed = finals.map(({ text }) => text).join(" ");
const totals = await stream.end();
const { services } = await client.status();
client.close();
process.stdout.write(JSON.stringify({ totals, flushed, finals, states, messages, services: services.map(({ service }) => service) }));
