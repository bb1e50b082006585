//! Objects as a store may hand them out.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| durable_stash_fuzz::document(bytes));
