// The box above everything else, for what stands in the way and what can be done about it.
//
// Knows its own elements. It takes the focus when it appears, so that it is read and its buttons are next.

import { the } from "./element.js";

/** The notice. `show({ title, text, actions, bad })`: actions are pairs of a name and what to do. */
export function createNotice() {
  const box = the("notice");
  const place = the("notice-actions");
  return {
    show({ title, text, actions, bad = false }) {
      the("notice-title").textContent = title;
      the("notice-text").textContent = text;
      box.classList.toggle("bad", bad);
      const buttons = actions.map(([name, act], index) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = name;
        button.className = index === 0 ? "primary" : "";
        button.addEventListener("click", act);
        return button;
      });
      place.replaceChildren(...buttons);
      box.hidden = false;
      box.focus();
    },
    hide() {
      box.hidden = true;
    },
  };
}
