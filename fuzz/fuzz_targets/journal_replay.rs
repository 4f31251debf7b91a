//! See `freshet_fuzz::disk::journal_replay`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshet_fuzz::disk::journal_replay(data));
