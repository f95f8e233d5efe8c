// Clients for one row of the benchmark; prints "begin" and "end" around the measured time, then its figures as JSON.
// Usage: load.mjs '{"door": "ws" | "grpc" | "grpc_raw", "url": ..., ...}', see `Load` in bench/gateway/overhead/load.py.
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import WebSocket from "ws";
import { FORMAT, PROTOCOL_VERSION, STT, WorkerService, answeredBy } from "./contract.mjs";

const plan = JSON.parse(process.argv[2]);
const OPENING_AT_ONCE = 50;
const KEPT_SENDS = 4096;
const now = () => Number(process.hrtime.bigint()) / 1e6;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let measuring = false;
let closedLoop = false;
const latencies = [];

/** One stream: counts what was sent and answered. `transmit` sends its n-th chunk. */
class Stream {
  constructor() {
    this.sent = 0;
    this.answered = 0;
    this.sentAt = new Float64Array(KEPT_SENDS);
    this.transmit = null;
    this.close = null;
  }

  send() {
    this.sent += 1;
    this.sentAt[this.sent % KEPT_SENDS] = now();
    this.transmit(this.sent);
  }

  answer(n) {
    if (n <= this.answered) return;
    this.answered = n;
    if (measuring && this.sent - n < KEPT_SENDS) latencies.push(now() - this.sentAt[n % KEPT_SENDS]);
    if (closedLoop && n === this.sent) this.send();
  }
}

const payload = Buffer.alloc(plan.payload_bytes, "talkup ");

function openWebSocket(number) {
  const options = { perMessageDeflate: false, headers: { authorization: `Bearer ${plan.key}` } };
  if (plan.ca) options.ca = readFileSync(plan.ca);
  const socket = new WebSocket(plan.url, options);
  const stream = new Stream();
  const id = `stream-${number}`;
  const json = JSON.stringify({ type: "stream_chunk", stream_id: id, data: payload.toString("base64") });
  const frame = plan.framing === "json" ? json : payload;
  stream.transmit = () => socket.send(frame);
  stream.close = () => socket.close(1000);
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", (code) => code !== 1000 && reject(new Error(`socket closed with ${code}`)));
    socket.on("open", () => {
      if (plan.start === "none") return resolve(stream);
      socket.send(JSON.stringify({ type: "stream_start", data: { stream_id: id, format: "audio/pcm;rate=16000" } }));
    });
    socket.on("message", (message) => {
      const text = message.toString("latin1");
      const n = answeredBy(text);
      if (n) stream.answer(n);
      else if (text.includes('"accepted":true')) resolve(stream);
      else if (text.includes('"type":"error"')) reject(new Error(text));
    });
  });
}

const serializedRequest = (message) => WorkerService.service.StreamTask.requestSerialize(message);

function openCall(number) {
  const stream = new Stream();
  const head = { session_id: "bench", stream_id: `stream-${number}`, service_type: STT, attempt: 1 };
  head.protocol_version = PROTOCOL_VERSION;
  const client = openCall.client ?? (openCall.client = new grpc.Client(plan.url, grpc.credentials.createInsecure()));
  const asIs = (bytes) => bytes;
  const call = client.makeBidiStreamRequest("/talkup.v1.WorkerService/StreamTask", asIs, asIs, new grpc.Metadata());
  const requests = serializedRequest({ ...head, chunk: { sequence: 0, payload } });
  stream.transmit = (n) =>
    call.write(plan.door === "grpc_raw" ? requests : serializedRequest({ ...head, chunk: { sequence: n - 1, payload } }));
  stream.close = () => call.end();
  return new Promise((resolve, reject) => {
    call.on("error", reject);
    call.on("data", (bytes) => {
      const at = bytes.indexOf("chunk ");
      if (at < 0) resolve(stream);
      else stream.answer(parseInt(bytes.toString("latin1", at + 6, at + 16), 10));
    });
    call.write(serializedRequest({ ...head, start: { kind: 1, format: FORMAT } }));
  });
}

async function openAll() {
  const open = plan.door === "ws" ? openWebSocket : openCall;
  const streams = [];
  while (streams.length < plan.streams) {
    const count = Math.min(OPENING_AT_ONCE, plan.streams - streams.length);
    streams.push(...(await Promise.all(Array.from({ length: count }, (_, k) => open(streams.length + k)))));
  }
  return streams;
}

/** Send at `plan.rate` chunks a second a stream, evenly spread over all streams; returns how late it was at worst, ms. */
async function pace(streams, until) {
  const interval = 1000 / (plan.rate * streams.length);
  let due = now();
  let turn = 0;
  let worstLate = 0;
  while (due < until()) {
    worstLate = Math.max(worstLate, now() - due);
    while (due <= now()) {
      const stream = streams[turn % streams.length];
      if (stream.sent - stream.answered < plan.most_unanswered) stream.send();
      else refused += 1;
      turn += 1;
      due += interval;
    }
    await sleep(1);
  }
  return worstLate;
}

let refused = 0;

async function measure(streams) {
  let end = Infinity;
  let late = 0;
  const sum = (name) => streams.reduce((total, stream) => total + stream[name], 0);
  let pacing = null;
  if (plan.rate) {
    pacing = pace(streams, () => end).then((worst) => (late = worst));
  } else if (plan.seconds) {
    closedLoop = true;
    streams.forEach((stream) => stream.send());
  }
  await sleep(plan.warm_up * 1000);
  const before = { sent: sum("sent"), refused, answered: sum("answered"), at: now(), cpu: process.cpuUsage() };
  measuring = true;
  console.log("begin");
  await sleep(plan.seconds * 1000);
  console.log("end");
  measuring = false;
  end = 0;
  closedLoop = false;
  const seconds = (now() - before.at) / 1000;
  const cpu = process.cpuUsage(before.cpu);
  const figures = {
    seconds,
    sent: sum("sent") - before.sent,
    refused: refused - before.refused,
    answered: sum("answered") - before.answered,
    load_cpu_share: (cpu.user + cpu.system) / 1e6 / seconds,
  };
  await pacing;
  latencies.sort((a, b) => a - b);
  const at = (share) => latencies[Math.max(0, Math.ceil(share * latencies.length) - 1)] ?? null;
  return { ...figures, late_ms: late, p50_ms: at(0.5), p99_ms: at(0.99) };
}

const streams = await openAll();
if (plan.seconds) {
  console.log(JSON.stringify(await measure(streams)));
} else {
  // Memory: a few chunks on each stream, then hold everything open until stdin closes.
  for (let chunk = 0; chunk < plan.chunks; chunk += 1) {
    for (const stream of streams) stream.send();
    while (streams.some((stream) => stream.answered < stream.sent)) await sleep(20);
  }
  console.log("open");
  await new Promise((resolve) => process.stdin.on("end", resolve).resume());
}
streams.forEach((stream) => stream.close());
await sleep(300);
process.exit(0);
