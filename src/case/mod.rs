//! Case folders: telemetry files with a `case.toml` that names the windows, the entry and, where known, the truth.
//!
//! ```toml
//! name = "checkout is slow"               # optional, else the folder's name
//! system = "shop"                         # optional, for tables by system; else the folder above
//! entry = "frontend"                      # optional: where users felt it
//! symptom = "latency"                     # optional: latency or errors
//! files = ["traces/*.json", "metrics.om"] # optional globs, else every file of the folder
//! span_columns = "nezha"                  # optional, as for --span-columns
//! sampling_attribute = "SampleRate"       # optional, as for --sampling-attribute
//!
//! [incident]
//! start = 2026-03-02T10:10:00Z            # RFC 3339, or Unix seconds
//! end = 2026-03-02T10:15:00Z
//!
//! [[baseline]]                            # one or more
//! start = 2026-03-02T10:00:00Z
//! end = 2026-03-02T10:10:00Z
//!
//! [truth]                                 # optional: what eval measures against
//! services = ["payments"]                 # right answers, any of them; or none = true for a quiet case
//! kind = "pool exhaustion"
//! severity = "middle"
//! description = "the pool of payments shrank to two connections"
//! ```
//!
//! Where two things went wrong at once, `causes = [["payments"], ["cart", "redis@cart-cache"]]` names the right answers
//! for each. `onset`, `at`, `entries` and `path` may say more: how and when it began, where it was felt, on which way.

mod truth;
mod write;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::telemetry::alert::Symptom;
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::{EmptyWindow, Window};
use crate::timespec::{TimespecError, parse_time};

pub use truth::Truth;
use truth::TruthToml;
pub use write::{CaseToWrite, TruthToWrite, quoted};

/// Name of the description inside a case folder.
pub const CASE_FILE: &str = "case.toml";

/// A recorded incident: where its telemetry lies and how to look at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// Name for reports.
    pub name: String,
    /// The system that was observed, where it is said.
    pub system: Option<String>,
    /// When users felt it.
    pub incident: Window,
    /// Normal operation; at least one.
    pub baselines: Vec<Window>,
    /// Where users felt it, if known.
    pub entry: Option<ServiceId>,
    /// What they felt, if known.
    pub symptom: Option<Symptom>,
    /// The cause, if known. No analysis reads it.
    pub truth: Option<Truth>,
    /// What to read, for [`crate::ingest::read_paths`]: the files that the case names, sorted, or else the whole folder,
    /// in which a file that is no telemetry is only warned of.
    pub files: Vec<PathBuf>,
    /// Columns of span tables, as for `--span-columns`.
    pub span_columns: Option<String>,
    /// Attribute that tells how spans were sampled, as for `--sampling-attribute`.
    pub sampling_attribute: Option<String>,
}

/// Why a case folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A file or folder could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not TOML, an unknown key, a missing key or a wrong type; the message of the parser names line and key.
    #[error("{}: not a valid case description", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A time that cannot be read.
    #[error("{}: key `{key}` is not a time", path.display())]
    Time {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: String,
        /// What was written there.
        #[source]
        source: TimespecError,
    },
    /// A time of a type that cannot be one.
    #[error("{}: key `{key}` holds {found} where a time is needed: RFC 3339 with a zone, or Unix seconds", path.display())]
    TimeType {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: String,
        /// What is there.
        found: &'static str,
    },
    /// A window whose end is not after its start.
    #[error("{}: `{key}` ends before it starts", path.display())]
    Window {
        /// Which file.
        path: PathBuf,
        /// Which table.
        key: String,
        /// The two instants.
        #[source]
        source: EmptyWindow,
    },
    /// No `[[baseline]]`.
    #[error("{}: no [[baseline]]: add a window of normal operation with start and end", path.display())]
    NoBaseline {
        /// Which file.
        path: PathBuf,
    },
    /// A truth that says nothing, or contradicts itself.
    #[error(
        "{}: [truth] needs one of `services = [...]` with a name in it, `causes = [[...], [...]]` for several at once \
         (which then hold all names of `services`), or `none = true`",
        path.display()
    )]
    Truth {
        /// Which file.
        path: PathBuf,
    },
    /// A glob that cannot be read.
    #[error("{}: key `files`: `{glob}` is not a glob", path.display())]
    Glob {
        /// Which file.
        path: PathBuf,
        /// The glob.
        glob: String,
        /// Why.
        #[source]
        source: glob::PatternError,
    },
    /// A glob that leaves the folder: a case must be complete in itself.
    #[error("{}: key `files`: `{glob}` leaves the case folder: name files below it", path.display())]
    Outside {
        /// Which file.
        path: PathBuf,
        /// The glob.
        glob: String,
    },
    /// A glob that gives nothing to read.
    #[error("{}: key `files`: `{glob}` matches no file", path.display())]
    NoFiles {
        /// Which file.
        path: PathBuf,
        /// The glob.
        glob: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseToml {
    name: Option<String>,
    system: Option<String>,
    incident: WindowToml,
    #[serde(default)]
    baseline: Vec<WindowToml>,
    entry: Option<String>,
    symptom: Option<SymptomToml>,
    truth: Option<TruthToml>,
    files: Option<Vec<String>>,
    span_columns: Option<String>,
    sampling_attribute: Option<String>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with `start` and `end`: [incident], or [[baseline]] for each baseline"
)]
struct WindowToml {
    start: toml::Value,
    end: toml::Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SymptomToml {
    Latency,
    Errors,
}

impl Case {
    /// Reads the description of a case folder and finds its files. The telemetry itself is not opened.
    ///
    /// # Errors
    /// [`CaseError`], with the file and the key.
    pub fn read(dir: &Path) -> Result<Self, CaseError> {
        let path = dir.join(CASE_FILE);
        let text = fs::read_to_string(&path).map_err(|source| CaseError::Io { path: path.clone(), source })?;
        let fallback = dir.canonicalize().ok().and_then(|d| Some(d.file_name()?.to_string_lossy().into_owned()));
        let (mut case, globs) = Self::parse(&text, &path, fallback.as_deref().unwrap_or("case"))?;
        case.files = match globs {
            Some(globs) => globbed(dir, &path, &globs)?,
            None => vec![dir.to_owned()],
        };
        case.files.sort();
        case.files.dedup();
        Ok(case)
    }

    /// Reads the text of a `case.toml` that stands for itself (the built-in incident): `files` is left empty.
    ///
    /// # Errors
    /// [`CaseError`], with `path` as the name of the file.
    pub fn from_text(text: &str, path: &Path, name: &str) -> Result<Self, CaseError> {
        Self::parse(text, path, name).map(|(case, _globs)| case)
    }

    fn parse(text: &str, path: &Path, name: &str) -> Result<(Self, Option<Vec<String>>), CaseError> {
        let raw: CaseToml = toml::from_str(text)
            .map_err(|source| CaseError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        if raw.baseline.is_empty() {
            return Err(CaseError::NoBaseline { path: path.to_owned() });
        }
        let incident = window(&raw.incident, path, "incident")?;
        let mut baselines = raw
            .baseline
            .iter()
            .enumerate()
            .map(|(index, baseline)| window(baseline, path, &format!("baseline[{index}]")))
            .collect::<Result<Vec<_>, _>>()?;
        baselines.sort();
        let case = Self {
            name: raw.name.unwrap_or_else(|| name.to_owned()),
            system: raw.system,
            incident,
            baselines,
            entry: raw.entry.as_deref().map(ServiceId::new),
            symptom: raw.symptom.map(|symptom| match symptom {
                SymptomToml::Latency => Symptom::Latency,
                SymptomToml::Errors => Symptom::Errors,
            }),
            truth: raw.truth.map(|truth| truth.checked(path)).transpose()?,
            files: Vec::new(),
            span_columns: raw.span_columns,
            sampling_attribute: raw.sampling_attribute,
        };
        Ok((case, raw.files))
    }
}

fn window(raw: &WindowToml, path: &Path, key: &str) -> Result<Window, CaseError> {
    let start_ns = instant(&raw.start, path, &format!("{key}.start"))?;
    let end_ns = instant(&raw.end, path, &format!("{key}.end"))?;
    Window::new(start_ns, end_ns).map_err(|source| CaseError::Window {
        path: path.to_owned(),
        key: key.to_owned(),
        source,
    })
}

fn instant(value: &toml::Value, path: &Path, key: &str) -> Result<i64, CaseError> {
    let text = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(seconds) => seconds.to_string(),
        toml::Value::Float(seconds) => seconds.to_string(),
        toml::Value::Datetime(datetime) => datetime.to_string(),
        toml::Value::Boolean(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
            return Err(CaseError::TimeType { path: path.to_owned(), key: key.to_owned(), found: value.type_str() });
        }
    };
    // A recorded incident does not move with the clock: `now` is no time here.
    let parsed =
        if text.trim_start().starts_with("now") { Err(TimespecError::Time { text }) } else { parse_time(&text, 0) };
    parsed.map_err(|source| CaseError::Time { path: path.to_owned(), key: key.to_owned(), source })
}

/// Files that the globs of `case.toml` name, each glob at least one.
fn globbed(dir: &Path, case_file: &Path, globs: &[String]) -> Result<Vec<PathBuf>, CaseError> {
    let mut files = Vec::new();
    for pattern in globs {
        let outside = Path::new(pattern)
            .components()
            .any(|part| !matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir));
        if outside {
            return Err(CaseError::Outside { path: case_file.to_owned(), glob: pattern.clone() });
        }
        let full = format!("{}/{pattern}", glob::Pattern::escape(&dir.to_string_lossy()));
        let matches = glob::glob(&full).map_err(|source| CaseError::Glob {
            path: case_file.to_owned(),
            glob: pattern.clone(),
            source,
        })?;
        let before = files.len();
        for found in matches {
            let found = found.map_err(|error| CaseError::Io {
                path: error.path().to_owned(),
                source: io::Error::new(error.error().kind(), error.error().to_string()),
            })?;
            if found.is_file() {
                files.push(found);
            }
        }
        if files.len() == before {
            return Err(CaseError::NoFiles { path: case_file.to_owned(), glob: pattern.clone() });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: &str = "[incident]\nstart = 2026-03-02T10:10:00Z\nend = 2026-03-02T10:15:00Z\n\
                           [[baseline]]\nstart = 1772445600\nend = \"2026-03-02T10:10:00Z\"\n";

    fn read(text: &str) -> Result<Case, CaseError> {
        Case::from_text(text, Path::new("case.toml"), "folder")
    }

    fn message(text: &str) -> String {
        let error = read(text).expect_err(text);
        let cause = std::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
        format!("{error}{cause}")
    }

    #[test]
    fn a_whole_description_is_read() {
        let text = format!(
            "name = \"shop\"\nentry = \"frontend\"\nsymptom = \"errors\"\nspan_columns = \"nezha\"\n\
             sampling_attribute = \"SampleRate\"\n{WINDOWS}\
             [truth]\nservices = [\"payments\"]\nkind = \"pool\"\ndescription = \"too small\"\n"
        );
        let case = read(&text).unwrap();
        assert_eq!(case.name, "shop");
        assert_eq!(case.incident.end_ns() - case.incident.start_ns(), 300_000_000_000);
        assert_eq!(case.baselines[0].end_ns(), case.incident.start_ns());
        assert_eq!(case.baselines[0].end_ns() - case.baselines[0].start_ns(), 600_000_000_000);
        assert_eq!(case.entry, Some("frontend".into()));
        assert_eq!(case.symptom, Some(Symptom::Errors));
        assert_eq!(case.span_columns.as_deref(), Some("nezha"));
        assert_eq!(case.sampling_attribute.as_deref(), Some("SampleRate"));
        let truth = case.truth.unwrap();
        assert_eq!(truth.causes, [[ServiceId::new("payments")]]);
        assert!(!truth.is_quiet());
    }

    #[test]
    fn little_is_enough() {
        let case = read(WINDOWS).unwrap();
        assert_eq!(case.name, "folder");
        assert_eq!((case.entry, case.symptom, case.truth), (None, None, None));
        assert!(read(&format!("{WINDOWS}[truth]\nnone = true\n")).unwrap().truth.unwrap().is_quiet());
    }

    #[test]
    fn two_causes_and_what_else_is_known() {
        let text = format!(
            "system = \"shop\"\n{WINDOWS}[truth]\ncauses = [[\"a\"], [\"b\", \"postgresql/b\"]]\nservices = [\"b\", \"a\"]\n\
             severity = \"middle\"\nonset = \"sudden\"\nat = 2026-03-02T10:10:00Z\nentries = [\"web\"]\n\
             path = [\"web\", \"a\"]\n"
        );
        let case = read(&text).unwrap();
        assert_eq!(case.system.as_deref(), Some("shop"));
        let truth = case.truth.unwrap();
        let ids = |names: &[&str]| names.iter().map(|name| ServiceId::new(name)).collect::<Vec<_>>();
        assert_eq!(truth.causes, [ids(&["a"]), ids(&["b", "postgresql/b"])]);
        assert_eq!((truth.entries, truth.path), (ids(&["web"]), ids(&["web", "a"])));
        assert_eq!((truth.severity.as_deref(), truth.onset.as_deref()), (Some("middle"), Some("sudden")));
        assert_eq!(truth.at_ns, Some(case.incident.start_ns()));
    }

    #[test]
    fn mistakes_are_named_with_file_and_key() {
        for (text, parts) in [
            (format!("entri = \"x\"\n{WINDOWS}"), ["case.toml", "entri"]),
            (format!("{WINDOWS}[truth]\nservice = [\"x\"]\n"), ["case.toml", "service"]),
            (WINDOWS.replace("[[baseline]]", "[[baselines]]"), ["case.toml", "baselines"]),
            (WINDOWS.split("[[").next().unwrap().to_owned(), ["case.toml", "[[baseline]]"]),
            (WINDOWS.replace("1772445600", "true"), ["baseline[0].start", "boolean"]),
            (WINDOWS.replace("1772445600", "\"now-1h\""), ["baseline[0].start", "now-1h"]),
            (WINDOWS.replace("10:15:00Z", "10:15:00"), ["incident.end", "zone"]),
            (WINDOWS.replace("10:15:00Z", "10:05:00Z"), ["`incident`", "ends before"]),
            (format!("{WINDOWS}[truth]\nkind = \"x\"\n"), ["[truth]", "none = true"]),
            (format!("{WINDOWS}[truth]\nnone = true\nservices = [\"x\"]\n"), ["[truth]", "services"]),
            (format!("{WINDOWS}[truth]\ncauses = [[\"a\"], []]\n"), ["[truth]", "causes"]),
            (format!("{WINDOWS}[truth]\ncauses = [[\"a\"]]\nservices = [\"b\"]\n"), ["[truth]", "causes"]),
            (format!("{WINDOWS}[truth]\nservices = [\"b\"]\nat = true\n"), ["truth.at", "boolean"]),
            (format!("symptom = \"slow\"\n{WINDOWS}"), ["slow", "latency"]),
            ("incident = 3".to_owned(), ["case.toml", "incident"]),
        ] {
            let message = message(&text);
            for part in parts {
                assert!(message.contains(part), "`{part}` is not in: {message}");
            }
        }
    }

    #[test]
    fn files_come_from_globs_or_are_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.json", "b.csv", "README.md", ".hidden", "sub/c.json"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let names = |text: &str| {
            fs::write(dir.path().join(CASE_FILE), text).unwrap();
            Case::read(dir.path()).map(|case| {
                let inside = |f: &PathBuf| f.strip_prefix(dir.path()).unwrap().to_string_lossy().into_owned();
                case.files.iter().map(inside).collect::<Vec<_>>()
            })
        };
        assert_eq!(names(WINDOWS).unwrap(), [""]);
        assert_eq!(names(&format!("files = [\"*.json\", \"a*\"]\n{WINDOWS}")).unwrap(), ["a.json"]);
        assert!(matches!(names(&format!("files = [\"*.zip\"]\n{WINDOWS}")), Err(CaseError::NoFiles { .. })));
        assert!(matches!(names(&format!("files = [\"../*\"]\n{WINDOWS}")), Err(CaseError::Outside { .. })));
        assert!(matches!(names(&format!("files = [\"/etc/*\"]\n{WINDOWS}")), Err(CaseError::Outside { .. })));
        assert!(matches!(names(&format!("files = [\"***\"]\n{WINDOWS}")), Err(CaseError::Glob { .. })));
        assert!(matches!(Case::read(&dir.path().join("absent")), Err(CaseError::Io { .. })));
    }
}
