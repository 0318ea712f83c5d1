// The box above everything else, for what stands in the way and what can be done about it.
//
// Knows its own elements. It takes the focus when it appears, so that it is read and its buttons are next.

/** The notice. `show({ title, text, actions, bad })`: actions are pairs of a name and what to do. */
export function createNotice() {
  const box = document.querySelector("#notice");
  const place = document.querySelector("#notice-actions");
  return {
    show({ title, text, actions, bad = false }) {
      document.querySelector("#notice-title").textContent = title;
      document.querySelector("#notice-text").textContent = text;
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
