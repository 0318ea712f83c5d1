// IndexedDB itself, as a careful program would use it: one transaction per commit, an explicit commit(),
// done when `complete` came. `strict` or `relaxed` is what the transaction asks for.

export async function open(name, { durability }) {
  const db = await done(
    Object.assign(indexedDB.open(`raw-${durability}-${name}`, 1), {
      onupgradeneeded: ({ target }) => {
        target.result.createObjectStore("log");
        target.result.createObjectStore("kv");
      },
    }),
  );
  const write = (statements) =>
    new Promise((resolve, reject) => {
      const transaction = db.transaction(["log", "kv"], "readwrite", { durability });
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
      const stores = { log: transaction.objectStore("log"), kv: transaction.objectStore("kv") };
      for (const [statement, params] of statements) WRITES[statement](stores, params);
      transaction.commit();
    });
  return {
    run: (statement, params) => write([[statement, params]]),
    batch: write,
    all: (statement, params) => READS[statement](db, params),
    close: async () => db.close(),
  };
}

const WRITES = {
  logInsert: ({ log }, [id, v]) => log.add(v, id),
  kvInsert: ({ kv }, [id, v]) => kv.add(v, id),
  kvUpdate: ({ kv }, [v, id]) => kv.put(v, id),
  kvPut: ({ kv }, [id, v]) => kv.put(v, id),
};

const READS = {
  kvAll: (db) => everything(db, "kv"),
  logGet: async (db, [id]) => [[await done(db.transaction("log").objectStore("log").get(id))]],
  logSpan: async (db) => {
    const keys = await done(db.transaction("log").objectStore("log").getAllKeys());
    return [[keys.length, keys[0] ?? null, keys.at(-1) ?? null]];
  },
  logLarge: async (db) => {
    const rows = await everything(db, "log");
    return [[rows.findLast(([, v]) => v.startsWith("large"))?.[0] ?? null]];
  },
  // There is no such check of IndexedDB.
  integrity: async () => [["ok"]],
  kvGet: async (db, [id]) => {
    const found = await done(db.transaction("kv").objectStore("kv").get(id));
    return found === undefined ? [] : [[found]];
  },
  // In runs of a thousand: a cursor is several times slower, all at once would need all the memory.
  kvScan: async (db) => {
    const store = db.transaction("kv").objectStore("kv");
    let [count, bytes, most, from] = [0, 0, "", undefined];
    for (;;) {
      const range = from === undefined ? undefined : IDBKeyRange.lowerBound(from, true);
      const [values, keys] = await Promise.all([done(store.getAll(range, 1000)), done(store.getAllKeys(range, 1000))]);
      for (const value of values) {
        count += 1;
        bytes += value.length;
        if (value > most) most = value;
      }
      if (values.length < 1000) return [[count, bytes, most]];
      from = keys[keys.length - 1];
    }
  },
};

async function everything(db, name) {
  const store = db.transaction(name).objectStore(name);
  const [keys, values] = await Promise.all([done(store.getAllKeys()), done(store.getAll())]);
  return keys.map((key, place) => [key, values[place]]);
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
