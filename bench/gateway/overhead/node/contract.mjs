// The worker contract for Node, and what worker, bridge and load agree on.
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const PROTO = fileURLToPath(new URL("../../../../proto", import.meta.url));
const loaded = loadSync("talkup/v1/worker_service.proto", {
  includeDirs: [PROTO],
  keepCase: true,
  longs: Number,
  enums: Number,
});

export const WorkerService = grpc.loadPackageDefinition(loaded).talkup.v1.WorkerService;
export const STT = 1;
export const PROTOCOL_VERSION = "1.0";
export const FORMAT = { container: 8, pcm_encoding: 1, sample_rate: 16000, channels: 1 };

/** The text of a worker's n-th reply on a stream; it answers the chunks 1 to n. */
export const answerTo = (n) => `chunk ${n} of this stream`;

/** The number n in a reply, in whatever form it came; 0 for other messages. */
export function answeredBy(text) {
  const at = text.indexOf('"chunk ');
  return at < 0 ? 0 : parseInt(text.slice(at + 7, at + 17), 10);
}
