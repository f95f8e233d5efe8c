// The chunks that the gateway may still ask for. A chunk is kept until it is committed: covered by final captions.
//
// Invariant: the chunks kept are a gapless run that ends with the last one appended, and none that the gateway has not
// received is ever given up. Memory is bounded: over the bound, chunks that the gateway has received are forgotten
// first (it keeps its own copy), and if that is not enough, nothing more is taken in.

export interface Chunk {
  readonly sequence: number;
  readonly payload: Uint8Array;
  readonly capturedAt: number | undefined;
}

export class ChunkBuffer {
  readonly #maxBytes: number;
  #kept: Chunk[] = [];
  #bytes = 0;
  #next = 0;
  #received = -1;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The number that the next chunk gets. */
  get nextSequence(): number {
    return this.#next;
  }

  /** Numbers and keeps a chunk; undefined when there is no room for it. */
  append(payload: Uint8Array, capturedAt?: number): Chunk | undefined {
    while (this.#bytes + payload.length > this.#maxBytes && (this.#kept[0]?.sequence ?? Infinity) <= this.#received) {
      this.#forgetOldest();
    }
    if (this.#bytes + payload.length > this.#maxBytes) return undefined;
    const chunk = { sequence: this.#next++, payload, capturedAt };
    this.#kept.push(chunk);
    this.#bytes += payload.length;
    return chunk;
  }

  /** The gateway has everything up to `received`, and has done for good with everything up to `committed`. */
  acknowledge(received: number, committed: number): void {
    this.#received = Math.max(this.#received, received);
    while ((this.#kept[0]?.sequence ?? Infinity) <= committed) this.#forgetOldest();
  }

  /** The chunks that are kept from `sequence` on. */
  from(sequence: number): readonly Chunk[] {
    return this.#kept.filter((chunk) => chunk.sequence >= sequence);
  }

  /** The chunks to send again to a gateway, perhaps another one by now, that has none from `sequence` on. */
  rewind(sequence: number): readonly Chunk[] {
    this.#received = sequence - 1;
    return this.from(sequence);
  }

  /** Forgets everything: the stream is over, or its past is of no use. Numbers go on from `next`. */
  clear(next = this.#next): void {
    this.#kept = [];
    this.#bytes = 0;
    this.#next = next;
  }

  #forgetOldest(): void {
    this.#bytes -= this.#kept.shift()?.payload.length ?? 0;
  }
}
