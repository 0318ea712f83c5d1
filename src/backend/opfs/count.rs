//! What a sync access handle says of a read or a write: a count to believe, or a refusal to explain.
//!
//! Must not know: JavaScript, files. The rule it keeps: no count is believed that is not a whole number
//! between zero and what was asked for. Chromium answers a write that the disk had no room for with the
//! error code -8 as an unsigned number, 4294967288.

/// Why the browser refused a call: the name and the sentence of its exception, or of a senseless count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The exception's name, for instance `QuotaExceededError`.
    pub name: String,
    /// What the browser says about it.
    pub message: String,
}

/// What a call of the browser comes to.
pub type Answer<T> = Result<T, Refusal>;

impl Refusal {
    /// A refusal with these words.
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), message: message.into() }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl std::error::Error for Refusal {}

/// Name of the refusal for want of space.
pub(super) const QUOTA: &str = "QuotaExceededError";

/// Chromium's code for "no space".
const NO_SPACE: i64 = -8;

/// Chromium's codes lie between this and -1.
const LOWEST_CODE: i64 = -64;

/// The count as a number of bytes, if it can be one.
///
/// # Errors
/// A refusal for anything else: a negative or broken number, more than was asked for, an error code.
pub(super) fn believe(count: f64, asked: usize) -> Answer<usize> {
    let whole = count.is_finite() && count.fract() == 0.0;
    if whole && count >= 0.0 && count <= asked as f64 {
        // In range and whole: the conversion is exact.
        return Ok(count as usize);
    }
    let code = if whole { code_of(count) } else { None };
    match code {
        Some(NO_SPACE) => Err(Refusal::new(QUOTA, format!("the browser reports code {NO_SPACE}, no space"))),
        Some(code) => Err(Refusal::new("UnknownError", format!("the browser reports code {code}"))),
        None => {
            let message = format!("the browser reports {} bytes of {asked}", shown(count));
            Err(Refusal::new("UnknownError", message))
        }
    }
}

/// A count that cannot be one, in words. Formatting of floats is left out: nothing else here needs its code and
/// tables, which a browser would have to download.
fn shown(count: f64) -> String {
    let whole = count as i64;
    if count.is_nan() {
        return "NaN".to_owned();
    }
    match whole {
        i64::MAX => "endless".to_owned(),
        i64::MIN => "-endless".to_owned(),
        _ if count.fract() == 0.0 => whole.to_string(),
        _ => format!("{whole} and a part of"),
    }
}

/// The negative code that a count stands for, plain or as an unsigned 32-bit number.
fn code_of(count: f64) -> Option<i64> {
    let signed = if count < 0.0 { count } else { count - 4_294_967_296.0 };
    let code = signed as i64;
    (LOWEST_CODE..0).contains(&code).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_what_was_asked_are_believed() {
        assert_eq!(believe(0.0, 4096), Ok(0));
        assert_eq!(believe(1.0, 4096), Ok(1));
        assert_eq!(believe(4096.0, 4096), Ok(4096));
        assert_eq!(believe(0.0, 0), Ok(0));
    }

    #[test]
    fn no_space_is_told_from_other_codes() {
        for count in [4_294_967_288.0, -8.0] {
            assert_eq!(believe(count, 4096).unwrap_err().name, QUOTA, "{count}");
        }
        for count in [4_294_967_295.0, 4_294_967_280.0, -1.0, -16.0] {
            let refusal = believe(count, 4096).unwrap_err();
            assert_eq!(refusal.name, "UnknownError", "{count}");
            assert!(refusal.message.contains("code -"), "{refusal}");
        }
    }

    #[test]
    fn a_senseless_count_is_told() {
        for (count, text) in
            [(5000.0, "5000"), (-300.0, "-300"), (1.5, "1 and a part of"), (1e300, "endless")]
        {
            let message = believe(count, 4096).unwrap_err().message;
            assert_eq!(message, format!("the browser reports {text} bytes of 4096"));
        }
        assert!(believe(f64::NAN, 1).unwrap_err().message.contains("NaN"));
        assert!(believe(f64::NEG_INFINITY, 1).unwrap_err().message.contains("-endless"));
    }

    #[test]
    fn senseless_counts_are_refused() {
        for count in [4097.0, 0.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e300, 1e300, 1e15] {
            assert_eq!(believe(count, 4096).unwrap_err().name, "UnknownError", "{count}");
        }
    }
}
