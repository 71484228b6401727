//! The folders of a store and the names in them.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;

/// The folders of a store.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    pub(super) root: PathBuf,
    pub(super) log: PathBuf,
    pub(super) segments: PathBuf,
    pub(super) aside: PathBuf,
    /// Names the attribute that told how the spans were sampled.
    sampling: PathBuf,
}

/// What a segment holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub(super) enum Content {
    Spans,
    Signals,
}

const CONTENTS: [(&str, Content); 2] = [("spans", Content::Spans), ("signals", Content::Signals)];

/// A segment, as its name tells.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub(super) struct Segment {
    /// The log that it was made of.
    pub(super) number: u64,
    pub(super) content: Content,
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    pub(super) path: PathBuf,
}

/// The ending of what is being written and does not count yet.
pub(super) const UNFINISHED: &str = "tmp";

impl Folders {
    pub(super) fn of(root: &Path) -> Self {
        let below = |name: &str| root.join(name);
        let (log, segments, aside) = (below("log"), below("segments"), below("aside"));
        Self { root: root.to_owned(), log, segments, aside, sampling: below("sampling-attribute") }
    }

    pub(super) fn create(root: &Path) -> Result<Self, StoreError> {
        let folders = Self::of(root);
        let failed = |action, path: &Path, source| StoreError::Io { path: path.to_owned(), action, source };
        if !folders.segments.is_dir() && holds_anything(root).map_err(|error| failed("cannot be used", root, error))? {
            return Err(StoreError::NotAStore { folder: root.to_owned() });
        }
        // By its segments a store is known, so they come first.
        for folder in [&folders.segments, &folders.log, &folders.aside] {
            create_durably(folder).map_err(|error| failed("cannot make this folder", folder, error))?;
        }
        sync_folder(root).map_err(|error| failed("cannot be used", root, error))?;
        Ok(folders)
    }

    /// Notes by which attribute spans are read from now on, in segments and in logs.
    pub(super) fn note_sampling(&self, attribute: Option<&str>) -> io::Result<()> {
        let unfinished = self.sampling.with_extension(UNFINISHED);
        fs::write(&unfinished, attribute.unwrap_or_default())?;
        File::open(&unfinished)?.sync_all()?;
        fs::rename(&unfinished, &self.sampling)?;
        sync_folder(&self.root)
    }

    /// What was noted.
    pub(super) fn sampling(&self) -> io::Result<Option<String>> {
        match fs::read_to_string(&self.sampling) {
            Ok(attribute) => Ok(Some(attribute).filter(|attribute| !attribute.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Two writers would take each other's logs for left-overs.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        let path = self.root.join("lock");
        let failed = |source| StoreError::Io { path: path.clone(), action: "cannot be locked", source };
        let file = File::create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { folder: self.root.clone() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    pub(super) fn log(&self, number: u64) -> PathBuf {
        self.log.join(format!("{number:016}.log"))
    }

    /// All logs with their numbers, the oldest first.
    pub(super) fn logs(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let number = |path: PathBuf| {
            let number = path.file_name()?.to_str()?.strip_suffix(".log")?.parse().ok()?;
            Some((number, path))
        };
        let mut logs: Vec<_> = paths_in(&self.log)?.into_iter().filter_map(number).collect();
        logs.sort();
        Ok(logs)
    }

    pub(super) fn segment(&self, content: Content, number: u64, first_ns: i64, last_ns: i64) -> PathBuf {
        let name = CONTENTS.iter().find(|(_, known)| *known == content).map_or("", |(name, _)| name);
        // Times before 1970 are those of clocks that were never set, and their sign would look like a separator.
        let (first_ns, last_ns) = (first_ns.max(0), last_ns.max(0));
        self.segments.join(format!("{name}-{number:016}-{first_ns}-{last_ns}.parquet"))
    }

    /// All finished segments, the oldest first.
    pub(super) fn segments(&self) -> io::Result<Vec<Segment>> {
        let mut segments: Vec<Segment> = paths_in(&self.segments)?.into_iter().filter_map(Segment::of).collect();
        segments.sort();
        Ok(segments)
    }

    /// Puts a broken file away. Where one of that name lies already, the newer takes its place.
    pub(super) fn set_aside(&self, path: &Path) -> io::Result<PathBuf> {
        let target = self.aside.join(path.file_name().unwrap_or_default());
        fs::rename(path, &target)?;
        Ok(target)
    }
}

impl Segment {
    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".parquet")?;
        let mut parts = name.split('-');
        let content = parts.next()?;
        let (_, content) = *CONTENTS.iter().find(|(known, _)| *known == content)?;
        let number = parts.next()?.parse().ok()?;
        let (first_ns, last_ns) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        parts.next().is_none().then_some(Self { number, content, first_ns, last_ns, path })
    }
}

/// Whether there is anything in a folder that may not be there, besides what every disk has.
fn holds_anything(folder: &Path) -> io::Result<bool> {
    match paths_in(folder) {
        Ok(paths) => Ok(paths.iter().any(|path| !path.ends_with("lost+found"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a folder and those that it is in, each of them durable.
fn create_durably(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new(""));
    create_durably(parent)?;
    fs::create_dir(folder)?;
    sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

pub(super) fn paths_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// Makes names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_folder_or_a_store_becomes_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b");
        fs::create_dir_all(root.join("lost+found")).unwrap();
        fs::write(root.join("letter.txt"), "dear").unwrap();
        assert!(matches!(Folders::create(&root), Err(StoreError::NotAStore { .. })));
        assert_eq!(paths_in(&root).unwrap().len(), 2, "nothing is made in it");
        fs::remove_file(root.join("letter.txt")).unwrap();
        for root in [&root, &root, &folder.path().join("c/d")] {
            let folders = Folders::create(root).unwrap();
            assert!(folders.log.is_dir() && folders.aside.is_dir());
        }
    }

    #[test]
    fn names_tell_what_a_segment_holds() {
        let folders = Folders::of(Path::new("data"));
        let path = folders.segment(Content::Spans, 1_772_445_600_123, -5, 1_772_445_600_000_000_000);
        assert_eq!(path.to_str(), Some("data/segments/spans-0001772445600123-0-1772445600000000000.parquet"));
        let segment = Segment::of(path).unwrap();
        assert_eq!(
            (segment.number, segment.first_ns, segment.last_ns),
            (1_772_445_600_123, 0, 1_772_445_600_000_000_000)
        );
        for name in ["spans-1-2.parquet", "spans-1-2-3-4.parquet", "other-1-2-3.parquet", "spans-1-2-3.parquet.tmp"] {
            assert_eq!(Segment::of(PathBuf::from(name)), None, "{name}");
        }
    }
}
