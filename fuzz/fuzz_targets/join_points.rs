//! See `freshet_fuzz::media::join_points`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::media::join_points(data));
