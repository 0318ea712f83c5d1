// Rendered on the server, like any page; what needs the browser is in the client component.
import Notes from "./notes.jsx";

export default function Page() {
  return (
    <main>
      <h1>Notes</h1>
      <Notes />
    </main>
  );
}
