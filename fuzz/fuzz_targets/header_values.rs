//! See `freshet_fuzz::header_values`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::header_values(data));
