// Draws vision results over the picture: the face's box and the direction of the head; lists the signals as text.

import { fillFigures } from "./summary.js";

const HINTS = {
  too_dark: "More light, please",
  backlit: "The light comes from behind",
  blurred: "The picture is blurred",
  off_center: "Move to the middle",
  too_close: "Move away a little",
  too_far: "Come closer",
};

const ANGLES = { yaw: "turned left or right (yaw)", pitch: "raised or lowered (pitch)", roll: "tilted to a shoulder (roll)" };

const radians = (degrees) => (degrees * Math.PI) / 180;

function chip(text, hint = false) {
  const item = document.createElement("li");
  item.textContent = text;
  item.dataset.hint = hint;
  return item;
}

function words(frame) {
  const chips = [chip(`${frame.face_count} ${frame.face_count === 1 ? "face" : "faces"}`)];
  const facing = frame.gaze?.facing_camera;
  if (facing) chips.push(chip(`Facing the camera: ${Math.round(facing.value * 100)} %`));
  if (frame.head && !frame.head.relative) chips.push(chip("Calibrating…"));
  for (const reason of frame.quality?.reasons ?? []) chips.push(chip(HINTS[reason] ?? reason.replaceAll("_", " "), true));
  return chips;
}

function angles(frame) {
  const measured = Object.entries(ANGLES).map(([name, label]) => [label, frame.head?.[name]]);
  return Object.fromEntries(measured.map(([label, angle]) => [label, angle ? `${Math.round(angle.value)}°` : "–"]));
}

export class Overlay {
  #canvas;
  #video;
  #list;
  #angles;

  constructor({ canvas, video, list, angles: place }) {
    [this.#canvas, this.#video, this.#list, this.#angles] = [canvas, video, list, place];
  }

  clear() {
    this.#list.replaceChildren();
    this.#angles.replaceChildren();
    this.#canvas.width = this.#canvas.width || 1;
  }

  show({ frame }) {
    if (!frame) return;
    this.#list.replaceChildren(...words(frame));
    fillFigures(this.#angles, angles(frame));
    this.#canvas.dataset.faces = frame.face_count;
    this.#canvas.width = this.#video.videoWidth || 640;
    this.#canvas.height = this.#video.videoHeight || 480;
    if (frame.face) this.#drawFace(frame.face.box, frame.head);
  }

  #drawFace(box, head) {
    const pen = this.#canvas.getContext("2d");
    const { width, height } = this.#canvas;
    const [x, y, w, h] = [box.x * width, box.y * height, box.width * width, box.height * height];
    pen.lineWidth = Math.max(2, width / 220);
    pen.lineCap = "round";
    pen.strokeStyle = "#a5b4fc";
    pen.beginPath();
    pen.roundRect(x, y, w, h, Math.min(w, h) * 0.12);
    pen.stroke();
    if (!head?.yaw || !head.pitch) return;
    // The direction of the nose: a unit vector, turned by yaw and pitch, seen from the front.
    const [middleX, middleY, reach] = [x + w / 2, y + h / 2, h * 1.5];
    pen.strokeStyle = "#5fd6a0";
    pen.beginPath();
    pen.moveTo(middleX, middleY);
    pen.lineTo(middleX + reach * Math.sin(radians(head.yaw.value)), middleY - reach * Math.sin(radians(head.pitch.value)));
    pen.stroke();
  }
}
