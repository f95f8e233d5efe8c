// Typed events without a DOM: the same in browsers and Node.

export type Listener<T> = (value: T) => void;

/** `Events` maps the name of an event to the value that its listeners receive. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never>>>();

  /** Adds a listener; returns a function that removes it. */
  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    const known = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, known.add(listener as Listener<never>));
    return () => void known.delete(listener as Listener<never>);
  }

  protected emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) (listener as Listener<Events[Name]>)(value);
  }
}
