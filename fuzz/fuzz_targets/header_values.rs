//! See `freshet_fuzz::wire::header_values`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::wire::header_values(data));
