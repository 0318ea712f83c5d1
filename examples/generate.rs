//! Writes a plain SQLite database of a wanted size: a shop with customers, products, orders, order lines,
//! an event trail of JSON text and scanned receipts. The same size and seed give the same rows.
//!
//! `cargo xtask generate PATH --megabytes N [--seed S]`

use std::path::Path;
use std::process::ExitCode;

use rusqlite::{Connection, Statement, Transaction, params};

const SCHEMA: &str = "
CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE, city TEXT, since TEXT);
CREATE TABLE product(id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, title TEXT, price REAL, stock INTEGER);
CREATE TABLE purchase(id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customer(id),
                      placed TEXT NOT NULL, note TEXT);
CREATE TABLE line(purchase INTEGER NOT NULL REFERENCES purchase(id), position INTEGER NOT NULL,
                  product INTEGER NOT NULL REFERENCES product(id), quantity INTEGER, price REAL,
                  PRIMARY KEY(purchase, position)) WITHOUT ROWID;
CREATE TABLE event(id INTEGER PRIMARY KEY, purchase INTEGER, kind TEXT, body TEXT);
CREATE TABLE receipt(id INTEGER PRIMARY KEY, purchase INTEGER UNIQUE, scan BLOB);
CREATE INDEX purchase_by_customer ON purchase(customer, placed);
CREATE INDEX line_by_product ON line(product);
CREATE VIEW turnover AS
  SELECT p.customer, sum(l.quantity * l.price) AS total FROM purchase p JOIN line l ON l.purchase = p.id GROUP BY 1;
CREATE TRIGGER sold AFTER INSERT ON line BEGIN
  UPDATE product SET stock = stock - new.quantity WHERE id = new.product;
END;
";

const FIRST: [&str; 12] =
    ["Ada", "Bao", "Chidi", "Dana", "Eero", "Fatima", "Goran", "Hana", "Imre", "Jo", "Kofi", "Lucia"];
const LAST: [&str; 10] = [
    "Okafor",
    "Smith",
    "Nguyen",
    "Garc\u{ed}a",
    "M\u{fc}ller",
    "Sato",
    "Kowalski",
    "Silva",
    "Haddad",
    "Jensen",
];
const CITY: [&str; 8] = ["Lagos", "Oslo", "Lima", "Krak\u{f3}w", "Osaka", "Perth", "Quito", "Turin"];
const KIND: [&str; 5] = ["placed", "paid", "packed", "sent", "delivered"];

const PRODUCTS: i64 = 5000;
/// Purchases in one transaction of the generator.
const CHUNK: i64 = 2000;

/// SplitMix64 (Steele, Lea, Flood 2014): enough for made-up rows.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, not including, `bound` (at least 1).
    fn below(&mut self, bound: i64) -> i64 {
        i64::try_from(self.roll() >> 1).expect("63 bits fit") % bound
    }

    fn index(&mut self, len: usize) -> usize {
        let bound = i64::try_from(len).expect("a small table");
        usize::try_from(self.below(bound)).expect("not negative, below a slice's length")
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.index(choices.len())]
    }

    fn cents(&mut self, bound: u32) -> f64 {
        let cents = self.below(i64::from(bound));
        f64::from(u32::try_from(cents).expect("below a u32")) / 100.0
    }
}

fn date(day: i64) -> String {
    format!("{:04}-{:02}-{:02}", 2015 + day / 336 % 10, day / 28 % 12 + 1, day % 28 + 1)
}

fn fill_products(tx: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<()> {
    let mut insert = tx.prepare("INSERT INTO product VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for id in 1..=PRODUCTS {
        let title =
            format!("{} {} no. {}", dice.of(&CITY), dice.of(&["lamp", "chair", "kettle", "radio"]), id);
        insert.execute(params![
            id,
            format!("P-{id:06}"),
            title,
            dice.cents(20_000),
            dice.below(1_000_000)
        ])?;
    }
    Ok(())
}

/// The inserts of one transaction.
struct Inserts<'tx> {
    customer: Statement<'tx>,
    purchase: Statement<'tx>,
    line: Statement<'tx>,
    event: Statement<'tx>,
    receipt: Statement<'tx>,
}

impl<'tx> Inserts<'tx> {
    fn new(tx: &'tx Transaction<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            customer: tx.prepare("INSERT INTO customer VALUES (?1, ?2, ?3, ?4, ?5)")?,
            purchase: tx.prepare("INSERT INTO purchase VALUES (?1, ?2, ?3, ?4)")?,
            line: tx.prepare("INSERT INTO line VALUES (?1, ?2, ?3, ?4, ?5)")?,
            event: tx.prepare("INSERT INTO event(purchase, kind, body) VALUES (?1, ?2, ?3)")?,
            receipt: tx.prepare("INSERT INTO receipt(purchase, scan) VALUES (?1, ?2)")?,
        })
    }

    /// One purchase with everything that belongs to it, and every third time a new customer before it.
    fn purchase(&mut self, dice: &mut Dice, id: i64) -> rusqlite::Result<()> {
        let customers = id / 3 + 1;
        if id % 3 == 0 {
            let name = format!("{} {}", dice.of(&FIRST), dice.of(&LAST));
            let (email, since) = (format!("c{customers}@example.org"), date(dice.below(3000)));
            self.customer.execute(params![customers, name, email, dice.of(&CITY), since])?;
        }
        let note = (dice.below(4) == 0).then(|| "please ring twice; ".repeat(1 + dice.index(20)));
        self.purchase.execute(params![id, 1 + dice.below(customers), date(id / 400), note])?;
        for position in 1..=1 + dice.below(6) {
            let (product, quantity) = (1 + dice.below(PRODUCTS), 1 + dice.below(9));
            self.line.execute(params![id, position, product, quantity, dice.cents(20_000)])?;
        }
        for kind in &KIND[..1 + dice.index(KIND.len())] {
            let (by, reference) = (dice.of(&FIRST), dice.roll());
            let body = format!("{{\"kind\":\"{kind}\",\"by\":\"{by}\",\"ref\":\"{reference:016x}\"}}");
            self.event.execute(params![id, kind, body])?;
        }
        if dice.below(5) == 0 {
            let words = 64 + dice.below(2500);
            let scan: Vec<u8> = (0..words).flat_map(|_| dice.roll().to_le_bytes()).collect();
            self.receipt.execute(params![id, scan])?;
        }
        Ok(())
    }
}

fn generate(path: &Path, megabytes: u64, seed: u64) -> Result<(), Box<dyn std::error::Error>> {
    if path.exists() {
        return Err(format!("{} exists already; name a file that does not", path.display()).into());
    }
    let mut db = Connection::open(path)?;
    // No journal: a half-made file is simply made again.
    db.execute_batch("PRAGMA page_size=4096; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")?;
    let mut dice = Dice(seed);
    db.execute_batch(SCHEMA)?;
    let tx = db.transaction()?;
    tx.prepare("INSERT INTO customer VALUES (1, 'Ada Okafor', 'c1@example.org', 'Lagos', '2015-01-01')")?
        .execute([])?;
    fill_products(&tx, &mut dice)?;
    tx.commit()?;
    let wanted = megabytes * 1024 * 1024;
    let mut id = 0;
    while std::fs::metadata(path)?.len() < wanted {
        let tx = db.transaction()?;
        let mut inserts = Inserts::new(&tx)?;
        for _ in 0..CHUNK {
            id += 1;
            inserts.purchase(&mut dice, id)?;
        }
        drop(inserts);
        tx.commit()?;
    }
    db.execute_batch("ANALYZE")?;
    println!("{}: {} bytes, {id} purchases, seed {seed}", path.display(), std::fs::metadata(path)?.len());
    Ok(())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let number = |name: &str, default: u64| value(name).map_or(Some(default), |text| text.parse().ok());
    let (Some(path), Some(megabytes), Some(seed)) =
        (args.first().filter(|arg| !arg.starts_with('-')), number("--megabytes", 200), number("--seed", 1))
    else {
        eprintln!("usage: generate PATH [--megabytes N] [--seed S]");
        return ExitCode::from(2);
    };
    match generate(Path::new(path), megabytes, seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
