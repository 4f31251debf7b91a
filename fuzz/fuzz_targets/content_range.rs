//! See `freshet_fuzz::wire::content_range`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::wire::content_range(data));
