// Live captions in React: a hook, and a component that uses it.

import { useCallback, useEffect, useRef, useState } from "react";
import { RecorderSource, TalkupClient, type ConnectionState, type SessionTicket, type TranscriptData } from "talkup-client";

export interface LiveCaptions {
  state: ConnectionState;
  finals: readonly TranscriptData[];
  interim: string;
  error: string;
  start: () => Promise<void>;
  stop: () => Promise<void>;
}

/** `session` fetches `{ url, token }` from your server, which holds the API key. */
export function useLiveCaptions(session: () => Promise<SessionTicket>, language = "auto"): LiveCaptions {
  const [state, setState] = useState<ConnectionState>("idle");
  const [finals, setFinals] = useState<readonly TranscriptData[]>([]);
  const [interim, setInterim] = useState("");
  const [error, setError] = useState("");
  const hangUp = useRef<(() => Promise<void>) | undefined>(undefined);

  const stop = useCallback(async () => {
    const ending = hangUp.current;
    hangUp.current = undefined;
    await ending?.();
  }, []);

  const start = useCallback(async () => {
    await stop();
    const client = new TalkupClient({ session });
    hangUp.current = async () => client.close();
    client.on("state", setState);
    try {
      setError("");
      const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
      const release = (): void => microphone.getTracks().forEach((track) => track.stop());
      if (client.state === "closed") return release();
      const recorder = new RecorderSource(microphone, (slice) => stream.over || stream.send(slice));
      const stream = client.stream({ format: recorder.format, language });
      stream.on("transcript", (segment) => {
        setError("");
        if (segment.is_final) setFinals((known) => [...known, segment]);
        setInterim(segment.is_final ? "" : segment.text);
      });
      stream.on("error", (problem) => {
        const waits = problem.retryAfterMs !== undefined && !stream.over;
        setError(waits ? "Waiting for a worker: your speech is kept." : problem.message);
      });
      stream.ended.then(release, release); // also when the session is lost
      hangUp.current = async () => {
        await recorder.stop();
        release();
        await stream.end().catch(() => undefined);
        client.close();
      };
      recorder.start();
      await client.connect(); // the client keeps what is said meanwhile
    } catch (problem) {
      setError(problem instanceof Error ? problem.message : String(problem));
      client.close();
      await stop();
    }
  }, [session, language, stop]);

  useEffect(() => () => void stop(), [stop]);
  return { state, finals, interim, error, start, stop };
}

export function Captions({ session }: { session: () => Promise<SessionTicket> }) {
  const { state, finals, interim, error, start, stop } = useLiveCaptions(session);
  return (
    <main>
      <button onClick={() => void (state === "open" ? stop() : start())}>{state === "open" ? "Stop" : "Start"}</button>
      {error && <p role="alert">{error}</p>}
      <p aria-live="polite">{finals.map(({ text }) => text).join(" ")}</p>
      <p className="interim">{interim}</p>
    </main>
  );
}
