//! See `freshet_fuzz::wire::stream_name`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::wire::stream_name(data));
