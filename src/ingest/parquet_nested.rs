//! Columns of Parquet whose rows hold many values: attributes, and lists of texts.

use std::borrow::Cow;
use std::ops::Range;

use polars::prelude::{Column, DataType, ListChunked, Series, StringChunked};

use super::attribute_text::read_text;
use super::json_stream::Scalar;

/// The attributes of each row.
pub(crate) enum Attributes {
    /// A map, in Parquet a list of structs with `key` and `value`.
    Map { rows: Vec<Range<usize>>, names: StringChunked, values: StringChunked },
    /// An object as a struct, each member a column of its own.
    Members(Vec<(String, StringChunked)>),
    /// Either as text.
    Text(StringChunked),
    /// Nothing that could be attributes.
    Unknown,
}

impl Attributes {
    pub(crate) fn new(column: &Column) -> Self {
        let series = column.as_materialized_series();
        let read = match series.dtype() {
            DataType::List(_) => series.list().ok().and_then(map),
            DataType::Struct(_) => {
                let mut members = Vec::new();
                list_members("", series, &mut members);
                Some(Self::Members(members))
            }
            _ => texts(series).map(Self::Text),
        };
        read.unwrap_or(Self::Unknown)
    }

    /// Hands the attributes of a row to `note`. Returns whether they could be read.
    pub(crate) fn read_row<'a>(&'a self, row: usize, note: &mut dyn FnMut(&str, Scalar<'a>)) -> bool {
        let text = |text: &'a str| Scalar::Text(Cow::Borrowed(text));
        match self {
            Self::Map { rows, names, values } => {
                for at in rows.get(row).cloned().unwrap_or_default() {
                    if let (Some(name), Some(value)) = (names.get(at), values.get(at)) {
                        note(name, text(value));
                    }
                }
                true
            }
            Self::Members(members) => {
                for (name, values) in members {
                    if let Some(value) = values.get(row) {
                        note(name, text(value));
                    }
                }
                true
            }
            Self::Text(texts) => read_text(texts.get(row).unwrap_or_default(), &mut |name, value| note(name, value)),
            Self::Unknown => false,
        }
    }
}

fn map(list: &ListChunked) -> Option<Attributes> {
    let entries = list.get_inner();
    let entries = entries.struct_().ok()?;
    let field = |name: &str| texts(&entries.field_by_name(name).ok()?);
    Some(Attributes::Map { rows: ranges(list), names: field("key")?, values: field("value")? })
}

/// The members of a struct and of structs within it, with dots in their names.
fn list_members(path: &str, series: &Series, members: &mut Vec<(String, StringChunked)>) {
    let Ok(fields) = series.struct_() else { return };
    for field in fields.fields_as_series() {
        let name = if path.is_empty() { field.name().to_string() } else { format!("{path}.{}", field.name()) };
        if matches!(field.dtype(), DataType::Struct(_)) {
            list_members(&name, &field, members);
        } else if let Some(values) = texts(&field) {
            members.push((name, values));
        }
    }
}

/// A list of texts in each row.
pub(crate) struct TextLists {
    rows: Vec<Range<usize>>,
    texts: StringChunked,
}

impl TextLists {
    /// `None` for a column of another type.
    pub(crate) fn new(column: &Column) -> Option<Self> {
        let list = column.as_materialized_series().list().ok()?;
        Some(Self { rows: ranges(list), texts: texts(&list.get_inner())? })
    }

    /// The texts of a row; null is the empty text.
    pub(crate) fn of_row(&self, row: usize) -> impl Iterator<Item = &str> {
        let range = self.rows.get(row).cloned().unwrap_or_default();
        range.map(|at| self.texts.get(at).unwrap_or_default())
    }
}

/// Where the values of each row stand among all values; nowhere for null.
fn ranges(list: &ListChunked) -> Vec<Range<usize>> {
    let mut ranges = Vec::with_capacity(list.len());
    let mut before = 0;
    for chunk in list.downcast_iter() {
        let at = |offset: i64| before + usize::try_from(offset).unwrap_or_default();
        ranges.extend(chunk.offsets().as_slice().windows(2).map(|bounds| at(bounds[0])..at(bounds[1])));
        before += chunk.values().len();
    }
    for (range, there) in ranges.iter_mut().zip(list.is_not_null().iter()) {
        if there == Some(false) {
            *range = 0..0;
        }
    }
    ranges
}

/// A column of texts in one piece, other values as text; `None` for nested values.
fn texts(series: &Series) -> Option<StringChunked> {
    if series.dtype().is_nested() {
        return None;
    }
    let cast = series.cast(&DataType::String).ok()?;
    Some(cast.str().ok()?.rechunk().into_owned())
}
