#![no_main]

// What people write: times, windows, columns and case descriptions.
libfuzzer_sys::fuzz_target!(|text: &str| hypocenter_fuzz::texts(text));
