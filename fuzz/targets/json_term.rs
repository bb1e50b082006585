//! Terms as an assign may hold them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| durable_stash_fuzz::json_term(bytes));
