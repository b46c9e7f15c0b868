// @ts-check
/** How long to wait before the next try: ever longer, and never all at once. Pure but for chance. */

export const SPREAD_MS = 200; // a thousand pages that are told at once don't come in one moment

export class Pauses {
  /**
   * @param {number} firstMs
   * @param {number} lastMs
   */
  constructor(firstMs, lastMs) {
    this.firstMs = firstMs;
    this.lastMs = lastMs;
    this.nowMs = firstMs;
  }

  /** The pause before the next try; the one after it is twice as long. */
  next() {
    const ms = this.nowMs;
    this.nowMs = Math.min(this.lastMs, this.nowMs * 2);
    return ms;
  }

  reset() {
    this.nowMs = this.firstMs;
  }
}

/**
 * @param {string | null} header seconds, or a date (RFC 9110 section 10.2.3)
 * @returns {number | undefined}
 */
export function retryAfterMs(header) {
  if (!header) return undefined;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.min(60_000, Math.max(0, ms)) : undefined;
}
