//! JSON text as a document may hold it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| durable_stash_fuzz::json_text(bytes));
