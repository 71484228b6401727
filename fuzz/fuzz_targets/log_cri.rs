#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hypocenter_fuzz::read(Some(hypocenter::ingest::Format::LogCri), bytes);
});
