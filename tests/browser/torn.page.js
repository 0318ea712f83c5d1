// Counts the rows that are there, then commits three more, each by itself and strictly: on IndexedDB as it is, or on a
// DataSync database in it. Tells both. Is killed by its driver; must not know when, nor what is torn.

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

const SIDES = {
  async raw() {
    const opening = indexedDB.open("raw", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("rows");
    const db = await done(opening);
    const add = (id) => new Promise((resolve, reject) => {
      const transaction = db.transaction("rows", "readwrite", { durability: "strict" });
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
      transaction.objectStore("rows").add("row", id);
    });
    return { count: () => done(db.transaction("rows").objectStore("rows").count()), add };
  },
  async datasync() {
    const { open } = await import("/js/dist/index.js");
    const db = await open({ name: "torn", backend: "indexeddb" });
    await db.exec("CREATE TABLE IF NOT EXISTS rows(id INTEGER PRIMARY KEY)");
    const count = async () => (await db.get("SELECT count(*) AS n FROM rows")).n;
    return { count, add: (id) => db.exec("INSERT INTO rows VALUES (?)", [id]) };
  },
};

const tell = (value) => fetch("/told", { method: "POST", body: JSON.stringify(value) });
try {
  const side = await SIDES[new URL(location).searchParams.get("side")]();
  const found = await side.count();
  for (let id = found; id < found + 3; id += 1) await side.add(id);
  await tell({ found });
} catch (error) {
  await tell({ error: `${error.kind ?? error.name}: ${error.message}` });
}
