// The camera's pace and size: what the gateway suggests, within bounds.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { CameraSource } from "../dist/index.js";

const VIDEO = { videoWidth: 1280, videoHeight: 720, paused: false };
const JPEG = { arrayBuffer: async () => new ArrayBuffer(1) };

class Rig {
  canvas = { getContext: () => ({ drawImage() {} }), toBlob: (done) => done(JPEG) };
  sizes = [];
  camera;

  constructor(video = VIDEO) {
    mock.timers.reset();
    mock.timers.enable({ apis: ["setTimeout", "Date"] });
    mock.method(performance, "now", () => Date.now());
    globalThis.document = { createElement: () => this.canvas };
    this.camera = new CameraSource(video, () => this.sizes.push([this.canvas.width, this.canvas.height]));
    this.camera.start();
  }

  /** Pictures taken in so many milliseconds. */
  async taken(ms) {
    const before = this.sizes.length;
    for (let passed = 0; passed < ms; passed += 5) {
      for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
      mock.timers.tick(5);
    }
    return this.sizes.length - before;
  }
}

test("pictures come at the pace that is suggested", async () => {
  const rig = new Rig();
  assert.equal(await rig.taken(4000), 32);
  rig.camera.adapt({ suggested_fps: 2 });
  await rig.taken(1000);
  assert.equal(await rig.taken(4000), 8);
  rig.camera.adapt({ suggested_fps: 0.1 });
  await rig.taken(1000);
  assert.equal(await rig.taken(4000), 4);
  rig.camera.stop();
  assert.equal(await rig.taken(2000), 0);
});

test("pictures have the width that is suggested, and the shape of the video", async () => {
  const rig = new Rig();
  await rig.taken(200);
  assert.deepEqual(rig.sizes.at(-1), [640, 360]);
  rig.camera.adapt({ suggested_size: { width: 320 } });
  await rig.taken(400);
  assert.deepEqual(rig.sizes.at(-1), [320, 180]);
  rig.camera.adapt({ suggested_size: { width: 10 } });
  await rig.taken(400);
  assert.deepEqual(rig.sizes.at(-1), [160, 90]);
});

test("a video that stands still gives no pictures", async () => {
  const rig = new Rig({ ...VIDEO, paused: true });
  assert.equal(await rig.taken(1000), 0);
});
