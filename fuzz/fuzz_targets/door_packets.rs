//! See `freshet_fuzz::wire::door_packets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::wire::door_packets(data));
