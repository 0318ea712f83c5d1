//! The rows of the result, for people or for programs.

/// Collects rows and prints them.
pub struct Report {
    json: bool,
    rows: Vec<Row>,
}

struct Row {
    what: String,
    values: Vec<(&'static str, f64, &'static str)>,
}

impl Report {
    /// An empty report.
    pub fn new(json: bool) -> Self {
        Self { json, rows: Vec::new() }
    }

    /// Adds a row of (name, value, unit); a table row is printed at once.
    pub fn row(&mut self, what: impl Into<String>, values: &[(&'static str, f64, &'static str)]) {
        let row = Row { what: what.into(), values: values.to_vec() };
        if !self.json {
            let cells: Vec<String> = row
                .values
                .iter()
                .map(|(name, value, unit)| format!("{name} {}{unit}", short(*value)))
                .collect();
            println!("{:<44} {}", row.what, cells.join("   "));
        }
        self.rows.push(row);
    }

    /// A remark under the rows; JSON has none.
    pub fn note(&self, text: &str) {
        if !self.json {
            println!("{:<44} {text}", "");
        }
    }

    /// Prints the JSON, if that was asked for.
    pub fn finish(&self) {
        if !self.json {
            return;
        }
        let rows: Vec<String> = self.rows.iter().map(Row::json).collect();
        println!("[\n  {}\n]", rows.join(",\n  "));
    }
}

impl Row {
    fn json(&self) -> String {
        let values: Vec<String> = self
            .values
            .iter()
            .map(|(name, value, unit)| format!("\"{name}\": [{value}, \"{}\"]", unit.trim()))
            .collect();
        format!("{{\"what\": \"{}\", {}}}", self.what, values.join(", "))
    }
}

/// Three or four digits that matter.
fn short(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The middle value (the upper of two); 0 of none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The value that `share` of all are below.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
