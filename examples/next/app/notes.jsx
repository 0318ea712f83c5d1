"use client";

import { open } from "datasync";
import { useEffect, useState } from "react";

/** Opened in the browser only, and made ready; `wait`, because a page that was just left may still hold it. */
async function openNotes(signal) {
  const db = await open({ name: "notes", wait: 5000, signal });
  await db.exec("CREATE TABLE IF NOT EXISTS notes(id INTEGER PRIMARY KEY, body TEXT NOT NULL)");
  return db;
}

export default function Notes() {
  const [db, setDb] = useState(null);
  const [notes, setNotes] = useState([]);
  const [body, setBody] = useState("");
  const [problem, setProblem] = useState("");

  useEffect(() => {
    // In development React mounts twice: what the first mount began is given up, or closed.
    const gone = new AbortController();
    const opening = openNotes(gone.signal);
    opening.then(
      async (opened) => {
        if (gone.signal.aborted) return;
        setNotes(await opened.query("SELECT id, body FROM notes ORDER BY id"));
        setDb(opened);
      },
      (error) => gone.signal.aborted || setProblem(error.message),
    );
    return () => {
      gone.abort();
      opening.then((opened) => opened.close()).catch(() => {});
    };
  }, []);

  async function add(event) {
    event.preventDefault();
    try {
      await db.exec("INSERT INTO notes(body) VALUES (?)", [body]);
      setNotes(await db.query("SELECT id, body FROM notes ORDER BY id"));
      setBody("");
    } catch (error) {
      setProblem(error.message);
    }
  }

  return (
    <>
      <form onSubmit={add}>
        <input value={body} onChange={(event) => setBody(event.target.value)} aria-label="A new note" required />
        <button disabled={db === null}>Keep it</button>
      </form>
      <ul>{notes.map((note) => <li key={note.id}>{note.body}</li>)}</ul>
      <p role="status">{problem || (db ? `${notes.length} notes in ${db.backend}; they are there when you reload.` : "Opening...")}</p>
    </>
  );
}
