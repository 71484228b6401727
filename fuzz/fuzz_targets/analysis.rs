#![no_main]

libfuzzer_sys::fuzz_target!(
    init: hypocenter_fuzz::let_panics_be_caught(),
    |bytes: &[u8]| hypocenter_fuzz::analyse(bytes)
);
