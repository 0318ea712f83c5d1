//! Options as JavaScript gives them: JSON objects.
//!
//! Must not know defaults; those are with the settings. The rule it keeps: what is not known is refused, not
//! ignored.

use datasync::backend::indexeddb;
use js_sys::{JSON, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};

use crate::failure::{Failure, Outcome};
use crate::settings::Settings;

/// One option: its name, and its value.
struct Given {
    key: String,
    value: JsValue,
}

impl Given {
    fn bytes(&self) -> Outcome<u64> {
        match self.value.as_f64() {
            // Below 2^53, where numbers are whole.
            Some(number) if (0.0..9.0e15).contains(&number) && number.fract() == 0.0 => Ok(number as u64),
            _ => Err(bad(format!("{} must be a whole number of bytes", self.key))),
        }
    }

    fn truth(&self) -> Outcome<bool> {
        self.value.as_bool().ok_or_else(|| bad(format!("{} must be true or false", self.key)))
    }

    fn name(&self) -> Outcome<String> {
        self.value.as_string().ok_or_else(|| bad(format!("{} must be a name", self.key)))
    }

    fn unknown<T>(&self) -> Outcome<T> {
        Err(bad(format!("{:?} is not known", self.key)))
    }
}

fn bad(what: String) -> Failure {
    Failure::misuse(format!("options: {what}"))
}

/// What is in the object, but for what is null.
fn given(json: &str) -> Outcome<Vec<Given>> {
    let parsed = JSON::parse(json).map_err(|_| bad(format!("{json} is not JSON")))?;
    let object: Object = parsed.dyn_into().map_err(|_| bad(format!("{json} is no object")))?;
    let mut all = Vec::new();
    for key in Object::keys(&object).iter() {
        let value = Reflect::get(&object, &key).unwrap_or(JsValue::NULL);
        if !value.is_null() {
            all.push(Given { key: key.as_string().unwrap_or_default(), value });
        }
    }
    Ok(all)
}

/// The options of `Medium.start`.
///
/// # Errors
/// `Misuse`, with the option that is wrong.
pub(super) fn of_start(json: &str) -> Outcome<Settings> {
    let mut settings = Settings::default();
    for option in given(json)? {
        match option.key.as_str() {
            "create" => settings.create = option.truth()?,
            "readOnly" => settings.read_only = option.truth()?,
            "foreignKeys" => settings.foreign_keys = option.truth()?,
            "segmentBytes" => settings.segment_bytes = Some(option.bytes()?),
            "logCapBytes" => settings.log_cap_bytes = Some(option.bytes()?),
            "reserveBytes" => settings.reserve_bytes = Some(option.bytes()?),
            "spillBytes" => settings.spill_bytes = option.bytes()?,
            "cacheBytes" => settings.cache_bytes = option.bytes()?,
            "checksum" => settings.checksum = Some(option.name()?),
            _ => return option.unknown(),
        }
    }
    Ok(settings)
}

/// The options of `Medium.indexeddb`.
///
/// # Errors
/// As [`of_start`].
pub(super) fn of_indexed_db(json: &str) -> Outcome<indexeddb::Options> {
    let mut options = indexeddb::Options::default();
    for option in given(json)? {
        match option.key.as_str() {
            "resident" => options.resident = option.truth()?,
            "residentLimitBytes" => options.resident_limit_bytes = option.bytes()?,
            "cacheBytes" => options.cache_bytes = option.bytes()?,
            "create" => options.create = option.truth()?,
            "strict" => options.strict = option.truth()?,
            _ => return option.unknown(),
        }
    }
    Ok(options)
}
