//! See `freshet_fuzz::stream_name`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::stream_name(data));
