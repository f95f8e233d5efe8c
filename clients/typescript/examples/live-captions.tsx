// Live captions in React: a hook over the client, and a component that uses it.

import { useCallback, useEffect, useRef, useState } from "react";
import { RecorderSource, TalkupClient, type ConnectionState, type SessionTicket, type TranscriptData } from "talkup-client";

export interface LiveCaptions {
  state: ConnectionState;
  finals: readonly TranscriptData[];
  interim: string;
  start: () => Promise<void>;
  stop: () => Promise<void>;
}

/** `session` asks your server, which holds the API key, for `{ url, token }`. */
export function useLiveCaptions(session: () => Promise<SessionTicket>, language = "auto"): LiveCaptions {
  const [state, setState] = useState<ConnectionState>("idle");
  const [finals, setFinals] = useState<readonly TranscriptData[]>([]);
  const [interim, setInterim] = useState("");
  const hangUp = useRef<(() => Promise<void>) | undefined>(undefined);

  const start = useCallback(async () => {
    const client = new TalkupClient({ session });
    client.on("state", setState);
    await client.connect();
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    const recorder = new RecorderSource(microphone, (slice) => stream.over || stream.send(slice));
    const stream = client.stream({ format: recorder.format, language });
    stream.on("transcript", (segment) => {
      if (segment.is_final) setFinals((known) => [...known, segment]);
      setInterim(segment.is_final ? "" : segment.text);
    });
    hangUp.current = async () => {
      await recorder.stop();
      for (const track of microphone.getTracks()) track.stop();
      await stream.end();
      client.close();
    };
    recorder.start();
  }, [session, language]);

  const stop = useCallback(async () => {
    const ending = hangUp.current;
    hangUp.current = undefined;
    await ending?.();
  }, []);

  useEffect(() => () => void stop(), [stop]);
  return { state, finals, interim, start, stop };
}

export function Captions({ session }: { session: () => Promise<SessionTicket> }) {
  const { state, finals, interim, start, stop } = useLiveCaptions(session);
  return (
    <main>
      <button onClick={() => void (state === "open" ? stop() : start())}>{state === "open" ? "Stop" : "Start"}</button>
      <p aria-live="polite">{finals.map(({ text }) => text).join(" ")}</p>
      <p className="interim">{interim}</p>
    </main>
  );
}
