// @ts-check
/** The server's clock, as far as this page can tell: timers never trust the device's own date. */
export class ServerClock {
  /** @param {() => number} [local] this device's clock, ms */
  constructor(local = () => Date.now()) {
    this.local = local;
    this.ahead_ms = 0;
  }

  /** @param {number} now_ms the server's time at this moment */
  sync(now_ms) {
    this.ahead_ms = now_ms - this.local();
  }

  now() {
    return this.local() + this.ahead_ms;
  }
}

/**
 * Time left as people read it: 4:59, 1:04:59.
 * @param {number} ms
 */
export function timer(ms) {
  const s = Math.max(0, Math.ceil(ms / 1000));
  const pair = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const hours = Math.floor(s / 3600);
  const minutes = Math.floor(s / 60) % 60;
  return hours ? `${hours}:${pair(minutes)}:${pair(s % 60)}` : `${minutes}:${pair(s % 60)}`;
}

/**
 * @param {number} ms
 * @returns {{days: number, hours: number, minutes: number, seconds: number}}
 */
export function parts(ms) {
  const s = Math.max(0, Math.ceil(ms / 1000));
  return {
    days: Math.floor(s / 86400),
    hours: Math.floor(s / 3600) % 24,
    minutes: Math.floor(s / 60) % 60,
    seconds: s % 60,
  };
}
