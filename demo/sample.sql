-- A small record shop that never was: every name, number and review below is made by this script, with
-- arithmetic in place of chance, so that it is the same shop for everybody. One transaction, one commit.

CREATE TABLE artist (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  town TEXT NOT NULL,
  since INTEGER NOT NULL
);
CREATE TABLE album (
  id INTEGER PRIMARY KEY,
  artist INTEGER NOT NULL REFERENCES artist,
  title TEXT NOT NULL,
  genre TEXT NOT NULL,
  year INTEGER NOT NULL,
  cents INTEGER NOT NULL CHECK (cents > 0),
  stock INTEGER NOT NULL CHECK (stock >= 0)
);
CREATE TABLE track (
  id INTEGER PRIMARY KEY,
  album INTEGER NOT NULL REFERENCES album,
  place INTEGER NOT NULL,
  title TEXT NOT NULL,
  seconds INTEGER NOT NULL
);
CREATE TABLE customer (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  town TEXT NOT NULL
);
CREATE TABLE sale (
  id INTEGER PRIMARY KEY,
  customer INTEGER NOT NULL REFERENCES customer,
  album INTEGER NOT NULL REFERENCES album,
  pieces INTEGER NOT NULL,
  cents INTEGER NOT NULL,
  day TEXT NOT NULL
);
CREATE VIRTUAL TABLE review USING fts5(title, artist, words, tokenize = 'porter unicode61');

-- The words that everything is made of. Each list has a length without a common divisor with its neighbours.
CREATE TEMP TABLE word (kind TEXT, n INTEGER, text TEXT, PRIMARY KEY (kind, n));
INSERT INTO word
SELECT list.column1, item.key, item.value
FROM (VALUES
  ('colour', '["Paper","Velvet","Copper","Hollow","Quiet","Amber","Northern","Electric","Silver","Distant",
    "Salt","Crooked","Midnight","Tin","Wild","Marble","Second"]'),
  ('thing', '["Lantern","Harbour","Sparrow","Engine","Orchard","River","Telegram","Beacon","Meadow",
    "Station","Tide","Mirror","Winter"]'),
  ('end', '["s","s","s"," Club"," Quartet","s"," and Sons","s"," Orchestra","s","s"]'),
  ('town', '["Bremen","Porto","Aarhus","Leith","Ghent","Trieste","Gdansk","Cork","Bergen","Lyon","Turku"]'),
  ('genre', '["Folk","Jazz","Electronic","Soul","Chamber","Rock","Dub"]'),
  ('lead', '["Letters from the","Songs for the","Under the","The Last","A Map of the","Waiting for the",
    "Return of the","No"]'),
  ('first', '["Ada","Bela","Carla","Dara","Emil","Freya","Goran","Hanne","Ines","Jonas","Kaja","Liv","Milo",
    "Nora","Otto","Pia","Rafael","Signe","Teo"]'),
  ('last', '["Abel","Brandt","Costa","Dahl","Engel","Farkas","Gallo","Holm","Ibsen","Jansen","Kovac","Lund",
    "Moreau","Novak","Olsen","Petit","Quist","Rossi","Sand","Thorn","Urban","Vidal","Weiss"]'),
  ('mood', '["A slow, luminous","A restless","The warmest","A stubborn and funny","An almost silent",
    "A generous","The loudest"]'),
  ('noun', '["record","debut","set of songs","live evening","farewell","half hour"]'),
  ('sound', '["brushed drums","a church organ","two cellos","a broken synthesizer","hand claps",
    "a choir of neighbours","slide guitar","field recordings","one trumpet","double bass","tape hiss"]'),
  ('image', '["rain on the harbour","a train that never arrives","snow under a street lamp",
    "the sea before a storm","a kitchen after the party","an empty fairground","the first warm evening",
    "a radio left on in the night","dust in the afternoon light"]'),
  ('verdict', '["Play it twice.","Side two is the one.","It grows.","Not for the morning.",
    "You will hum it for days.","Buy it for the cover alone.","Best heard walking.","It ends too soon.",
    "Nobody else sounds like this.","The third track alone is worth it."]')
) AS list, json_each(list.column2) AS item;
CREATE TEMP TABLE number (i INTEGER PRIMARY KEY);
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 3999) INSERT INTO number SELECT i FROM n;

-- CROSS JOIN: in the order written, so that each word is one look-up.
INSERT INTO artist (id, name, town, since)
SELECT i + 1,
  'The ' || c.text || ' ' || t.text || e.text, w.text, 1968 + i * 17 % 52
FROM number
CROSS JOIN word c ON c.kind = 'colour' AND c.n = i % 17
CROSS JOIN word t ON t.kind = 'thing' AND t.n = i % 13
CROSS JOIN word e ON e.kind = 'end' AND e.n = i % 11
CROSS JOIN word w ON w.kind = 'town' AND w.n = i * 3 % 11
WHERE i < 64;

INSERT INTO album (id, artist, title, genre, year, cents, stock)
SELECT i + 1, 1 + i * 29 % 64,
  l.text || ' ' || iif(i % 3 = 0, c.text || ' ', '') || t.text, g.text,
  1970 + (i * 31 + i / 64 * 7) % 55, 990 + i * 7 % 9 * 250, 5 + i * 13 % 40
FROM number
CROSS JOIN word l ON l.kind = 'lead' AND l.n = i * 5 % 8
CROSS JOIN word c ON c.kind = 'colour' AND c.n = i * 3 % 17
CROSS JOIN word t ON t.kind = 'thing' AND t.n = i * 7 % 13
CROSS JOIN word g ON g.kind = 'genre' AND g.n = (i * 29 % 64 + i / 90) % 7
WHERE i < 256;

INSERT INTO track (album, place, title, seconds)
SELECT a.id, n.i + 1,
  iif((a.id * 7 + n.i) % 4 = 0, c.text || ' ' || t.text, iif((a.id + n.i) % 4 = 1, l.text || ' ' || t.text,
    t.text || ', ' || w.text)),
  95 + (a.id * 37 + n.i * 61) % 290
FROM album a
CROSS JOIN number n ON n.i < 8 + a.id % 5
CROSS JOIN word c ON c.kind = 'colour' AND c.n = (a.id * 5 + n.i * 3) % 17
CROSS JOIN word t ON t.kind = 'thing' AND t.n = (a.id * 3 + n.i * 4) % 13
CROSS JOIN word l ON l.kind = 'lead' AND l.n = (a.id + n.i * 3) % 8
CROSS JOIN word w ON w.kind = 'town' AND w.n = (a.id + n.i) % 11;

INSERT INTO customer (id, name, town)
SELECT i + 1, f.text || ' ' || l.text, w.text
FROM number
CROSS JOIN word f ON f.kind = 'first' AND f.n = i % 19
CROSS JOIN word l ON l.kind = 'last' AND l.n = i % 23
CROSS JOIN word w ON w.kind = 'town' AND w.n = i * 7 % 11
WHERE i < 300;

INSERT INTO sale (id, customer, album, pieces, cents, day)
SELECT i + 1, 1 + (i * 89 + i * i / 37) % 300, a.id, 1 + (i * 7 % 10 = 0), a.cents * (1 + (i * 7 % 10 = 0)),
  date('2023-01-01', (i * 730 / 4000) || ' days')
FROM number
CROSS JOIN album a ON a.id = 1 + (i * 11 % 256 * (i * 17 % 256)) / 256;

INSERT INTO review (rowid, title, artist, words)
SELECT a.id, a.title, r.name,
  m.text || ' ' || n.text || ': ' || s1.text || ', ' || s2.text || ' and ' || im.text || '. ' || v.text
FROM album a
CROSS JOIN artist r ON r.id = a.artist
CROSS JOIN word m ON m.kind = 'mood' AND m.n = a.id * 3 % 7
CROSS JOIN word n ON n.kind = 'noun' AND n.n = a.id % 6
CROSS JOIN word s1 ON s1.kind = 'sound' AND s1.n = a.id * 5 % 11
CROSS JOIN word s2 ON s2.kind = 'sound' AND s2.n = (a.id * 5 + 1 + a.id % 9) % 11
CROSS JOIN word im ON im.kind = 'image' AND im.n = a.id * 4 % 9
CROSS JOIN word v ON v.kind = 'verdict' AND v.n = a.id * 7 % 10;

CREATE INDEX sale_of_album ON sale (album);
CREATE INDEX album_of_artist ON album (artist);
CREATE INDEX track_of_album ON track (album);
DROP TABLE number;
DROP TABLE word;
