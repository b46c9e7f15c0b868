// @ts-check
/** A file as a request's body, with how much of it is sent. `fetch` can't tell that, so it is XMLHttpRequest. */

/**
 * @param {string} path
 * @param {File} file
 * @param {(percent: number) => void} onSent
 * @returns {Promise<any>} the answer; a refusal is thrown as `{code, facts, status}`, as http.js does
 */
export function upload(path, file, onSent) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("X-CSRF", document.querySelector('meta[name="csrf"]')?.getAttribute("content") ?? "");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => event.lengthComputable && onSent((100 * event.loaded) / event.total));
    request.addEventListener("load", () => {
      const answer = request.response ?? {};
      if (request.status < 300) resolve(answer);
      else reject({ code: answer.code ?? "error", facts: answer.facts ?? {}, status: request.status });
    });
    for (const end of ["error", "abort", "timeout"]) request.addEventListener(end, () => reject({ code: "offline", facts: {}, status: 0 }));
    request.send(file);
  });
}

/**
 * A place to let a file fall on, around its <input type=file>.
 * @param {HTMLElement} place
 * @param {HTMLInputElement} input
 * @param {(file: File) => void} onFile
 */
export function takeFiles(place, input, onFile) {
  let depth = 0; // dragenter and dragleave come for every child too
  const over = (/** @type {boolean} */ is) => (place.dataset.over = is ? "yes" : "no");
  place.addEventListener("dragenter", () => over((depth += 1) > 0));
  place.addEventListener("dragleave", () => over((depth -= 1) > 0));
  place.addEventListener("dragover", (event) => event.preventDefault());
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    over(Boolean((depth = 0)));
    const file = event.dataTransfer?.files[0];
    if (file) onFile(file);
  });
  const chosen = () => {
    const file = input.files?.[0];
    if (file) onFile(file);
  };
  input.addEventListener("change", chosen);
  chosen(); // before this module was here
}
