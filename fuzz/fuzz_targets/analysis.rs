#![no_main]

libfuzzer_sys::fuzz_target!(
    // polars panics on some broken Parquet files, which ingest catches; libFuzzer would end the process before. A panic that
    // nobody catches still ends it.
    init: std::panic::set_hook(Box::new(|_| ())),
    |bytes: &[u8]| hypocenter_fuzz::analyse(bytes)
);
