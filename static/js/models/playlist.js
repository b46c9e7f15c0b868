// @ts-check
/**
 * HLS playlists as the page reads them (RFC 8216bis): the multivariant one, media playlists with partial segments, and
 * delta updates. Pure: text in, objects out. Times are ms; durations are ms too, kept as fractions.
 */

/**
 * A partial segment, or a whole one where the playlist no longer lists its parts: what is fetched in one go.
 * @typedef {{msn: number, part: number | null, uri: string, byterange: string | null, durationMs: number,
 *   independent: boolean, gap: boolean, pdtMs: number | null, map: string | null, discontinuity: number}} Piece
 *   `part` is null for a whole segment; `discontinuity` numbers the timeline it belongs to
 * @typedef {{msn: number, uri: string | null, byterange: string | null, durationMs: number, gap: boolean,
 *   pdtMs: number | null, map: string | null, discontinuity: number, parts: Piece[]}} Segment `uri` is null while it grows
 * @typedef {{targetMs: number, partTargetMs: number | null, holdBackMs: number, canBlock: boolean, canSkipMs: number,
 *   firstMsn: number, firstDiscontinuity: number, segments: Segment[], hint: string | null, skipped: number, ended: boolean}} MediaPlaylist
 * @typedef {{uri: string, bandwidth: number, codecs: string, width: number, height: number}} Variant
 */

export class BadPlaylist extends Error {}

/** Whether this is a multivariant playlist. @param {string} text */
export function isMultivariant(text) {
  return /^#EXT-X-STREAM-INF:/m.test(text);
}

/**
 * The variants, widest line first.
 * @param {string} text
 * @returns {Variant[]}
 */
export function parseMultivariant(text) {
  const rows = lines(text);
  /** @type {Variant[]} */
  const variants = [];
  rows.forEach((row, at) => {
    if (!row.startsWith("#EXT-X-STREAM-INF:")) return;
    const facts = attributes(row);
    const uri = rows.slice(at + 1).find((next) => !next.startsWith("#"));
    const [width, height] = (facts.RESOLUTION ?? "0x0").split("x").map(Number);
    if (uri) variants.push({ uri, bandwidth: Number(facts.BANDWIDTH ?? 0), codecs: facts.CODECS ?? "", width: width ?? 0, height: height ?? 0 });
  });
  return variants.sort((one, other) => other.bandwidth - one.bandwidth);
}

/**
 * @param {string} text
 * @returns {MediaPlaylist} with `skipped` > 0 it is a delta update: `merge` makes it whole
 */
export function parseMedia(text) {
  const rows = lines(text);
  /** @type {MediaPlaylist} */
  const list = { targetMs: 0, partTargetMs: null, holdBackMs: 0, canBlock: false, canSkipMs: 0, firstMsn: 0, firstDiscontinuity: 0, segments: [], hint: null, skipped: 0, ended: false };
  let msn = 0;
  let discontinuity = 0;
  /** @type {string | null} */
  let map = null;
  /** @type {number | null} */
  let pdtMs = null;
  let durationMs = 0;
  let gap = false;
  /** @type {string | null} */
  let byterange = null;
  /** @type {Piece[]} */
  let parts = [];
  let holdBackMs = 0;
  let partHoldBackMs = 0;
  for (const row of rows) {
    const [tag, rest] = cut(row);
    switch (tag) {
      case "#EXT-X-TARGETDURATION": list.targetMs = Number(rest) * 1000; break;
      case "#EXT-X-MEDIA-SEQUENCE": list.firstMsn = msn = Number(rest); break;
      case "#EXT-X-DISCONTINUITY-SEQUENCE": list.firstDiscontinuity = discontinuity = Number(rest); break;
      case "#EXT-X-PART-INF": list.partTargetMs = seconds(attributes(row)["PART-TARGET"]); break;
      case "#EXT-X-SERVER-CONTROL": {
        const facts = attributes(row);
        list.canBlock = facts["CAN-BLOCK-RELOAD"] === "YES";
        list.canSkipMs = seconds(facts["CAN-SKIP-UNTIL"]);
        holdBackMs = seconds(facts["HOLD-BACK"]);
        partHoldBackMs = seconds(facts["PART-HOLD-BACK"]);
        break;
      }
      case "#EXT-X-SKIP":
        list.skipped = Number(attributes(row)["SKIPPED-SEGMENTS"] ?? 0);
        msn += list.skipped;
        break;
      case "#EXT-X-MAP": {
        const facts = attributes(row);
        map = facts.URI ? facts.URI + (facts.BYTERANGE ? `#${facts.BYTERANGE}` : "") : null;
        break;
      }
      case "#EXT-X-PROGRAM-DATE-TIME": pdtMs = Date.parse(rest); break;
      case "#EXT-X-DISCONTINUITY": discontinuity += 1; pdtMs = null; break;
      case "#EXT-X-GAP": gap = true; break;
      case "#EXT-X-BYTERANGE": byterange = rest; break;
      case "#EXTINF": durationMs = seconds(rest); break;
      case "#EXT-X-PART": {
        const facts = attributes(row);
        const part = { msn, part: parts.length, uri: facts.URI ?? "", byterange: facts.BYTERANGE ?? null, durationMs: seconds(facts.DURATION), independent: facts.INDEPENDENT === "YES", gap: facts.GAP === "YES", pdtMs, map, discontinuity };
        parts.push(part);
        if (pdtMs !== null) pdtMs += part.durationMs;
        break;
      }
      case "#EXT-X-PRELOAD-HINT": {
        const facts = attributes(row);
        if (facts.TYPE === "PART") list.hint = facts.URI ?? null;
        break;
      }
      case "#EXT-X-ENDLIST": list.ended = true; break;
      default:
        if (row.startsWith("#") || !row) break;
        // The segment's time is its first part's, which may have been counted on from the segment before.
        list.segments.push({ msn, uri: row, byterange, durationMs, gap, pdtMs: parts.length ? (parts[0]?.pdtMs ?? null) : pdtMs, map, discontinuity, parts });
        if (pdtMs !== null && !parts.length) pdtMs += durationMs;
        else if (pdtMs !== null) pdtMs = (parts[0]?.pdtMs ?? pdtMs) + durationMs;
        parts = [];
        gap = false;
        byterange = null;
        msn += 1;
    }
  }
  // The segment that is still growing.
  if (parts.length) list.segments.push({ msn, uri: null, byterange: null, durationMs: parts.reduce((sum, part) => sum + part.durationMs, 0), gap: false, pdtMs: parts[0]?.pdtMs ?? null, map, discontinuity, parts });
  if (!rows[0]?.startsWith("#EXTM3U") || !list.targetMs) throw new BadPlaylist(text.slice(0, 80));
  list.holdBackMs = (list.partTargetMs ? partHoldBackMs || list.partTargetMs * 3 : holdBackMs) || list.targetMs * 3;
  return list;
}

/**
 * A delta update made whole with what was known before (RFC 8216bis section 6.2.5.1), or null when that reaches not
 * far enough back: then the whole playlist is asked for.
 * @param {MediaPlaylist | null} before
 * @param {MediaPlaylist} news
 * @returns {MediaPlaylist | null}
 */
export function merge(before, news) {
  if (!news.skipped) return news;
  const skipped = (before?.segments ?? []).filter((one) => one.msn >= news.firstMsn && one.msn < news.firstMsn + news.skipped && one.uri !== null);
  const last = skipped.at(-1);
  if (skipped.length !== news.skipped || !last) return null;
  // What follows inherits from what was left out: its init segment, its timeline, its clock.
  let map = last.map;
  const base = last.discontinuity - news.firstDiscontinuity;
  let pdtMs = last.pdtMs === null ? null : last.pdtMs + last.durationMs;
  const segments = news.segments.map((segment) => {
    map = segment.map ?? map;
    const known = segment.pdtMs ?? pdtMs;
    const parts = counted(segment.parts, known).map((part) => ({ ...part, map: part.map ?? map, discontinuity: part.discontinuity + base }));
    pdtMs = known === null ? null : known + segment.durationMs;
    return { ...segment, map, parts, pdtMs: known, discontinuity: segment.discontinuity + base };
  });
  return { ...news, segments: [...skipped, ...segments], skipped: 0 };
}

/**
 * What is to be fetched next after `last`, oldest first: parts where they are listed, whole segments else.
 * @param {MediaPlaylist} list
 * @param {{msn: number, part: number | null} | null} last the piece that was taken last; null: everything
 * @returns {Piece[]}
 */
export function piecesAfter(list, last) {
  /** @type {Piece[]} */
  const pieces = [];
  for (const segment of list.segments) {
    if (last && (segment.msn < last.msn || (segment.msn === last.msn && last.part === null))) continue;
    if (segment.parts.length) pieces.push(...segment.parts.filter((part) => !last || part.msn > last.msn || (part.part ?? 0) > (last.part ?? 0)));
    // A segment of which parts were taken and whose further parts are no longer listed is lost from here on.
    else if (segment.uri !== null && !(last && segment.msn === last.msn)) {
      const { msn, uri, byterange, durationMs, gap, pdtMs, map, discontinuity } = segment;
      pieces.push({ msn, part: null, uri, byterange, durationMs, independent: true, gap, pdtMs, map, discontinuity });
    }
  }
  return pieces;
}

/**
 * Where to begin: the newest piece that can be decoded by itself and lies at least `holdBackMs` behind the edge.
 * @param {MediaPlaylist} list
 * @returns {Piece | null}
 */
export function startPiece(list) {
  const pieces = piecesAfter(list, null).filter((piece) => !piece.gap);
  let behindMs = 0;
  /** @type {Piece | null} */
  let start = null;
  for (const piece of [...pieces].reverse()) {
    behindMs += piece.durationMs;
    if (!piece.independent) continue;
    start = piece;
    if (behindMs >= list.holdBackMs) break;
  }
  return start;
}

/**
 * `_HLS_msn` and `_HLS_part` of what comes next: the server answers when it is there.
 * @param {MediaPlaylist} list
 */
export function next(list) {
  const last = list.segments.at(-1);
  if (!last) return { msn: list.firstMsn, part: 0 };
  return last.uri === null ? { msn: last.msn, part: last.parts.length } : { msn: last.msn + 1, part: 0 };
}

/** @param {Piece[]} parts @param {number | null} pdtMs */
function counted(parts, pdtMs) {
  let at = pdtMs;
  return parts.map((part) => {
    const known = part.pdtMs ?? at;
    at = known === null ? null : known + part.durationMs;
    return { ...part, pdtMs: known };
  });
}

/** @param {string} text */
function lines(text) {
  return text.split(/\r?\n/).map((row) => row.trim()).filter(Boolean);
}

/** @param {string} row @returns {[string, string]} */
function cut(row) {
  const at = row.indexOf(":");
  return row.startsWith("#") && at > 0 ? [row.slice(0, at), row.slice(at + 1)] : [row, ""];
}

/** @param {string | undefined} text */
function seconds(text) {
  return Math.round((Number.parseFloat(text ?? "0") || 0) * 1_000_000) / 1000;
}

/**
 * An attribute list (RFC 8216 section 4.2): a comma within quotes belongs to its value.
 * @param {string} row
 * @returns {Record<string, string | undefined>}
 */
export function attributes(row) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const [, name, quoted, bare] of row.slice(row.indexOf(":") + 1).matchAll(/([A-Z0-9-]+)=(?:"([^"]*)"|([^,]*))/g)) {
    if (name) found[name] = quoted ?? bare ?? "";
  }
  return found;
}
