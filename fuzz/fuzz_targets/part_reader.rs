//! See `freshet_fuzz::wire::part_reader`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::wire::part_reader(data));
