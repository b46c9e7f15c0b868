// @ts-check
/** The page of the terms of sale: windows in the reader's own time, and a field that chooses its kind. All else is plain
 * forms; without this the windows are in UTC, as their labels say. */

const MINUTE_MS = 60_000;

for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("input[data-utc]"))) {
  const label = input.labels?.[0];
  if (label) label.textContent = `${input.dataset.utc}, your time`;
  if (input.value) input.value = shifted(input.value, -1);
  input.form?.addEventListener("formdata", ({ formData }) => {
    if (input.value) formData.set(input.name, shifted(input.value, 1));
  });
}

for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("input[data-kind]"))) {
  input.addEventListener("input", () => {
    const radio = /** @type {HTMLInputElement|null} */ (input.form?.querySelector(`input[name="kind"][value="${input.dataset.kind}"]`));
    if (radio) radio.checked = true;
  });
}

/**
 * A `datetime-local` value from the reader's time to UTC (1), or back (-1).
 * @param {string} value
 * @param {1|-1} way
 */
function shifted(value, way) {
  const ms = Date.parse(`${value}Z`);
  const offset = new Date(way === 1 ? value : ms).getTimezoneOffset();
  return new Date(ms + way * offset * MINUTE_MS).toISOString().slice(0, 16);
}
