//! Drives the target `models`; what must hold is in `empiric_testkit::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| empiric_testkit::fuzz::run("models", data));
