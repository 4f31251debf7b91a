//! See `freshet_fuzz::wire::delivery_query`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::wire::delivery_query(data));
