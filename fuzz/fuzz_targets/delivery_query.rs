//! See `freshet_fuzz::delivery_query`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::delivery_query(data));
