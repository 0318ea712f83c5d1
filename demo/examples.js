// The examples above the console: a name to press, and the SQL it puts there.

/** `run: false` puts the SQL into the console and leaves running it to the reader. */
export const EXAMPLES = [
  {
    name: "Best sellers",
    sql: `SELECT album.title, artist.name AS artist, sum(pieces) AS sold,
       round(sum(sale.cents) / 100.0, 2) AS earned
FROM sale
JOIN album ON album.id = sale.album
JOIN artist ON artist.id = album.artist
GROUP BY album.id
ORDER BY sold DESC
LIMIT 20;`,
  },
  {
    name: "Search the reviews",
    sql: `-- FTS5: full-text search, best match first.
SELECT highlight(review, 0, '[', ']') AS album,
       snippet(review, 2, '[', ']', '...', 16) AS words,
       round(bm25(review), 2) AS score
FROM review('rain AND (cellos OR trumpet)')
ORDER BY rank
LIMIT 20;`,
  },
  {
    name: "A chart in SQL",
    sql: `SELECT strftime('%Y-%m', day) AS month,
       sum(cents) / 100 AS earned,
       printf('%.*c', sum(cents) / 20000, '#') AS chart
FROM sale
GROUP BY month
ORDER BY month;`,
  },
  {
    name: "Rank by genre",
    sql: `WITH sold AS (
  SELECT genre, title, sum(pieces) AS pieces
  FROM album JOIN sale ON sale.album = album.id
  GROUP BY album.id
)
SELECT genre, title, pieces,
       rank() OVER (PARTITION BY genre ORDER BY pieces DESC) AS place,
       round(100.0 * pieces / sum(pieces) OVER (PARTITION BY genre), 1) AS percent
FROM sold
ORDER BY place, pieces DESC
LIMIT 21;`,
  },
  {
    name: "An album as JSON",
    sql: `SELECT json_object(
  'title', album.title, 'artist', artist.name,
  'tracks', json_group_array(track.title ORDER BY track.place)) AS json
FROM album
JOIN artist ON artist.id = album.artist
JOIN track ON track.album = album.id
GROUP BY album.id
LIMIT 5;`,
  },
  {
    name: "Sell one",
    sql: `-- One transaction, one commit: watch the log.
BEGIN;
UPDATE album SET stock = stock - 1 WHERE id = 42;
INSERT INTO sale (customer, album, pieces, cents, day)
  SELECT 7, id, 1, cents, date('now') FROM album WHERE id = 42;
COMMIT;
SELECT title, stock FROM album WHERE id = 42;`,
  },
  {
    name: "A mistake",
    sql: `-- The shop cannot sell more than it has: CHECK (stock >= 0).
UPDATE album SET stock = stock - 1000 WHERE id = 42;`,
  },
  {
    name: "Is it whole?",
    sql: `PRAGMA integrity_check;
PRAGMA datasync_verify;
SELECT sqlite_version() AS sqlite, count(*) AS sales FROM sale;`,
  },
];
