#![no_main]

libfuzzer_sys::fuzz_target!(init: hypocenter_fuzz::only_uncaught_panics_count(), |bytes: &[u8]| {
    hypocenter_fuzz::read(Some(hypocenter::ingest::Format::TraceWeights), bytes);
});
