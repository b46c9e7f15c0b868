// @ts-check
/** Requests to our own API. A refusal is thrown as `{code, facts, status}`, as the socket's refusals are. */

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<any>}
 */
export async function call(method, path, body, headers = {}) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(path, {
      method,
      credentials: "same-origin",
      headers: { Accept: "application/json", ...(method === "GET" ? {} : { "Content-Type": "application/json", "X-CSRF": csrf() }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw { code: "offline", facts: {}, status: 0 };
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw { code: answer.code ?? "error", facts: answer.facts ?? {}, status: response.status };
  return answer;
}

function csrf() {
  return document.querySelector('meta[name="csrf"]')?.getAttribute("content") ?? "";
}

/** A random id; crypto.randomUUID exists on secure origins only, and a rehearsal may run on plain HTTP. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
