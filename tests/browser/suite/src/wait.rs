//! Waiting for a future as if it were a blocking call.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{future_to_promise, js_sys::Promise};

/// Suspends this stack until the future is done.
pub fn wait<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let answer = Rc::new(RefCell::new(None));
    let place = Rc::clone(&answer);
    block(&future_to_promise(async move {
        let done = future.await;
        *place.borrow_mut() = Some(done);
        Ok(JsValue::UNDEFINED)
    }));
    answer.take().expect("the promise is settled")
}

/// Suspends this stack until the promise is settled.
pub fn block(promise: &Promise) -> JsValue {
    wasm_bindgen_futures::jspi_block_on_promise(promise).expect("nothing here rejects")
}
