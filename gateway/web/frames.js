// The pictures of a video file, from its first to its last: each is sent once the one before has been analysed.

const FPS = 2;
const WIDTH = 640;
const QUALITY = 0.8;
const FAR_S = 1e6;
const PATIENCE_MS = 3000;
// After this many attempts without a picture, the browser cannot show this video.
const MAX_MISSES = 3;
// HTMLMediaElement: there is a picture at this position.
const HAVE_CURRENT_DATA = 2;

export class FileCamera {
  format = "image/jpeg";
  /** Resolves after the last picture, or when stopped. */
  done;
  /** The share of the video, 0 to 1, that has been sent. */
  share = 0;
  #video;
  #onPicture;
  #canvas = document.createElement("canvas");
  #running = false;
  #answered = () => undefined;
  #finish;

  constructor(video, onPicture) {
    [this.#video, this.#onPicture] = [video, onPicture];
    this.done = new Promise((resolve) => (this.#finish = resolve));
  }

  start() {
    this.#running = true;
    void this.#run();
  }

  stop() {
    this.#running = false;
    this.share = 1;
    this.#answered();
    this.#finish();
  }

  adapt() {}

  /** The analysis of the last picture has come. */
  analysed() {
    this.#answered();
  }

  async #run() {
    const beganAt = Date.now();
    let misses = 0;
    // Phones load nothing but the length before a video plays.
    await this.#video.play().catch(() => undefined);
    this.#video.pause();
    const end = await this.#end();
    for (let at = 0; this.#running && at < end && misses < MAX_MISSES; at += 1 / FPS) {
      await this.#seek(at);
      this.share = at / end;
      const picture = await this.#take();
      misses = picture ? 0 : misses + 1;
      if (!picture || !this.#running) continue;
      const answered = this.#wait((resolve) => (this.#answered = resolve));
      this.#onPicture(picture, Math.round(beganAt + 1000 * at));
      await answered;
    }
    this.stop();
  }

  // Recordings of browsers do not state their length: the browser finds it by seeking to the end.
  async #end() {
    if (!Number.isFinite(this.#video.duration)) await this.#seek(FAR_S);
    const { duration, currentTime } = this.#video;
    return Number.isFinite(duration) ? duration : currentTime;
  }

  // A picture that is never answered, because the vision worker dropped it, must not hold up the rest.
  #wait(begin) {
    return Promise.race([new Promise(begin), new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
  }

  #seek(seconds) {
    return this.#wait((resolve) => {
      this.#video.onseeked = resolve;
      this.#video.currentTime = seconds;
    });
  }

  async #take() {
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth || this.#video.readyState < HAVE_CURRENT_DATA) return undefined;
    const scale = Math.min(1, WIDTH / videoWidth);
    this.#canvas.width = Math.round(videoWidth * scale);
    this.#canvas.height = Math.round(videoHeight * scale);
    this.#canvas.getContext("2d").drawImage(this.#video, 0, 0, this.#canvas.width, this.#canvas.height);
    const blob = await new Promise((done) => this.#canvas.toBlob(done, "image/jpeg", QUALITY));
    return blob?.arrayBuffer();
  }
}
