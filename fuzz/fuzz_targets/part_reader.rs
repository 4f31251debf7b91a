//! See `freshet_fuzz::part_reader`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::part_reader(data));
