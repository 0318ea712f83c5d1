// Compiled, never run: what the types of the package promise to an application.

import { DataSyncError, open, type Database, type ErrorKind, type Row } from "datasync";

interface User {
  id: number;
  name: string;
}

export async function use(): Promise<User[]> {
  await using db: Database = await open({ name: "typed", durability: "witnessed", wait: 1000 });
  const users: User[] = await db.query<User>("SELECT id, name FROM users WHERE id > :id", { id: 1n });
  const plain: Row[] = await db.query("SELECT 1");
  const [first] = await db.query("SELECT 1", [], { rowMode: "array" });
  const value: null | number | bigint | string | Uint8Array | undefined = first?.[0] ?? plain[0]?.["x"];
  await db.transaction(async (tx) => {
    const [done] = await tx.batch([{ sql: "INSERT INTO users(name) VALUES (?)", rows: [["a"], ["b"]] }]);
    console.log(done?.changes.toFixed());
    for await (const { name } of tx.iterate<User>("SELECT * FROM users")) await tx.exec("SELECT ?", [name, value ?? null]);
  });
  db.on("sync", ({ durable, ms }) => console.log(durable.toFixed(), ms));
  await using session = await db.session({ tables: ["users"] });
  const { conflicts } = await db.applyChangeset(await session.changeset(), { onConflict: "omit", durability: "applied" });
  // @ts-expect-error: there is no such way.
  await db.applyChangeset(new Uint8Array(conflicts), { onConflict: "ignore" });
  // @ts-expect-error: there is no such event.
  db.on("synced", () => {});
  // @ts-expect-error: a Date is no value.
  await db.exec("SELECT ?", [new Date()]);
  try {
    await db.import(new Blob([]));
  } catch (error) {
    if (error instanceof DataSyncError) tell(error.kind);
  }
  return users;
}

function tell(kind: ErrorKind): string {
  switch (kind) {
    case "Busy":
      return "later";
    default:
      return kind;
  }
}
