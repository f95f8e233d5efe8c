// The chunks that the gateway may still ask for. A chunk is kept until it is committed, that is, until final captions
// cover it.
//
// Invariant: the kept chunks have no gaps and end with the last one appended; a chunk that the gateway has not received
// is never dropped. Memory is bounded: over the bound, the buffer first forgets chunks that the gateway has received,
// since it keeps its own copy. If that is not enough, `append` accepts nothing more.

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

  /** Bytes kept that the gateway has not received. */
  get unreceivedBytes(): number {
    return this.from(this.#received + 1).reduce((sum, { payload }) => sum + payload.length, 0);
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

  /** The gateway has everything up to `received`, and will never ask again for anything up to `committed`. */
  acknowledge(received: number, committed: number): void {
    this.#received = Math.max(this.#received, received);
    while ((this.#kept[0]?.sequence ?? Infinity) <= committed) this.#forgetOldest();
  }

  /** The kept chunks from `sequence` on. */
  from(sequence: number): readonly Chunk[] {
    return this.#kept.filter((chunk) => chunk.sequence >= sequence);
  }

  /** The chunks to resend to a gateway, perhaps another one, that has none from `sequence` on. */
  rewind(sequence: number): readonly Chunk[] {
    this.#received = sequence - 1;
    return this.from(sequence);
  }

  /** Forgets all chunks. Numbering continues at `next`. */
  clear(next = this.#next): void {
    this.#kept = [];
    this.#bytes = 0;
    this.#next = next;
  }

  #forgetOldest(): void {
    this.#bytes -= this.#kept.shift()?.payload.length ?? 0;
  }
}
