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

function describe(_call, callback) {
  callback(null, {
    service_type: STT,
    worker_version: "bench",
    protocol_versions: [PROTOCOL_VERSION],
    slots: SLOTS,
  });
}

const server = new grpc.Server();
server.addService(WorkerService.service, { StreamTask: streamTask, Describe: describe });
new HealthImplementation({ "": "SERVING", "talkup.v1.WorkerService": "SERVING" }).addToServer(server);
server.bindAsync(`127.0.0.1:${process.argv[2]}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
  console.log("ready");
});
