// Observes the demo page: when the microphone hears speech, and when the page shows it. All times are on one clock.

(() => {
  const LOUD = 0.03;
  const LOOK_MS = 5;
  const seen = (window.probe = {
    clicked: undefined, // the button
    opened: undefined, // getUserMedia resolved
    sent: undefined, // the first media over the socket
    speechBegan: undefined, // the first and the last loud sound
    speechEnded: undefined,
    firstInterim: undefined,
    lastFinal: undefined,
  });
  const now = () => performance.now();

  const { mediaDevices } = navigator;
  const open = mediaDevices.getUserMedia.bind(mediaDevices);
  mediaDevices.getUserMedia = async (wanted) => {
    const media = await open(wanted);
    seen.opened = now();
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 512;
    context.createMediaStreamSource(media).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      if (!samples.some((sample) => Math.abs(sample) > LOUD)) return;
      seen.speechBegan ??= now();
      seen.speechEnded = now();
    }, LOOK_MS);
    return media;
  };

  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (frame) {
    if (typeof frame !== "string") seen.sent ??= now();
    return send.call(this, frame);
  };

  addEventListener("DOMContentLoaded", () => {
    document.getElementById("controls").addEventListener("submit", () => (seen.clicked ??= now()), true);
    const watch = (id, note) =>
      new MutationObserver(() => note(document.getElementById(id).textContent.trim())).observe(document.getElementById(id), {
        childList: true,
        characterData: true,
        subtree: true,
      });
    watch("interim", (text) => text && (seen.firstInterim ??= now()));
    watch("finals", (text) => {
      if (!text) return;
      seen.firstInterim ??= now();
      seen.lastFinal = now();
    });
  });
})();
