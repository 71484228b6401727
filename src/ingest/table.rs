//! Tables as files: Parquet a batch of rows at a time, so that memory stays bounded whatever the file's size.

use std::fs::File;
use std::io::{Cursor, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polars::io::mmap::MmapBytesReader;
use polars::prelude::{
    DataFrame, FileMetadata, FileMetadataRef, ParallelStrategy, ParquetReader, PolarsResult, SerReader,
};

use super::text::read_whole;
use super::{IngestError, Input, ReadOptions};

/// Whether the bytes begin as Parquet does.
pub(crate) fn is_parquet(head: &[u8]) -> bool {
    head.starts_with(b"PAR1")
}

/// Names of the columns of a Parquet file, which lies on the disk or wholly in `bytes`; none if it is broken.
pub(crate) fn column_names(file: Option<&File>, bytes: &[u8]) -> Vec<String> {
    let names = guarded(Path::new(""), "", || match file {
        Some(file) => {
            let mut file = file.try_clone()?;
            let names = names_of(&mut ParquetReader::new(&mut file));
            // The clone shares its position with the file, which others expect at its beginning.
            file.rewind()?;
            names
        }
        None => names_of(&mut ParquetReader::new(Cursor::new(bytes))),
    });
    // What is wrong with a broken file is told by the format's reader.
    names.unwrap_or_default()
}

fn names_of<R: MmapBytesReader>(reader: &mut ParquetReader<R>) -> PolarsResult<Vec<String>> {
    Ok(reader.schema()?.iter_names().map(|name| name.to_string()).collect())
}

/// Most rows of one batch. A span in text columns takes about 150 bytes, so that a batch stays below 80 MB.
const BATCH_ROWS: usize = 512 * 1024;
/// The same where each row carries its attributes, a kilobyte or so.
const WIDE_BATCH_ROWS: usize = 64 * 1024;

enum Source {
    OnDisk(File),
    InMemory(Vec<u8>),
}

/// An opened Parquet file.
pub(crate) struct ParquetTable {
    path: PathBuf,
    source: Source,
    metadata: FileMetadataRef,
    names: Vec<String>,
}

/// Some rows of one row group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Batch {
    group: usize,
    first_in_group: usize,
    /// How many rows.
    pub(crate) rows: usize,
    /// Number of the batch's first row in the file, from 0.
    pub(crate) first_row: usize,
}

impl ParquetTable {
    /// Reads the file's footer.
    pub(crate) fn open(input: Input<'_>, options: &ReadOptions) -> Result<Self, IngestError> {
        let path = input.path.to_owned();
        let source = match input.file {
            Some(file) => Source::OnDisk(file),
            None => {
                // Unfolded from compression, or never a file: a footer at the end leaves no other way.
                let (bytes, error) = read_whole(Input { file: None, ..input }, options);
                if let Some(error) = error {
                    return Err(error);
                }
                Source::InMemory(bytes)
            }
        };
        let (metadata, names) = guarded(&path, "the footer", || {
            with_reader(&source, None, |mut reader| {
                let names = names_of(&mut reader)?;
                Ok((reader.get_metadata()?.clone(), names))
            })
        })?;
        Ok(Self { path, source, metadata, names })
    }

    /// Names of the columns.
    pub(crate) fn column_names(&self) -> &[String] {
        &self.names
    }

    /// The batches that make up the file, in order.
    pub(crate) fn batches(&self) -> Vec<Batch> {
        self.batches_of(BATCH_ROWS)
    }

    /// The same for rows that carry much.
    pub(crate) fn small_batches(&self) -> Vec<Batch> {
        self.batches_of(WIDE_BATCH_ROWS)
    }

    fn batches_of(&self, most_rows: usize) -> Vec<Batch> {
        let mut batches = Vec::new();
        let mut first_row = 0;
        for (group, metadata) in self.metadata.row_groups.iter().enumerate() {
            // Equal batches keep all cores busy to the end. Few, since each unfolds the pages before its first row too.
            let count = metadata.num_rows().div_ceil(most_rows).max(1);
            let even_rows = metadata.num_rows().div_ceil(count);
            let mut first_in_group = 0;
            while first_in_group < metadata.num_rows() {
                let rows = even_rows.min(metadata.num_rows() - first_in_group);
                batches.push(Batch { group, first_in_group, rows, first_row });
                first_in_group += rows;
                first_row += rows;
            }
        }
        batches
    }

    /// The columns of these indices, in ascending order of index, for the rows of a batch. May be called from several
    /// threads.
    pub(crate) fn read(&self, batch: Batch, columns: &[usize]) -> Result<DataFrame, IngestError> {
        let mut projection = columns.to_vec();
        projection.sort_unstable();
        projection.dedup();
        guarded(&self.path, format_args!("row {}", batch.first_row + 1), || {
            // Metadata of only this row group: the reader walks over all groups that it knows.
            let metadata: Option<FileMetadata> = self.metadata.row_groups.get(batch.group).map(|group| FileMetadata {
                num_rows: group.num_rows(),
                row_groups: vec![group.clone()],
                ..(*self.metadata).clone()
            });
            with_reader(&self.source, metadata.map(Arc::new), |reader| {
                reader
                    .with_projection(Some(projection))
                    .with_slice(Some((batch.first_in_group, batch.rows)))
                    // The caller reads batches in parallel.
                    .read_parallel(ParallelStrategy::None)
                    .finish()
            })
        })
    }
}

/// A reader of either source, type-erased.
type Reader<'s> = ParquetReader<Box<dyn MmapBytesReader + 's>>;

fn with_reader<T>(
    source: &Source,
    metadata: Option<FileMetadataRef>,
    read: impl FnOnce(Reader<'_>) -> PolarsResult<T>,
) -> PolarsResult<T> {
    let bytes: Box<dyn MmapBytesReader + '_> = match source {
        Source::OnDisk(file) => Box::new(file.try_clone()?),
        Source::InMemory(bytes) => Box::new(Cursor::new(bytes.as_slice())),
    };
    let mut reader = ParquetReader::new(bytes);
    if let Some(metadata) = metadata {
        reader.set_metadata(metadata);
    }
    read(reader)
}

/// Runs polars on foreign bytes: it checks most of them and panics at some.
fn guarded<T>(
    path: &Path,
    place: impl std::fmt::Display,
    read: impl FnOnce() -> PolarsResult<T>,
) -> Result<T, IngestError> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(IngestError::malformed(path, place, format_args!("broken Parquet: {error}"))),
        Err(_panic) => Err(IngestError::malformed(path, place, "broken Parquet: its structure contradicts itself")),
    }
}
