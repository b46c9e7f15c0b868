// @ts-check
/** The packing lists' page: its moments, and the printer at a button. */
import "./moments.js";

document.getElementById("print")?.addEventListener("click", () => print());
