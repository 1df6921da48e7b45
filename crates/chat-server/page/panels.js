/** On a narrow screen the lists of rooms and people lie over the messages until one is needed. */

import { byId } from "./dom.js";

/** Makes their buttons work. */
export function panels() {
  const app = byId("app");
  const toggle = (/** @type {string} */ button, /** @type {string} */ panel) => {
    byId(button).addEventListener("click", () => {
      const open = app.dataset.panel !== panel;
      closePanels();
      if (open) app.dataset.panel = panel;
      byId(button).setAttribute("aria-expanded", String(open));
    });
  };
  toggle("show-rooms", "rooms");
  toggle("show-people", "people");
  byId("veil").addEventListener("click", closePanels);
  byId("hide-people").addEventListener("click", closePanels);
  addEventListener("keydown", (event) => event.key === "Escape" && closePanels());
}

export function closePanels() {
  delete byId("app").dataset.panel;
  for (const button of ["show-rooms", "show-people"]) byId(button).setAttribute("aria-expanded", "false");
}
