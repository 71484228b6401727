//! The program as its users meet it: commands in, output and exit codes out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn hypocenter(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hypocenter"))
        .args(args)
        .current_dir(root())
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs a command that has to succeed without a word on standard error.
fn succeeds(args: &[&str]) -> String {
    let output = hypocenter(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    assert_eq!(stderr(&output), "", "{args:?}");
    stdout(&output)
}

/// Runs a command that has to fail with a code; gives its message.
fn fails(args: &[&str], code: i32) -> String {
    let output = hypocenter(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}{}", stdout(&output), stderr(&output));
    assert_eq!(stdout(&output), "", "{args:?}: a report in spite of the failure");
    stderr(&output)
}

const SHOP: &str = "datasets/checkout-db-latency";
const SHOP_TRACES: &str = "datasets/checkout-db-latency/traces.jsonl.gz";
const SHOP_METRICS: &str = "datasets/checkout-db-latency/metrics.om.gz";
const SHOP_ALERT: &str = "datasets/checkout-db-latency/alert.json";
const INVENTORY: &str = "datasets/inventory-errors";
const INCIDENT: &str = "2026-03-02T10:10:00Z/5m";
const BASELINE: &str = "2026-03-02T10:00:00Z/10m";

#[test]
fn the_drill_names_the_made_cause() {
    let report = succeeds(&["drill"]);
    assert!(report.starts_with("A drill: "), "{report}");
    assert!(report.contains("CAUSE FOUND  catalog\n"), "{report}");
    assert!(report.contains("\nRIGHT: the report names it\n"), "{report}");
    assert!(report.contains("hypocenter analyze --traces PATH"), "{report}");
    assert!(!report.contains('\u{1b}'), "colour without a terminal");
}

/// The README's first screen is what the program prints. With UPDATE_README=1 the test writes it.
#[test]
fn the_readme_shows_the_drill_as_it_is() {
    let (begin, end) = ("<!-- report:begin -->\n```text\n", "```\n<!-- report:end -->");
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(begin).expect("README.md has a marked block");
    let (block, after) = rest.split_once(end).expect("the marked block ends");
    let drill = succeeds(&["drill"]);
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(&path, format!("{before}{begin}{drill}{end}{after}")).unwrap();
        return;
    }
    assert!(
        block == drill,
        "README.md shows another report than `hypocenter drill`: run the tests with UPDATE_README=1"
    );
}

#[test]
fn cases_in_the_repository_are_solved() {
    for (case, cause) in [(SHOP, "payments"), (INVENTORY, "inventory")] {
        let report = succeeds(&["analyze", "--case", case, "-o", "json"]);
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["verdict"], "cause_found");
        assert_eq!(report["causes"][0]["candidate"]["suspect"]["service"], cause);
        assert_eq!(report["causes"].as_array().unwrap().len(), 1, "{case}: one fault, one cause");
    }
}

#[test]
fn whole_reports_stay_as_they_are() {
    for (case, name) in [(SHOP, "shop"), (INVENTORY, "inventory")] {
        for form in ["text", "markdown", "json"] {
            insta::assert_snapshot!(format!("{name}_{form}"), succeeds(&["analyze", "--case", case, "-o", form]));
        }
    }
}

#[test]
fn the_truth_is_read_by_no_analysis() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("checkout-db-latency");
    fs::create_dir(&copy).unwrap();
    for file in ["traces.jsonl.gz", "metrics.om.gz", "alert.json"] {
        fs::copy(root().join(SHOP).join(file), copy.join(file)).unwrap();
    }
    let described = fs::read_to_string(root().join(SHOP).join("case.toml")).unwrap();
    let without = described.split("[truth]").next().unwrap();
    fs::write(copy.join("case.toml"), without).unwrap();
    let copied = succeeds(&["analyze", "--case", &copy.to_string_lossy(), "-o", "json"]);
    let original = succeeds(&["analyze", "--case", SHOP, "-o", "json"]);
    assert_eq!(copied, original);
}

#[test]
fn plain_paths_give_what_the_case_gives() {
    let by_case: serde_json::Value = parsed(&["analyze", "--case", SHOP, "-o", "json"]);
    let by_paths = parsed(&[
        "analyze",
        "--metrics",
        SHOP_METRICS,
        "--traces",
        SHOP_TRACES,
        "--alert",
        SHOP_ALERT,
        "--incident",
        INCIDENT,
        "--baseline",
        BASELINE,
        "--entry",
        "frontend",
        "--symptom",
        "latency",
        "-o",
        "json",
    ]);
    for part in ["verdict", "causes", "alternatives", "victims", "onsets", "coverage", "incident", "baselines"] {
        assert_eq!(by_paths[part], by_case[part], "{part}");
    }
}

fn parsed(args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&succeeds(args)).unwrap()
}

#[test]
fn an_alert_is_enough_and_the_report_says_how_to_repeat_it() {
    let args = ["analyze", "--traces", SHOP_TRACES, "--alert", SHOP_ALERT];
    let report = succeeds(&args);
    assert!(report.contains("CAUSE FOUND  payments\n"), "{report}");
    assert!(report.contains("incident  2026-03-02T10:07:00Z to 2026-03-02T10:1"), "{report}");
    let command = report.split_once("Reproduce with\n  hypocenter ").unwrap().1.trim_end();
    let words: Vec<&str> = command.split(' ').collect();
    assert_eq!(succeeds(&words), report);
}

/// What is read twice is empty the second time.
#[test]
fn settings_may_come_from_a_pipe() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hypocenter"))
        .args(["analyze", "-o", "json", "--case", "datasets/checkout-db-latency", "--config", "/dev/stdin"])
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"[metrics.services]\npayments = \"paying\"\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(stdout(&output).contains("\"paying\""), "the settings rename a service of the metrics");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let json = |paths: [&str; 2]| {
        let mut args = vec!["analyze", "--incident", INCIDENT, "--baseline", BASELINE, "-o", "json", "--traces"];
        args.extend(paths);
        succeeds(&args)
    };
    // The first half of the lines in one file, the second in another, in either order.
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(root().join(SHOP_TRACES)).unwrap()).read_to_string(&mut text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (first, second) = lines.split_at(lines.len() / 2);
    let paths = ["a.jsonl", "b.jsonl"].map(|name| folder.path().join(name).to_string_lossy().into_owned());
    fs::write(&paths[0], first.join("\n")).unwrap();
    fs::write(&paths[1], second.join("\n")).unwrap();
    let there = json([&paths[0], &paths[1]]);
    assert!(there == json([&paths[1], &paths[0]]), "the order of the files changes the report");
    fs::write(&paths[0], second.join("\n")).unwrap();
    fs::write(&paths[1], first.join("\n")).unwrap();
    assert!(there == json([&paths[0], &paths[1]]), "the order of the lines changes the report");
}

#[test]
fn conclusions_set_the_exit_code_only_on_request() {
    let code = |args: &[&str]| hypocenter(args).status.code();
    let found = ["analyze", "--case", SHOP];
    let quiet = [
        "analyze",
        "--traces",
        SHOP_TRACES,
        "--incident",
        "2026-03-02T10:05:00Z/5m",
        "--baseline",
        "2026-03-02T10:00:00Z/5m",
    ];
    let with = |args: &[&'static str], fail_on: &'static str| {
        let mut args = args.to_vec();
        args.extend(["--fail-on", fail_on]);
        hypocenter(&args).status.code()
    };
    assert_eq!([code(&found), with(&found, "inconclusive"), with(&found, "anomaly")], [Some(0), Some(0), Some(3)]);
    assert_eq!([code(&quiet), with(&quiet, "inconclusive"), with(&quiet, "anomaly")], [Some(0), Some(3), Some(0)]);
}

#[test]
fn a_quiet_time_is_called_quiet() {
    let report = succeeds(&[
        "analyze",
        "--traces",
        SHOP_TRACES,
        "--metrics",
        SHOP_METRICS,
        "--incident",
        "2026-03-02T10:05:00Z/5m",
        "--baseline",
        "2026-03-02T10:00:00Z/5m",
    ]);
    assert!(report.starts_with("NO ANOMALY\n"), "{report}");
}

#[test]
fn refusals_say_what_to_do() {
    for (args, code, parts) in [
        (vec!["analyze"], 2, vec!["nothing to read", "--traces", "--help"]),
        (
            vec!["analyze", "--traces", SHOP_TRACES],
            2,
            vec!["when was it?", "2026-03-02T10:14:59", "hypocenter analyze --traces datasets"],
        ),
        (
            vec!["analyze", "--traces", SHOP_TRACES, "--incident", "2026-03-03T10:00:00Z/5m", "--baseline", BASELINE],
            2,
            vec!["incident window", "holds no telemetry", "2026-03-02T10:14:59"],
        ),
        (
            vec!["analyze", "--traces", SHOP_TRACES, "--incident", INCIDENT, "--baseline", "2026-03-02T10:00:00Z/11m"],
            2,
            vec!["2026-03-02T10:00:00Z/2026-03-02T10:11:00Z overlaps", "2026-03-02T10:10:00Z/2026-03-02T10:15:00Z:"],
        ),
        (vec!["analyze", "--case", SHOP, "--entry", "frontent"], 2, vec!["frontent", "services seen", "frontend"]),
        (vec!["analyze", "--case", SHOP, "--method", "magic"], 2, vec!["magic", "random_walk: "]),
        (vec!["analyze", "--traces", SHOP_TRACES, "--incident", "yesterday"], 2, vec!["START/END"]),
        (vec!["analyze", "--traces", SHOP_TRACES, "--format", "xml"], 2, vec!["xml", "otlp-json"]),
        (vec!["analyze", "--traces", SHOP_TRACES, "--span-columns", "magic"], 2, vec!["magic", "nezha"]),
        (vec!["analyze", "--case", SHOP, "--traces", SHOP_TRACES], 2, vec!["--case", "--traces"]),
        (vec!["analyze", "--case", "absent"], 1, vec!["absent", "case.toml"]),
        (vec!["analyze", "--traces", "absent.json", "--incident", INCIDENT], 1, vec!["absent.json"]),
        (vec!["graph", "--case", SHOP, "-o", "svg"], 2, vec!["svg", "mermaid"]),
        (vec!["graph", "--traces", SHOP_TRACES, "--baseline", BASELINE], 2, vec!["--incident"]),
    ] {
        let message = fails(&args, code);
        for part in parts {
            assert!(message.contains(part), "{args:?}: `{part}` is not in: {message}");
        }
        assert_eq!(message.matches("error:").count(), 1, "{args:?}: {message}");
    }
}

#[test]
fn the_proposed_command_runs() {
    let message = fails(&["analyze", "--traces", SHOP_TRACES], 2);
    let line = message.lines().find(|line| line.trim().starts_with("hypocenter ")).unwrap();
    let words: Vec<&str> = line.trim().split(' ').skip(1).collect();
    assert!(succeeds(&words).contains("payments"));
}

#[test]
fn hostile_files_do_not_steer_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a\u{1b}[31mb.json");
    if fs::write(&path, "\u{1b}[2Jnot telemetry").is_err() {
        println!("skipped: this file system takes no such name");
        return;
    }
    let message = fails(&["analyze", "--traces", &path.to_string_lossy(), "--incident", INCIDENT], 1);
    assert!(!message.contains('\u{1b}'), "{message:?}");
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    assert!(!succeeds(&["analyze", "--case", SHOP]).contains('\u{1b}'));
    assert!(succeeds(&["analyze", "--case", SHOP, "--color", "always"]).contains('\u{1b}'));
    let no_color = Command::new(env!("CARGO_BIN_EXE_hypocenter"))
        .args(["drill"])
        .env("NO_COLOR", "1")
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    assert!(!stdout(&no_color).contains('\u{1b}'), "NO_COLOR is not honoured");
}

#[test]
fn a_reader_who_goes_away_is_no_failure() {
    for args in [vec!["schema"], vec!["drill"], vec!["completions", "bash"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hypocenter"))
            .args(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{args:?}");
    }
}

#[test]
fn graphs_are_printed_in_each_form() {
    let dot = succeeds(&["graph", "--traces", SHOP_TRACES]);
    assert!(dot.starts_with("digraph") && dot.contains("\"checkout\" -> \"payments\";"), "{dot}");
    let mermaid = succeeds(&["graph", "--case", INVENTORY, "-o", "mermaid"]);
    assert!(mermaid.starts_with("flowchart") && mermaid.contains("errors 0 % → "), "{mermaid}");
    let json = parsed(&["graph", "--case", SHOP, "-o", "json"]);
    let edges = json["edges"].as_array().unwrap();
    let edge = edges.iter().find(|e| e["caller"] == "checkout" && e["callee"] == "payments").unwrap();
    // Counted with jq over the generated spans: 203 and 86 server spans named Charge.
    assert_eq!((&edge["baseline"]["calls"], &edge["incident"]["calls"]), (&212.into(), &99.into()));
    assert!(edge["incident"]["latency_p50_seconds"].as_f64() > Some(0.5));
    let names = |list: &str, key: &str| -> Vec<String> {
        json[list].as_array().unwrap().iter().map(|n| n[key].as_str().unwrap().to_owned()).collect()
    };
    assert!(names("nodes", "name").is_sorted() && names("edges", "caller").is_sorted());
    assert!(parsed(&["graph", "--traces", SHOP_TRACES, "-o", "json"])["nodes"][0]["baseline"].is_null());
}

#[test]
fn help_has_examples_and_exit_codes() {
    for (command, parts) in [
        ("analyze", vec!["Compares", "Examples:", "Exit codes:", "now-15m", "--fail-on", "-o markdown \\\n"]),
        ("graph", vec!["With --incident", "Examples:", "dot -Tsvg", "Exit codes:"]),
        ("eval", vec!["AC@k is", "Examples:", "Exit codes:"]),
        ("doctor", vec!["Why is my map empty?", "Exit codes:", "schema_version"]),
        ("drill", vec!["Examples:"]),
        ("schema", vec!["Examples:"]),
        ("completions", vec!["Examples:", "fish"]),
    ] {
        let help = succeeds(&[command, "--help"]);
        for part in parts {
            assert!(help.contains(part), "{command}: {part}");
        }
    }
    assert!(succeeds(&["--help"]).contains("Exit codes:"));
    assert!(succeeds(&["completions", "zsh"]).contains("#compdef hypocenter"));
    assert!(succeeds(&["schema"]).contains("https://json-schema.org/draft/2020-12/schema"));
}

#[test]
fn the_datasets_are_what_their_script_makes() {
    let python = Path::new("/usr/bin/python3");
    if !python.exists() {
        println!("skipped: there is no {}", python.display());
        return;
    }
    let output = Command::new(python).arg("datasets/generate.py").arg("--check").current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", stdout(&output));
}

#[test]
fn damaged_input_is_reported_and_the_rest_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(root().join(SHOP_TRACES)).unwrap()).read_to_end(&mut text).unwrap();
    let damaged = folder.path().join("damaged.jsonl");
    let mut file = fs::File::create(&damaged).unwrap();
    let end_of_first_line = text.iter().position(|b| *b == b'\n').unwrap();
    file.write_all(&text[..end_of_first_line + 1]).unwrap();
    file.write_all(b"{\"resourceSpans\": [{\"resource\": \xff broken\n").unwrap();
    file.write_all(&text[end_of_first_line + 1..text.len() - 500]).unwrap();
    drop(file);
    let damaged = damaged.to_string_lossy();
    let report = succeeds(&["analyze", "--traces", &damaged, "--incident", INCIDENT, "--baseline", BASELINE]);
    assert!(report.contains("CAUSE FOUND  payments\n"), "{report}");
    assert!(report.contains("Warnings (") && report.contains("line 2"), "{report}");
}

#[test]
fn without_telemetry_each_file_is_named_and_the_code_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let empty = file("empty.json", "");
    let header = file("header.csv", "trace_id,span_id,parent_span_id,service_name,start_time,duration_ms\n");
    let jaeger = file("jaeger.json", r#"{"data":null,"total":0,"limit":0,"offset":0,"errors":[]}"#);
    let alert = root().join("datasets/checkout-db-latency/alert.json").to_string_lossy().into_owned();
    let message = fails(&["analyze", "--traces", &empty, &header, &jaeger, &alert, "--incident", INCIDENT], 1);
    for part in [
        "empty.json: the file is empty",
        "header.csv: nothing was found in it, although it looks like span-csv",
        "jaeger.json: nothing was found in it, although it looks like jaeger-json",
        "alert.json: as alertmanager, it holds neither spans nor series",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let nothing = folder.path().join("folder");
    fs::create_dir(&nothing).unwrap();
    let message = fails(&["graph", "--traces", &nothing.to_string_lossy()], 1);
    assert!(message.contains("hold no file"), "{message}");
}

/// The faults of the files may be why a window is empty.
#[test]
fn an_empty_window_is_shown_with_the_faults_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(root().join(SHOP_TRACES)).unwrap();
    let cut = folder.path().join("cut.gz");
    fs::write(&cut, &whole[..whole.len() / 4]).unwrap();
    let cut = cut.to_string_lossy();
    let message = fails(&["analyze", "--traces", &cut, "--incident", INCIDENT, "--baseline", BASELINE], 2);
    for part in ["holds no telemetry.", "cut.gz, line ", "incomplete deflate stream", "Name the windows"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let alert = folder.path().join("alert.json");
    fs::write(&alert, r#"{"version":"4","status":"firing","alerts":[]}"#).unwrap();
    let message = fails(&["analyze", "--traces", SHOP_TRACES, "--alert", &alert.to_string_lossy()], 2);
    assert!(message.contains("when was it?") && message.contains("the list of alerts is empty"), "{message}");
}

/// Two edges over 20 minutes at four requests a second; in the last five, three of ten calls of the database fail.
fn service_graph() -> String {
    let start = 1_772_445_600;
    let mut text = String::from("# TYPE traces_service_graph_request counter\n");
    for (client, server, kind) in [("web", "api", ""), ("api", "orders-db", "database")] {
        for name in
            ["request_total", "request_failed_total", "request_server_seconds_count", "request_server_seconds_sum"]
        {
            let mut value = 0.0;
            for step in 0..=80 {
                let calls = 60.0 + f64::from(step * 7 % 5);
                let fails = if step > 60 { calls * 0.3 } else { 0.0 };
                value += match name {
                    "request_failed_total" => fails,
                    "request_server_seconds_sum" => calls * (0.05 + 0.001 * f64::from(step * 3 % 4)),
                    _ => calls,
                };
                let labels = format!("client=\"{client}\",server=\"{server}\",connection_type=\"{kind}\"");
                text.push_str(&format!("traces_service_graph_{name}{{{labels}}} {value} {}\n", start + step * 15));
            }
        }
    }
    text
}

#[test]
fn a_service_graph_in_metrics_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.om");
    fs::write(&path, service_graph() + "# EOF\n").unwrap();
    let path = path.to_string_lossy().into_owned();
    let windows = ["--incident", "2026-03-02T10:15:00Z/5m", "--baseline", "2026-03-02T10:00:00Z/15m"];
    let with = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(windows);
        succeeds(&all)
    };
    let report = with(&["analyze", "--metrics", &path]);
    assert!(report.starts_with("CAUSE FOUND  orders-db\n"), "{report}");
    assert!(!report.contains("# EOF"), "{report}");
    let dot = with(&["graph", "--metrics", &path]);
    assert!(
        dot.contains("\"api\" -> \"orders-db\" [label=\"4.13/s → 4.13/s") && dot.contains("errors 0 % → 30 %"),
        "{dot}"
    );
    fs::write(folder.path().join("graph.om"), service_graph()).unwrap();
    let report = with(&["analyze", "--metrics", &path]);
    assert!(report.contains("graph.om, line 649: OpenMetrics ends in `# EOF`"), "{report}");
}

#[test]
fn an_unusable_dataset_and_a_wrong_command_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().to_string_lossy().into_owned();
    for format in ["case", "nezha", "petshop"] {
        let message = fails(&["eval", &empty, "--format", format], 1);
        assert!(message.contains("expected"), "{message}");
    }
    fails(&["eval", &empty, "--format", "magic"], 2);
    fails(&["eval", &empty, "--format", "case", "--method", "magic"], 2);
    fs::write(folder.path().join("case.toml"), "incident = \"2026-03-02T10:00:00Z/15m\"\n").unwrap();
    let message = fails(&["eval", &empty, "--format", "case"], 1);
    assert!(
        message.contains("case.toml") && message.contains("line 1") && message.contains("`start` and `end`"),
        "{message}"
    );
}

#[test]
fn other_methods_leave_no_hole_where_they_give_no_reason() {
    for form in ["text", "markdown"] {
        let report = succeeds(&["analyze", "--case", SHOP, "--method", "random_walk", "-o", form]);
        assert!(!report.contains("\n\n\n"), "{report}");
    }
}

#[test]
fn a_mapping_of_columns_is_taken_at_its_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.csv");
    let mut text = String::from("Tr,Sp,Where,Began,Took\n");
    for second in 0..1_200_u64 {
        let took = if second < 900 { 5 } else { 500 };
        text.push_str(&format!("{:032x},{:016x},shop,{},{took}\n", second + 1, second + 1, 1_772_445_600 + second));
    }
    fs::write(&path, text).unwrap();
    let path = path.to_string_lossy().into_owned();
    let windows = ["--incident", "2026-03-02T10:15:00Z/5m", "--baseline", "2026-03-02T10:00:00Z/15m"];
    let args = |columns: &'static str| {
        let mut args = vec!["analyze", "--traces", &path, "--span-columns", columns];
        args.extend(windows);
        args.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run = |columns: &'static str| {
        let args = args(columns);
        succeeds(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let report = run("trace=Tr,span=Sp,service=Where,start=Began:s,duration=Took:ms");
    assert!(report.contains("latency 5 ms → 500 ms") && !report.contains("Warnings"), "{report}");
    let guessed = run("trace=Tr,span=Sp,service=Where,start=Began:s,duration=Took");
    assert!(guessed.contains("odd.csv, field `Took`: the unit of the durations is not named"), "{guessed}");
    let wrong = args("trace=Tr,span=Nope,service=Where,start=Began:s,duration=Took:ms");
    let message = fails(&wrong.iter().map(String::as_str).collect::<Vec<_>>(), 1);
    assert!(message.contains("odd.csv: no column for the span id named \"Nope\" (columns: Tr, Sp, Where"), "{message}");
}

#[test]
fn what_is_odd_is_counted_in_good_grammar() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(root().join(SHOP_TRACES)).unwrap()).read_to_string(&mut text).unwrap();
    let trace =
        r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"lone"}}]},
        "scopeSpans":[{"spans":[{"traceId":"0000000000000000000000000000abcd","spanId":"000000000000abcd",
        "parentSpanId":"000000000000abce","name":"x","startTimeUnixNano":"1772446210000000000",
        "endTimeUnixNano":"1772446210001000000"}]}]}]}"#
            .replace('\n', "");
    let path = folder.path().join("odd.jsonl");
    fs::write(&path, format!("{trace}\n7\n{text}")).unwrap();
    let path = path.to_string_lossy();
    let report = succeeds(&["analyze", "--traces", &path, "--incident", INCIDENT, "--baseline", BASELINE]);
    for part in ["- 1 span whose parent", "- 1 trace without a root", "odd.jsonl, line 2: values left out: "] {
        assert!(report.contains(part), "{part}: {report}");
    }
}

/// 300 MB of spaces that fit into 300 kB.
#[test]
fn a_file_made_to_fill_the_memory_is_cut_short() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.json.gz");
    let mut file = flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::best());
    file.write_all(b"{\"resourceSpans\":[").unwrap();
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..300 {
        file.write_all(&spaces).unwrap();
    }
    file.finish().unwrap();
    let message = fails(&["analyze", "--traces", &path.to_string_lossy(), "--incident", INCIDENT], 1);
    assert!(message.contains("holds more than") && message.contains("uncompressed; split it"), "{message}");
}

#[test]
fn doctor_says_what_there_is_and_proposes_a_command_that_runs() {
    let answer = succeeds(&["doctor", SHOP]);
    assert!(answer.starts_with("READY FOR ANALYSIS\n"), "{answer}");
    assert!(
        answer.contains("otlp-json · 9854 spans in 772 traces") && answer.contains("openmetrics · 38 metric series")
    );
    let json = parsed(&["doctor", INVENTORY, SHOP_TRACES, "-o", "json"]);
    assert_eq!((&json["schema_version"], &json["verdict"]), (&"1".into(), &"usable_with_gaps".into()));
    assert_eq!(json["files"][1]["services"][0], "billing");
    let ids: Vec<&str> = json["findings"].as_array().unwrap().iter().map(|f| f["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"no_metrics"), "{ids:?}");

    let answer = succeeds(&["doctor", SHOP_TRACES, SHOP_METRICS, SHOP_ALERT]);
    let line = answer.lines().find(|line| line.trim().starts_with("hypocenter analyze")).unwrap();
    let words: Vec<&str> = line.trim().split(' ').skip(1).collect();
    assert!(words.contains(&"--alert") && words.contains(&"--metrics"), "{line}");
    assert!(succeeds(&words).contains("CAUSE FOUND  payments"));
    // Of windows that hold nothing, that is what stops.
    let output = hypocenter(&["doctor", SHOP, "--incident", "2026-03-02T18:10:00Z/5m", "--baseline", BASELINE]);
    let answer = stdout(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(answer.starts_with("NOT USABLE\n") && answer.contains("holds no telemetry"), "{answer}");
    assert!(!answer.contains("hypocenter analyze"), "{answer}");
}

#[test]
fn doctor_tells_of_junk_what_each_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let all: [(&str, &[u8], &str); 8] = [
        ("archive.json", b"PK\x03\x04\x14\0", "a ZIP archive"),
        ("binary.pb", b"\x01\0\x02\xfe", "binary data of an unknown kind"),
        ("empty.json", b"", "the file is empty"),
        ("error.json", br#"{"error":"unauthorized"}"#, "an error that some server answered"),
        ("odd.csv", b"Tr,Sp,Where,Began,Took\n1,2,a,3,4\n", "(Tr, Sp, Where, Began, Took)"),
        ("page.html", b"<!DOCTYPE html><title>Sign in</title>", "web page"),
        ("scrape.prom", b"# TYPE up gauge\nup{service=\"a\"} 1\n", "a sample without timestamp"),
        ("suite.xml", b"<?xml version=\"1.0\"?><a/>", "XML"),
    ];
    for (name, bytes, _) in all {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let output = hypocenter(&["doctor", &folder.path().to_string_lossy()]);
    let answer = stdout(&output).replace("\n         ", " ");
    assert_eq!(output.status.code(), Some(1), "{answer}");
    assert!(answer.starts_with("NOT USABLE\n"), "{answer}");
    for (name, _, expected) in all {
        assert!(answer.contains(name) && answer.contains(expected), "{name}, {expected}: {answer}");
    }
    let nothing = folder.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    let output = hypocenter(&["doctor", &nothing.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("there is no file"), "{}", stdout(&output));
    assert!(fails(&["doctor", "absent.json"], 1).contains("absent.json"));
    fails(&["doctor"], 2);
}

#[test]
fn a_login_page_among_the_metrics_is_told_first() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cpu.json"), b"<!DOCTYPE html><title>Sign in</title>").unwrap();
    // An answer without series is no loss: there may have been nothing to count.
    fs::write(folder.path().join("errors.json"), br#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#)
        .unwrap();
    let json = parsed(&["doctor", SHOP, &folder.path().to_string_lossy(), "-o", "json"]);
    let findings: Vec<&serde_json::Value> = json["findings"].as_array().unwrap().iter().collect();
    let lost: Vec<&&serde_json::Value> = findings.iter().filter(|f| f["id"] == "file_lost").collect();
    assert_eq!((lost.len(), &lost[0]["severity"]), (1, &"gap".into()));
    assert_eq!(findings[0], *lost[0]);
    let what = lost[0]["what"].as_str().unwrap();
    assert!(what.contains("cpu.json") && what.contains("a web page and no telemetry"), "{what}");
}

#[test]
fn a_file_that_is_given_to_several_flags_counts_once() {
    let of_otlp = |logs: bool| {
        let mut words = vec!["analyze", "--traces", SHOP_TRACES, "--incident", INCIDENT, "--baseline", BASELINE];
        words.extend(["--metrics", SHOP_METRICS].into_iter().chain(["-o", "json"]));
        words.extend(logs.then_some(["--logs", SHOP_TRACES]).into_iter().flatten());
        parsed(&words)
    };
    let (once, twice) = (of_otlp(false), of_otlp(true));
    assert_eq!(once["coverage"], twice["coverage"]);
    assert_eq!(twice["coverage"]["duplicates"], 0);
}

#[test]
fn a_settings_file_renames_services_and_a_misspelt_key_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let graph = written(
        "graph.prom",
        "traces_service_graph_request_total{client=\"web-v2\",server=\"cart\"} 0 1661255960\n\
         traces_service_graph_request_total{client=\"web-v2\",server=\"cart\"} 9 1661255970\n",
    );
    let settings = written("s.toml", "[metrics.services]\n\"web-v*\" = \"web\"\n");
    let drawn = succeeds(&["graph", "--metrics", &graph, "--config", &settings, "-o", "mermaid"]);
    assert!(drawn.contains("web") && !drawn.contains("web-v2"), "{drawn}");
    let misspelt = written("m.toml", "[metrics.servces]\n\"web-v*\" = \"web\"\n");
    let told = fails(&["graph", "--metrics", &graph, "--config", &misspelt], 1);
    assert!(told.contains("unknown key `metrics.servces`; did you mean `services`?"), "{told}");
}
