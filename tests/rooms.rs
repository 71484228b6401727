//! Who may import whom. Dependencies run downwards only, and each heavy crate has one door: a change that crosses a wall
//! has to change this table, where a reviewer sees it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A room (a folder or file of `src/`) and the rooms that it may import. Tests inside a room may import anything.
const ROOMS: &[(&str, &[&str])] = &[
    ("telemetry", &[]),
    ("stats", &[]),
    ("timespec", &["telemetry"]),
    ("graph", &["telemetry"]),
    ("incident", &["telemetry", "graph", "timespec"]),
    ("aggregate", &["telemetry"]),
    ("ingest", &["telemetry"]),
    ("case", &["telemetry", "timespec", "ingest"]),
    ("windows", &["telemetry", "ingest"]),
    ("assemble", &["telemetry", "graph", "incident", "aggregate", "ingest", "case"]),
    ("detect", &["telemetry", "stats", "graph", "incident"]),
    ("rank", &["telemetry", "stats", "graph", "incident", "detect"]),
    ("explain", &["telemetry", "timespec", "stats", "graph", "incident", "detect", "rank"]),
    ("model", &["rank"]),
    ("analysis", &["telemetry", "graph", "incident", "detect", "rank", "explain", "model"]),
    ("report", &["telemetry", "timespec", "graph", "detect", "rank", "explain"]),
    ("http", &["telemetry"]),
    ("live", &["telemetry", "timespec", "http", "ingest", "case"]),
    ("notify", &["timespec", "http", "explain", "report"]),
    ("store", &["telemetry", "ingest"]),
    ("server", &["telemetry", "ingest", "store"]),
    ("memory", &["telemetry"]),
    (
        "respond",
        &[
            "telemetry",
            "timespec",
            "graph",
            "incident",
            "ingest",
            "windows",
            "case",
            "assemble",
            "analysis",
            "explain",
            "report",
            "live",
            "store",
            "memory",
            "notify",
        ],
    ),
    ("api", &["telemetry", "timespec", "ingest", "windows", "assemble", "report", "memory", "respond"]),
    (
        "settings",
        &["telemetry", "timespec", "ingest", "windows", "http", "live", "store", "server", "notify", "respond"],
    ),
    ("doctor", &["telemetry", "timespec", "graph", "aggregate", "ingest", "explain", "report"]),
    ("simulate", &["telemetry", "timespec", "case"]),
    (
        "eval",
        &[
            "telemetry",
            "stats",
            "timespec",
            "graph",
            "incident",
            "aggregate",
            "ingest",
            "assemble",
            "detect",
            "rank",
            "explain",
            "analysis",
            "report",
            "case",
            "simulate",
        ],
    ),
    ("train", &["assemble", "rank", "analysis", "model", "eval"]),
    (
        "cli",
        &[
            "telemetry",
            "stats",
            "timespec",
            "incident",
            "ingest",
            "assemble",
            "detect",
            "rank",
            "explain",
            "analysis",
            "report",
            "case",
            "http",
            "live",
            "notify",
            "store",
            "server",
            "settings",
            "doctor",
            "eval",
            "simulate",
            "model",
            "train",
            "windows",
            "memory",
            "respond",
            "api",
        ],
    ),
    ("main", &["cli"]),
];

/// A heavy crate and the paths below `src/` that may name it.
const DOORS: &[(&str, &[&str])] = &[
    ("petgraph", &["graph/"]),
    ("statrs", &["stats/"]),
    ("linfa", &["train/fit.rs"]),
    ("linfa_logistic", &["train/"]),
    ("ndarray", &["train/fit.rs"]),
    ("sha2", &["train/table.rs", "respond/intake.rs", "api/signature.rs", "server/auth.rs"]),
    ("reqwest", &["http/", "live/client.rs"]),
    ("minijinja", &["notify/template.rs", "api/pages.rs"]),
    ("tokio", &["live/", "server/", "store/mod.rs", "respond/", "api/", "cli/serve.rs"]),
    ("rusqlite", &["memory/"]),
    ("hmac", &["api/signature.rs", "server/auth.rs"]),
    ("polars", &["aggregate/local.rs", "ingest/", "simulate/write/parquet.rs", "store/segment.rs"]),
    ("axum", &["server/", "api/"]),
    ("tonic", &["server/"]),
    ("hyper", &["server/connection.rs"]),
    ("hyper_util", &["server/connection.rs"]),
    ("tokio_rustls", &["server/", "http/handshake.rs"]),
    ("bcrypt", &["server/"]),
    ("serde_saphyr", &["server/web_config.rs"]),
    ("crc32c", &["store/frame.rs"]),
    ("rand_pcg", &["simulate/random.rs"]),
    ("rand_core", &["simulate/random.rs"]),
    ("clap", &["cli/", "main.rs"]),
    ("clap_complete", &["cli/"]),
    ("indicatif", &["cli/"]),
    ("anstream", &["cli/"]),
    ("terminal_size", &["cli/"]),
    ("anyhow", &["cli/", "main.rs"]),
];

#[test]
fn rooms_import_only_what_lies_below() {
    let table: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, code) in sources() {
        let room = room(&path);
        if room == "lib" {
            continue;
        }
        let Some(allowed) = table.get(room.as_str()) else {
            wrong.push(format!("src/{path}: room `{room}` is not in the table"));
            continue;
        };
        // The program sees the library as a crate; inside the library `hypocenter` is a method's name.
        let marker = if room == "main" { "hypocenter::" } else { "crate::" };
        for used in rooms_used(&code, marker) {
            if used != room && !allowed.contains(&used.as_str()) {
                wrong.push(format!("src/{path}: {room} may not import {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n\nThe table:\n{}", wrong.join("\n"), shown(ROOMS, "may import"));
}

#[test]
fn heavy_crates_have_one_door() {
    let mut wrong = Vec::new();
    for (path, code) in sources() {
        for (name, doors) in DOORS {
            let inside = doors.iter().any(|door| path == *door || (door.ends_with('/') && path.starts_with(door)));
            if !inside && names_crate(&code, name) {
                wrong.push(format!("src/{path}: {name} has its door elsewhere"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n\nThe doors:\n{}", wrong.join("\n"), shown(DOORS, "is named in"));
}

#[test]
fn the_table_has_no_circles() {
    let table: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    for (room, below) in ROOMS {
        for other in *below {
            let of_other = table.get(other).unwrap_or_else(|| panic!("{other} is not in the table"));
            assert!(!of_other.contains(room), "{room} and {other} import each other");
        }
    }
}

#[test]
fn imports_are_recognised() {
    let code = code_of(
        "use crate::graph::ServiceGraph;\n// crate::cli\nuse crate::{\n    rank::Ranker,\n    stats::{self, robust},\n};\n\
         fn f(x: crate::detect::Finding) {} /// [`crate::eval`]\nlet s = \"crate::report\"; use petgraph::Graph;\n\
         #[cfg(test)]\nmod tests { use crate::ingest::X; }\n",
    );
    let used: Vec<String> = rooms_used(&code, "crate::").into_iter().collect();
    assert_eq!(used, ["detect", "graph", "rank", "stats"]);
    assert!(names_crate(&code, "petgraph") && !names_crate(&code, "graph"));
}

/// Every file below `src/` (path relative to it) with its code. Files of tests are left out.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    let test_files = test_files(&found);
    found
        .iter()
        .filter(|path| !test_files.contains(*path))
        .map(|path| {
            let relative = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            (relative, code_of(&fs::read_to_string(path).unwrap()))
        })
        .collect()
}

/// Files that are declared below `#[cfg(test)]` (`mod tests;` and the like).
fn test_files(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut tests = BTreeSet::new();
    for path in files {
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            let declared = pair[1].trim_start_matches("pub(crate) ").strip_prefix("mod ");
            let Some(name) = declared.and_then(|rest| rest.strip_suffix(';')) else { continue };
            let stem = path.file_stem().unwrap();
            let folder = path.parent().unwrap();
            let folder = if stem == "mod" || stem == "lib" { folder.to_owned() } else { folder.join(stem) };
            tests.insert(folder.join(format!("{name}.rs")));
            tests.insert(folder.join(name).join("mod.rs"));
        }
    }
    tests
}

/// The code of a file without comments, without what stands in string literals of one line, and up to its tests.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        let before_tests = trimmed == "#[cfg(test)]" && lines.peek().is_some_and(|next| next.contains("mod tests"));
        if before_tests {
            break;
        }
        if trimmed.starts_with("//") {
            continue;
        }
        let without_comment = line.split(" //").next().unwrap_or_default();
        // Every second part lies between quotes; escaped quotes do not occur beside a path.
        let outside: Vec<&str> = without_comment.split('"').step_by(2).collect();
        code.push_str(&outside.join("\"\""));
        code.push('\n');
    }
    code
}

fn room(path: &str) -> String {
    path.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
}

/// First segments after `crate::` or another marker, groups included.
fn rooms_used(code: &str, marker: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices(marker) {
        if code[..at].ends_with(is_word) {
            continue;
        }
        let rest = &code[at + marker.len()..];
        match rest.strip_prefix('{') {
            Some(group) => used.extend(group_heads(group)),
            None => used.extend(head(rest)),
        }
    }
    used
}

/// The first names of the members of `{a::b, c::{d, e}, f}`.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut member = String::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.extend(head(std::mem::take(&mut member).trim())),
            c if depth == 0 => member.push(c),
            _ => {}
        }
    }
    heads.extend(head(member.trim()));
    heads
}

fn head(path: &str) -> Option<String> {
    let name: String = path.chars().take_while(|c| is_word(*c)).collect();
    // Items of the crate's root, if there ever are any, are written with capitals.
    (!name.is_empty() && name.starts_with(|c: char| c.is_ascii_lowercase())).then_some(name)
}

/// Whether a crate is named as the first part of a path.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = &code[..at];
        !before.ends_with(is_word) && !before.ends_with("::")
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn shown(table: &[(&str, &[&str])], verb: &str) -> String {
    table.iter().map(|(name, rest)| format!("  {name:14} {verb} {}\n", rest.join(", "))).collect()
}
