// @ts-check
/** The few things every controller does with elements. People's text goes in by textContent only. */

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no #${id} on this page`);
  return /** @type {T} */ (element);
}

/**
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {T}
 */
export function find(root, selector) {
  const element = root.querySelector(selector);
  if (!element) throw new Error(`no ${selector} here`);
  return /** @type {T} */ (/** @type {unknown} */ (element));
}

/**
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} name
 * @returns {T}
 */
export function field(root, name) {
  return find(root, `[data-field="${name}"]`);
}

/**
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {ParentNode} root
 * @param {string} name
 * @param {string} text
 */
export function fill(root, name, text) {
  say(field(root, name), text);
}

/**
 * A copy of a <template>'s one element.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function clone(id) {
  const template = /** @type {HTMLTemplateElement} */ (byId(id));
  const element = template.content.firstElementChild;
  if (!element) throw new Error(`#${id} is empty`);
  return /** @type {HTMLElement} */ (document.importNode(element, true));
}

/**
 * Make `list`'s children be `items`, in order; elements whose key stays are kept, so that focus stays too.
 * @template T
 * @param {Element} list
 * @param {T[]} items
 * @param {(item: T) => string} key
 * @param {(item: T) => HTMLElement} make
 * @param {(element: HTMLElement, item: T) => void} update
 */
export function reconcile(list, items, key, make, update) {
  /** @type {Map<string, HTMLElement>} */
  const old = new Map();
  for (const child of [...list.children]) {
    const name = /** @type {HTMLElement} */ (child).dataset.key;
    // A child without a key was drawn by the server: the first pass replaces it.
    if (name === undefined || old.has(name)) child.remove();
    else old.set(name, /** @type {HTMLElement} */ (child));
  }
  /** @type {ChildNode|null} */
  let at = list.firstChild;
  for (const item of items) {
    const name = key(item);
    let element = old.get(name);
    if (!element) {
      element = make(item);
      element.dataset.key = name;
    }
    old.delete(name);
    update(element, item);
    if (element === at) at = at.nextSibling;
    else list.insertBefore(element, at);
  }
  for (const gone of old.values()) gone.remove();
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {boolean} on
 */
export function flag(element, name, on) {
  const value = on ? "yes" : "no";
  if (/** @type {HTMLElement} */ (element).dataset[name] !== value) /** @type {HTMLElement} */ (element).dataset[name] = value;
}

/**
 * @param {HTMLImageElement} image
 * @param {string} src
 * @param {string} [alt]
 * @param {string} [srcset] the same in further widths
 */
export function picture(image, src, alt = "", srcset = "") {
  // First the widths: by the address alone a browser would fetch the wrong one too.
  if ((image.getAttribute("srcset") ?? "") !== srcset) srcset ? (image.srcset = srcset) : image.removeAttribute("srcset");
  if (!src) image.removeAttribute("src");
  else if (image.getAttribute("src") !== src) image.src = src;
  if (image.alt !== alt) image.alt = alt;
}

/**
 * The part of a ring that is left.
 * @param {ParentNode} root
 * @param {number} percent 0 to 100
 */
export function ring(root, percent) {
  root.querySelector('[data-field="ring-left"]')?.setAttribute("stroke-dashoffset", String(Math.round(100 - percent)));
}

/**
 * A sentence that goes by itself, with at most one thing to do about it.
 * @param {string} text
 * @param {{act?: string, onAct?: () => void, ms?: number}} [options]
 */
export function toast(text, { act, onAct, ms = 5000 } = {}) {
  const element = document.createElement("div");
  element.className = "toast";
  const words = document.createElement("span");
  words.textContent = text;
  element.append(words);
  const gone = setTimeout(() => element.remove(), ms);
  if (act && onAct) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = act;
    button.addEventListener("click", () => {
      clearTimeout(gone);
      element.remove();
      onAct();
    });
    element.append(button);
  }
  byId("toasts").append(element);
  return element;
}

/** Where the room's socket is. @param {string} slug */
export function socketUrl(slug) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/${encodeURIComponent(slug)}`;
}

/** The state that the server wrote into the page. @returns {any} */
export function embedded() {
  return JSON.parse(byId("state").textContent ?? "{}");
}
