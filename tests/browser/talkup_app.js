// A stand-in for TalkUp's web app: the real react-use-websocket, a MediaRecorder of 1000 ms slices, its packets.
// On every reconnect the recorder restarts and counts from 0 again; the old one's last blob comes late.
import { createElement, useCallback, useEffect, useRef } from "react";
import { createRoot } from "react-dom/client";
import library from "react-use-websocket";

const useWebSocket = library.default ?? library;
const SLICE_MS = 1000;
const TYPES = ["audio/webm;codecs=opus", "audio/webm", "audio/ogg;codecs=opus", "audio/mp4", "audio/mpeg"];

window.talkup = { sent: [], received: [], opens: 0, closes: [], text: "" };

const base64 = (blob) =>
  new Promise((resolve) => {
    const reader = new FileReader();
    reader.onloadend = () => resolve(reader.result.split(",")[1]);
    reader.readAsDataURL(blob);
  });

function Call({ url, microphone }) {
  const recorder = useRef(null);
  const sequence = useRef(0);
  const tail = useRef(Promise.resolve());
  const { sendJsonMessage, sendMessage, getWebSocket } = useWebSocket(url, {
    shouldReconnect: ({ code }) => code !== 1000 && code !== 1001,
    reconnectAttempts: 20,
    reconnectInterval: 1000,
    onOpen: () => {
      window.talkup.opens += 1;
      sequence.current = 0;
      restart();
    },
    onClose: ({ code }) => window.talkup.closes.push(code),
    onMessage: ({ data }) => {
      const message = JSON.parse(data);
      window.talkup.received.push(message.type);
      if (message.type === "transcript_update" && message.data.is_final) window.talkup.text += `${message.text} `;
    },
  });

  const restart = useCallback(() => {
    recorder.current?.stop();
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    recorder.current = new MediaRecorder(microphone, { mimeType });
    recorder.current.ondataavailable = ({ data: blob }) => {
      if (blob.size === 0) return;
      tail.current = tail.current.then(async () => {
        const data = await base64(blob);
        window.talkup.sent.push(data);
        const packet = { type: "audio", data, timestamp: Date.now(), mimeType, sequenceNumber: sequence.current++ };
        sendJsonMessage(packet);
      });
    };
    recorder.current.start(SLICE_MS);
  }, [microphone, sendJsonMessage]);

  useEffect(() => {
    sendMessage("Hello WebSocket!");
    sendJsonMessage({ type: "ping", timestamp: new Date().toISOString(), payload: { message: "ping" } });
    window.talkup.hangUp = async () => {
      const stopped = new Promise((resolve) => recorder.current.addEventListener("stop", resolve));
      recorder.current.stop();
      await stopped;
      await tail.current;
      getWebSocket().close(1000);
    };
  }, []);
  return createElement("p", null, "in a call");
}

const { url } = await (await fetch("/my-backend/initialization")).json();
const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
createRoot(document.getElementById("root")).render(createElement(Call, { url, microphone }));
