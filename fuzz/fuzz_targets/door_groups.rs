//! See `freshet_fuzz::wire::door_groups`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::wire::door_groups(data));
