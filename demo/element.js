// The page's own elements, by id. A missing one is a mistake of this page, told at once.

/** The element with this id. @returns {any} */
export function the(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no element "${id}"`);
  return element;
}
