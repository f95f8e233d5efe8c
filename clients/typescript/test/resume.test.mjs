// A session over a network that breaks, frame by frame: what goes out after a break, and in which order.
import assert from "node:assert/strict";
import { test } from "node:test";
import { TalkupClient } from "../dist/index.js";

const LIMITS = {};

/** A network in the test's hands: the sockets that the client opened, and what it sent over each. */
class Network {
  sockets = [];
  client;

  constructor(options = {}) {
    const { sockets } = this;
    class Socket {
      readyState = 0;
      sent = [];
      closed = false;

      constructor() {
        sockets.push(this);
      }
      send(frame) {
        if (typeof frame === "string" && JSON.parse(frame).type === "session_resume") {
          ({ token: this.token, streams: this.points } = JSON.parse(frame));
        }
        this.sent.push(typeof frame === "string" ? JSON.parse(frame).type : `chunk ${new DataView(frame.buffer).getUint32(4)}`);
      }
      close() {
        this.closed = true;
      }
      open() {
        this.readyState = 1;
        this.onopen();
      }
      hear(type, data) {
        const { stream_id } = data;
        this.onmessage({ data: JSON.stringify({ type, timestamp: 0, protocol_version: "1.0", stream_id, data }) });
      }
      session(streams = [], resumed = false) {
        this.hear("session", { session_id: "s", resume_token: "t", expires_at: 0, resumed, streams, limits: LIMITS });
      }
      accept(stream_id) {
        this.hear("acknowledge", { stream_id, received: -1, committed: -1, next_sequence: 0, accepted: true, handle: 1 });
      }
    }
    const session = async () => ({ url: "ws://localhost/ws", token: "k" });
    this.client = new TalkupClient({ session, webSocket: Socket, random: () => 0, ...options });
  }

  get last() {
    return this.sockets.at(-1);
  }

  async connect() {
    const connected = this.client.connect();
    await new Promise(setImmediate);
    this.last.open();
    this.last.session();
    await connected;
  }
}

const goesOn = (next_sequence) => ({ stream_id: "a", state: "open", handle: 1, next_sequence, received: -1, committed: -1 });

test("a stream that ends while the session is taken up again ends after its last chunk", async () => {
  const network = new Network();
  await network.connect();
  const stream = network.client.stream({ stream_id: "a", format: "audio/pcm" });
  network.last.accept("a");
  stream.send(new Uint8Array(1));
  network.client.suspend();
  stream.send(new Uint8Array(1));
  network.client.restore();
  network.last.open();
  stream.send(new Uint8Array(1));
  void stream.end();
  assert.deepEqual(network.last.sent, ["session_resume"]);
  network.last.session([goesOn(1)], true);
  assert.deepEqual(network.last.sent, ["session_resume", "chunk 1", "chunk 2", "stream_end"]);
  network.client.close();
});

test("a session whose own token is refused is taken up with the one it was opened with", async () => {
  const network = new Network();
  await network.connect();
  const stream = network.client.stream({ stream_id: "a", format: "audio/pcm" });
  network.last.accept("a");
  stream.send(new Uint8Array(1));
  network.client.suspend();
  network.client.restore();
  network.last.open();
  assert.equal(network.last.token, "t");
  const problem = { code: "unauthenticated", message: "the key or token is not valid", retryable: false };
  network.last.hear("error", problem);
  assert.equal(network.sockets.length, 3);
  network.last.open();
  assert.equal(network.last.token, "k");
  network.last.session([goesOn(0)], true);
  assert.deepEqual(network.last.sent, ["session_resume", "chunk 0"]);
  assert.equal(network.client.state, "open");
  network.client.suspend();
  network.client.restore();
  network.last.open();
  assert.equal(network.last.token, "t");
  network.last.hear("error", problem);
  network.last.open();
  network.last.hear("error", problem);
  assert.equal(network.client.state, "closed");
  await assert.rejects(stream.ended, { message: problem.message });
});

test("a token that expires is replaced on the open socket, and a resumption uses what came with the new one", async () => {
  const asked = [];
  const renew = async (sessionId) => (asked.push(sessionId), "n");
  const network = new Network({ renew });
  await network.connect();
  network.last.hear("auth_expiring", { expires_at: 1, closes_at: 2 });
  await new Promise(setImmediate);
  assert.deepEqual(asked, ["s"]);
  assert.deepEqual(network.last.sent, ["auth"]);
  network.last.hear("authenticated", { resume_token: "u", resume_expires_at: 3 });
  network.client.suspend();
  network.client.restore();
  network.last.open();
  assert.equal(network.last.token, "u");
  network.client.close();
});

test("a refused renewal ends nothing, and after the close the session is taken up with another token", async () => {
  const tokens = ["bad", "good"];
  const network = new Network({ renew: async () => tokens.shift() });
  await network.connect();
  const stream = network.client.stream({ stream_id: "a", format: "audio/pcm" });
  network.last.accept("a");
  stream.send(new Uint8Array(1));
  const problem = { code: "unauthenticated", message: "the key or token is not valid", retryable: false };
  network.last.hear("auth_expiring", { expires_at: 1, closes_at: 2 });
  await new Promise(setImmediate);
  network.last.hear("error", problem);
  assert.equal(network.client.state, "open");
  network.last.hear("error", problem);
  network.last.onclose({ code: 4401, reason: "unauthenticated" });
  await new Promise(setImmediate);
  assert.equal(network.client.state, "reconnecting");
  network.last.open();
  assert.equal(network.last.token, "good");
  network.last.session([goesOn(0)], true);
  assert.deepEqual(network.last.sent, ["session_resume", "chunk 0"]);
  network.client.close();
});

test("a flush that was not answered is said again, after the chunks", async () => {
  const network = new Network();
  await network.connect();
  const stream = network.client.stream({ stream_id: "a", format: "audio/pcm" });
  network.last.accept("a");
  const answered = stream.flush();
  network.client.suspend();
  stream.send(new Uint8Array(1));
  const lost = stream.flush();
  network.client.restore();
  network.last.open();
  network.last.session([goesOn(0)], true);
  assert.deepEqual(network.last.sent, ["session_resume", "chunk 0", "stream_flush", "stream_flush"]);
  network.last.hear("acknowledge", { stream_id: "a", received: 0, committed: 0, next_sequence: 1, flush_id: 0 });
  await answered;
  network.client.close();
  await assert.rejects(lost, { code: "connection_lost" });
});

test("a stream begun by a listener of the open state is begun once", async () => {
  const network = new Network();
  network.client.on("state", (state) => state === "open" && network.client.stream({ stream_id: "a", format: "audio/pcm" }));
  await network.connect();
  assert.deepEqual(network.last.sent, ["stream_start"]);
  network.client.close();
});

test("what is sent before the session is open goes out once the stream is accepted", async () => {
  const network = new Network();
  const connected = network.client.connect();
  const stream = network.client.stream({ stream_id: "a", format: "audio/pcm" });
  stream.send(new Uint8Array(1));
  void stream.end();
  await new Promise(setImmediate);
  network.last.open();
  assert.deepEqual(network.last.sent, []);
  network.last.session();
  await connected;
  assert.deepEqual(network.last.sent, ["stream_start"]);
  network.last.accept("a");
  assert.deepEqual(network.last.sent, ["stream_start", "chunk 0", "stream_end"]);
  network.client.close();
});

test("a socket that opens after it was given up is closed", async () => {
  const network = new Network();
  await network.connect();
  network.client.suspend();
  network.client.restore();
  const late = network.last;
  network.client.suspend();
  network.client.restore();
  assert.notEqual(network.last, late);
  late.open();
  assert.ok(late.closed);
  assert.deepEqual(late.sent, []);
  network.client.close();
});

test("a gateway that never takes the session up is given up for the next attempt", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const network = new Network();
  await network.connect();
  network.client.suspend();
  network.client.restore();
  network.last.open();
  network.last.hear("session", { session_id: "another", resume_token: "u", expires_at: 0, resumed: false, streams: [], limits: LIMITS });
  context.mock.timers.tick(10_000);
  context.mock.timers.tick(0);
  assert.equal(network.sockets.length, 3);
  network.client.close();
});

test("timers that come late make no connection dead, pings without an answer do", async (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  let now = 1_000;
  const network = new Network({ now: () => now });
  await network.connect();
  const beat = (ms) => ((now += ms), context.mock.timers.tick(15_000));
  for (let minute = 0; minute < 3; minute += 1) {
    beat(60_000);
    now += 1;
    network.last.hear("pong", {});
  }
  assert.equal(network.client.state, "open");
  for (let silent = 0; silent < 3; silent += 1) beat(15_000);
  assert.equal(network.client.state, "reconnecting");
  network.client.close();
});

test("where there is no WebSocket, the cause is named before a session is asked for", async () => {
  let asked = 0;
  const client = new TalkupClient({ session: async () => ((asked += 1), { url: "ws://localhost/ws" }), webSocket: undefined });
  await assert.rejects(client.connect(), { code: "no_websocket", message: /Node 22/ });
  assert.equal(asked, 0);
});

const BUSY = { code: "busy", message: "every worker slot is taken", retryable: true };

test("a stream that finds every slot taken asks again when the gateway says, and loses nothing", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const network = new Network();
  const connected = network.client.connect();
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  network.last.open();
  network.last.session();
  await connected;
  const stream = network.client.stream({ stream_id: "a", format: "audio/pcm" });
  const told = [];
  stream.on("error", ({ code, retryAfterMs }) => told.push([code, retryAfterMs, stream.over]));
  stream.send(new Uint8Array(1));
  network.last.hear("error", { ...BUSY, stream_id: "a", retry_after_ms: 2500 });
  context.mock.timers.tick(2499);
  assert.deepEqual(network.last.sent, ["stream_start"]);
  context.mock.timers.tick(1);
  assert.deepEqual(network.last.sent, ["stream_start", "stream_start"]);
  network.last.accept("a");
  assert.deepEqual(network.last.sent.at(-1), "chunk 0");
  assert.deepEqual(told, [["busy", 2500, false]]);
  network.client.close();
});

test("a stream gives up a gateway that stays busy", async () => {
  const network = new Network({ busyMs: 3000 });
  await network.connect();
  const stream = network.client.stream({ stream_id: "a", format: "audio/pcm" });
  network.last.hear("error", { ...BUSY, stream_id: "a", retry_after_ms: 3001 });
  await assert.rejects(stream.accepted, { code: "busy", retryAfterMs: 3001 });
  assert.ok(stream.over);
  network.client.close();
});

test("a gateway without room for the session is asked again, and named as busy in the end", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 1000;
  const network = new Network({ now: () => now });
  const connected = network.client.connect();
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  for (const attempt of [1, 2]) {
    assert.equal(network.sockets.length, attempt);
    network.last.open();
    network.last.hear("error", { ...BUSY, message: "the gateway has reached its session limit", retry_after_ms: 20_000 });
    network.last.onclose({ code: 1013, reason: "busy" });
    now += 20_000;
    context.mock.timers.tick(20_000);
  }
  await assert.rejects(connected, { code: "busy", message: /session limit/ });
  assert.equal(network.client.state, "closed");
});

test("a file waits until the gateway has received what was sent", async () => {
  const network = new Network();
  await network.connect();
  const stream = network.client.stream({ stream_id: "a", format: "audio" });
  network.last.accept("a");
  stream.send(new Uint8Array(10));
  await stream.drained(10);
  let drained = false;
  const waiting = stream.drained(9).then(() => (drained = true));
  await new Promise(setImmediate);
  assert.equal(drained, false);
  network.last.hear("acknowledge", { stream_id: "a", received: 0, committed: -1, next_sequence: 1 });
  await waiting;
  stream.send(new Uint8Array(10));
  const lost = stream.drained(0);
  network.client.close();
  await assert.rejects(lost, { code: "connection_lost" });
});

test("what a new socket repeats of delivery comes once, and the gateway learns what has come", async () => {
  const network = new Network();
  await network.connect();
  const stream = network.client.stream({ stream_id: "a", format: "audio/pcm", services: ["stt", "delivery"] });
  const numbers = [];
  stream.on("analysis", ({ frame_seq }) => numbers.push(frame_seq));
  network.last.accept("a");
  const hear = (frame_seq, delivery) => network.last.hear("analysis_result", { stream_id: "a", frame_seq, delivery });
  for (const frame_seq of [0, 1]) hear(frame_seq, {});
  network.client.suspend();
  network.client.restore();
  network.last.open();
  assert.deepEqual(network.last.points, [{ stream_id: "a", last_segment_id: 0, last_delivery: 1 }]);
  network.last.session([goesOn(0)], true);
  for (const frame_seq of [1, 3]) hear(frame_seq, {});
  hear(0); // vision numbers its frames
  assert.deepEqual(numbers, [0, 1, 3, 0]);
  network.client.close();
});
