// Live captions and behaviour signals from a TalkUp gateway, in browsers and Node.

export * from "./camera.js";
export * from "./chunks.js";
export * from "./client.js";
export * from "./errors.js";
export type * from "./messages.js";
export * from "./pcm.js";
export * from "./recorder.js";
export * from "./stream.js";
