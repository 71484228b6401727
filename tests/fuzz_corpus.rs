//! What fuzzing once found is read again: every file below `fuzz/corpus`, and every fixture as every format.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::path::{Path, PathBuf};

use hypocenter::ingest::Format;

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "it is a crate of its own for the fuzz targets")]
mod fuzzed;

/// All files below a folder of the repository, sorted.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

#[test]
fn what_fuzzing_found_stays_found() {
    for path in files("fuzz/corpus") {
        let bytes = fs::read(&path).unwrap();
        let target = path.parent().unwrap().file_name().unwrap().to_str().unwrap().replace('_', "-");
        match Format::from_name(&target) {
            Some(format) => drop(fuzzed::read(Some(format), &bytes)),
            None => fuzzed::analyse(&bytes),
        }
        fuzzed::texts(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn no_fixture_breaks_any_reader() {
    for path in files("tests/fixtures") {
        let bytes = fs::read(&path).unwrap();
        for format in Format::all() {
            fuzzed::read(Some(format), &bytes);
        }
        fuzzed::analyse(&bytes);
    }
}

#[test]
fn every_format_has_a_fuzz_target() {
    for format in Format::all() {
        let target = format!("fuzz/fuzz_targets/{}.rs", format.name().replace('-', "_"));
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&target).exists(), "{target} is missing");
    }
}
