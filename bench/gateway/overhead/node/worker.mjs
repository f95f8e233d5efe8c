// A worker without a model: one interim for each chunk; every 20th also commits what came so far. Usage: worker.mjs PORT
import grpc from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import { PROTOCOL_VERSION, STT, WorkerService, answerTo } from "./contract.mjs";

const COMMIT_EVERY = 20;
const CHUNK_MS = 100;
const SLOTS = { total: 10000, free: 10000 };

function streamTask(call) {
  let chunks = 0;
  let head = {};
  call.on("data", (request) => {
    const reply = (result) => call.write({ ...head, ...result });
    switch (request.payload ?? Object.keys(request).find((name) => ["start", "chunk", "flush", "end"].includes(name))) {
      case "start":
        head = {
          session_id: request.session_id,
          stream_id: request.stream_id,
          service_type: request.service_type,
          attempt: request.attempt,
        };
        reply({ started: { slots: SLOTS, worker_version: "bench" } });
        break;
      case "chunk": {
        chunks += 1;
        const sequence = request.chunk.sequence ?? 0;
        const result = {
          transcript: { segment_id: 1, revision: chunks, text: answerTo(chunks), end_ms: chunks * CHUNK_MS },
        };
        if (chunks % COMMIT_EVERY === 0) {
          result.progress = {
            committed_sequence: sequence,
            committed_media_ms: chunks * CHUNK_MS,
            replay_from_sequence: sequence + 1,
          };
        }
        reply(result);
        break;
      }
      case "flush":
        reply({ flushed: { flush_id: request.flush.flush_id } });
        break;
      case "end":
        reply({ ended: { chunks, media_ms: chunks * CHUNK_MS } });
        break;
    }
  });
  call.on("end", () => call.end());
  call.on("error", () => {});
}

const INITIAL_CREDIT = 65536;
const CREDIT_BACK = INITIAL_CREDIT / 2;
const MESSAGE_COST = 64;
const { requestDeserialize, responseSerialize } = WorkerService.service.StreamTask;

/** Many calls in one: what gathers in one turn of the event loop goes back in one batch. */
function streamTasks(link) {
  const calls = new Map();
  let entries = [];
  const put = (entry) => {
    entries.push(entry);
    if (entries.length > 1) return;
    setImmediate(() => {
      link.write({ entries });
      entries = [];
    });
  };
  /** What the caller's credit allows now: the results that wait, and behind them the end. */
  const send = (number, call) => {
    while (call.credit > 0 && call.waiting.length) {
      const result = call.waiting.shift();
      call.credit -= result.length + MESSAGE_COST;
      put({ call: number, result });
    }
    if (call.over && !call.waiting.length) {
      put({ call: number, closed: {} });
      calls.delete(number);
    }
  };
  const feed = (number, call, bytes) => {
    call.consumed += bytes.length + MESSAGE_COST;
    if (call.consumed >= CREDIT_BACK) {
      put({ call: number, credit: call.consumed });
      call.consumed = 0;
    }
    call.listeners.data(requestDeserialize(bytes));
  };
  link.on("data", (batch) => {
    for (const entry of batch.entries) {
      let call = calls.get(entry.call);
      if (entry.open) {
        call = { consumed: 0, credit: INITIAL_CREDIT, waiting: [], over: false, listeners: {} };
        calls.set(entry.call, call);
        streamTask({
          on: (name, listener) => (call.listeners[name] = listener),
          write: (result) => {
            call.waiting.push(responseSerialize(result));
            send(entry.call, call);
          },
          end: () => {
            call.over = true;
            send(entry.call, call);
          },
        });
        feed(entry.call, call, entry.open.request);
      } else if (!call) continue;
      else if (entry.request?.length) feed(entry.call, call, entry.request);
      else if (entry.half_close) call.listeners.end();
      else if (entry.cancel) calls.delete(entry.call);
      else if (entry.credit) {
        call.credit += entry.credit;
        send(entry.call, call);
      }
    }
  });
  link.on("end", () => link.end());
  link.on("error", () => {});
}

function describe(_call, callback) {
  callback(null, {
    service_type: STT,
    worker_version: "bench",
    protocol_versions: [PROTOCOL_VERSION],
    slots: SLOTS,
    link: { worker_id: "bench", max_calls: 10000, max_batch_bytes: 1 << 22 },
  });
}

const server = new grpc.Server();
server.addService(WorkerService.service, { StreamTask: streamTask, StreamTasks: streamTasks, Describe: describe });
new HealthImplementation({ "": "SERVING", "talkup.v1.WorkerService": "SERVING" }).addToServer(server);
server.bindAsync(`127.0.0.1:${process.argv[2]}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
  console.log("ready");
});
