//! What is found when a store is opened: torn ends are cut off, broken files set aside, closed logs handed on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::StoreError;
use super::convert::Closed;
use super::counters::{Counted, Counters};
use super::files::{Folders, UNFINISHED, paths_in, sync_folder};
use super::frame::Records;
use super::segment;

/// Puts the store in order and gives the logs that the last run has left.
pub(super) fn recover(folders: &Folders, counters: &Counters) -> Result<Vec<Closed>, StoreError> {
    let failed = |path: &Path, source: io::Error| StoreError::Io {
        path: path.to_owned(),
        action: "cannot put the store in order",
        source,
    };
    for path in paths_in(&folders.segments).map_err(|error| failed(&folders.segments, error))? {
        if path.extension().is_some_and(|ending| ending == UNFINISHED) {
            // Its log is still there.
            fs::remove_file(&path).map_err(|error| failed(&path, error))?;
        }
    }
    for broken in folders.segments().map_err(|error| failed(&folders.segments, error))? {
        if segment::is_whole(&broken.path).map_err(|error| failed(&broken.path, error))? {
            continue;
        }
        let aside = folders.set_aside(&broken.path).map_err(|error| failed(&broken.path, error))?;
        counters.add(Counted::SetAside, 1);
        tracing::error!(file = %aside.display(), "a segment is broken and was set aside; what it held is missing");
    }
    let mut left = Vec::new();
    for (number, path) in folders.logs().map_err(|error| failed(&folders.log, error))? {
        if mend_log(folders, &path, counters).map_err(|error| failed(&path, error))? {
            left.push(Closed { number, path, spans: None });
        }
    }
    Ok(left)
}

/// Cuts off what is not whole at the end of a log, and keeps that aside. Whether there is a log after that.
fn mend_log(folders: &Folders, path: &Path, counters: &Counters) -> io::Result<bool> {
    let bytes = fs::read(path)?;
    let Some(mut records) = Records::of(&bytes) else {
        let aside = folders.set_aside(path)?;
        counters.add(Counted::SetAside, 1);
        tracing::warn!(file = %aside.display(), "no log begins here; it was set aside");
        return Ok(false);
    };
    let count = records.by_ref().count();
    let whole = records.whole_bytes();
    let torn = bytes.get(whole..).unwrap_or_default();
    if !torn.is_empty() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // What is cut off here has to be there first.
        let mut aside = File::create(folders.aside.join(format!("{name}.torn")))?;
        aside.write_all(torn)?;
        aside.sync_all()?;
        sync_folder(&folders.aside)?;
        let log = OpenOptions::new().write(true).open(path)?;
        log.set_len(whole as u64)?;
        log.sync_all()?;
        counters.add(Counted::TornBytes, torn.len() as u64);
        tracing::warn!(log = %path.display(), bytes = torn.len(), "the end of a log is torn, as after a crash: it was cut off and set aside; it was probably never answered");
    }
    if count == 0 {
        fs::remove_file(path)?;
        sync_folder(&folders.log)?;
    }
    Ok(count > 0)
}
