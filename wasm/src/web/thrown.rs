//! Failures as JavaScript's errors, and chunks as its arrays.

use js_sys::{Error, Reflect, Uint8Array};
use wasm_bindgen::JsValue;

use crate::failure::Failure;

/// An `Error` with the failure's members as its own properties.
pub(super) fn thrown(failure: Failure) -> JsValue {
    let error = Error::new(&failure.message);
    let set = |name: &str, value: JsValue| {
        // A new error takes properties.
        let _ = Reflect::set(&error, &name.into(), &value);
    };
    set("kind", failure.kind.into());
    if let Some(code) = failure.code {
        set("code", code.into());
    }
    if let Some(commit) = failure.commit {
        set("commit", commit.into());
    }
    error.into()
}

/// Up to this many bytes, parts are put together before they cross: each view costs as much as a short query.
const SHORT: usize = 4096;

/// Parts, one behind the other, in an array of JavaScript's own.
pub(super) fn joined(parts: &[&[u8]]) -> Uint8Array {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length <= SHORT {
        return Uint8Array::from(&parts.concat()[..]);
    }
    let array = Uint8Array::new_with_length(index(length));
    let mut at = 0;
    for part in parts.iter().filter(|part| !part.is_empty()) {
        array.subarray(index(at), index(at + part.len())).copy_from(part);
        at += part.len();
    }
    array
}

fn index(number: usize) -> u32 {
    u32::try_from(number).expect("the memory of a module has less than 4 GiB")
}
