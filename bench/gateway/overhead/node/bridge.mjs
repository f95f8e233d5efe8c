// The plainest bridge from WebSocket to gRPC in Node: no authentication, no limits, no retries. Usage: bridge.mjs PORT WORKER_PORT
import grpc from "@grpc/grpc-js";
import { WebSocketServer } from "ws";
import { FORMAT, PROTOCOL_VERSION, STT, WorkerService } from "./contract.mjs";

const [port, workerPort] = process.argv.slice(2);
const client = new WorkerService(`127.0.0.1:${workerPort}`, grpc.credentials.createInsecure());
let sessions = 0;

function serve(socket) {
  const session = `session-${(sessions += 1)}`;
  let call = null;
  let sequence = 0;
  const head = { session_id: session, service_type: STT, protocol_version: PROTOCOL_VERSION, attempt: 1 };

  function forward(result) {
    if (result.started) socket.send('{"type":"acknowledge","data":{"accepted":true}}');
    if (!result.transcript) return;
    const { segment_id, revision, text, start_ms, end_ms } = result.transcript;
    const data = { stream_id: head.stream_id, segment_id, revision, is_final: false, text, start_ms, end_ms };
    socket.send(JSON.stringify({ type: "transcript_update", timestamp: Math.floor(Date.now() / 1000), data }));
  }

  socket.on("message", (frame) => {
    const message = JSON.parse(frame);
    if (message.type === "stream_start") {
      head.stream_id = message.data.stream_id;
      call = client.StreamTask();
      call.on("data", forward);
      call.on("error", () => socket.close(1011));
      call.write({ ...head, start: { kind: 1, format: FORMAT } });
    } else if (message.type === "stream_chunk") {
      const payload = Buffer.from(message.data, "base64");
      call.write({ ...head, chunk: { sequence: sequence++, payload } });
    }
  });
  socket.on("close", () => call?.end());
}

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port), perMessageDeflate: false, backlog: 4096 });
server.on("connection", serve);
server.on("listening", () => console.log("ready"));
