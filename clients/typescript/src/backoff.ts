// How long to wait before the next attempt to connect: exponential backoff with full jitter. The jitter spreads the
// clients of a restarted gateway over the whole interval (M. Brooker, "Exponential Backoff And Jitter", 2015).

const BASE_MS = 250;
const CAP_MS = 8000;

/** Milliseconds before attempt `attempt` (0: the first after a loss); `random` returns numbers in [0, 1). */
export function delayMs(attempt: number, random: () => number): number {
  return random() * Math.min(CAP_MS, BASE_MS * 2 ** Math.min(attempt, 16));
}
