// @ts-check
/**
 * One state and who wants to hear of it. Listeners compare the parts they show: every change is a new object.
 * @template T
 */
export class Store {
  /** @param {T} state */
  constructor(state) {
    this.state = state;
    /** @type {Set<(state: T, before: T) => void>} */
    this.listeners = new Set();
  }

  /** @param {T} state */
  set(state) {
    const before = this.state;
    if (state === before) return;
    this.state = state;
    for (const listener of this.listeners) listener(state, before);
  }

  /** @param {(state: T, before: T) => void} listener */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
