//! Values of the columns of a span table in Parquet, whatever types they are written in: texts by code, ids, times.

use polars::prelude::{AnyValue, Column, DataType, TimeUnit as PolarsUnit};
use rustc_hash::FxHashMap;

use super::span_columns::TimeUnit;
use super::table_values::{instant_ns, length_ns, parent_id, span_id, trace_id, whole_instant_ns};

/// The value of each row, by its code.
pub(super) fn by_code<T: Copy>(codes: &[u32], values: &[T]) -> Vec<T> {
    codes.iter().map(|&code| values[code as usize]).collect()
}

/// Codes of the rows, and the text of each code.
pub(super) type Encoded = (Vec<u32>, Vec<String>);

/// Distinct views that are remembered: enough for any column with a dictionary, little for one without.
const VIEWS_KEPT: usize = 1 << 14;

/// Gives the distinct texts of a column small numbers, in order of first appearance; null is the empty text.
pub(super) fn encode(column: &Column) -> Encoded {
    let series = column.as_materialized_series();
    let mut codes = Vec::with_capacity(series.len());
    let mut texts = Vec::new();
    if let Ok(strings) = series.str() {
        let mut known: FxHashMap<&str, u32> = FxHashMap::default();
        for array in strings.downcast_iter() {
            // Equal views are equal texts, and a dictionary page gives equal texts equal views: mostly no text is read.
            let mut seen: FxHashMap<u128, u32> = FxHashMap::default();
            for (view, text) in array.views().iter().zip(array.iter()) {
                let view = text.map_or(0, |_| view.as_u128());
                let code = seen.get(&view).copied().unwrap_or_else(|| {
                    let text = text.unwrap_or_default();
                    let code = *known.entry(text).or_insert_with(|| {
                        texts.push(text.to_owned());
                        texts.len() as u32 - 1
                    });
                    if seen.len() < VIEWS_KEPT {
                        seen.insert(view, code);
                    }
                    code
                });
                codes.push(code);
            }
        }
        return (codes, texts);
    }
    let mut known: FxHashMap<String, u32> = FxHashMap::default();
    for value in series.iter() {
        let text = value_text(&value);
        let next = known.len() as u32;
        let code = *known.entry(text).or_insert_with_key(|text| {
            texts.push(text.clone());
            next
        });
        codes.push(code);
    }
    (codes, texts)
}

/// Text of a value of any type but text.
fn value_text(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::Null => String::new(),
        AnyValue::String(text) => (*text).to_owned(),
        AnyValue::StringOwned(text) => text.to_string(),
        AnyValue::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        AnyValue::BinaryOwned(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => other.str_value().into_owned(),
    }
}

/// Ids of traces.
pub(super) fn trace_ids(column: &Column) -> Vec<Option<u128>> {
    let of_bytes = |bytes: &[u8]| match <[u8; 16]>::try_from(bytes) {
        Ok(bytes) => Some(u128::from_be_bytes(bytes)),
        Err(_length) => trace_id(std::str::from_utf8(bytes).ok()?),
    };
    // Tables that number their traces may begin with 0.
    ids(column, trace_id, |number| Some(number.into()), of_bytes, None)
}

/// Ids of spans, of which none is 0.
pub(super) fn span_ids(column: &Column) -> Vec<Option<u64>> {
    let of_bytes = |bytes: &[u8]| match <[u8; 8]>::try_from(bytes) {
        Ok(bytes) => Some(u64::from_be_bytes(bytes)).filter(|&id| id != 0),
        Err(_length) => span_id(std::str::from_utf8(bytes).ok()?),
    };
    ids(column, span_id, |number| (number != 0).then_some(number), of_bytes, None)
}

/// Ids of parents; 0 is none.
pub(super) fn parent_ids(column: &Column) -> Vec<Option<u64>> {
    let of_bytes = |bytes: &[u8]| match <[u8; 8]>::try_from(bytes) {
        Ok(bytes) => Some(u64::from_be_bytes(bytes)),
        Err(_length) => parent_id(std::str::from_utf8(bytes).ok()?),
    };
    ids(column, parent_id, Some, of_bytes, Some(0))
}

/// Ids of any type: text, whole numbers (their bits, negative or not), raw bytes.
fn ids<T: Copy>(
    column: &Column,
    of_text: impl Fn(&str) -> Option<T>,
    of_number: impl Fn(u64) -> Option<T>,
    of_bytes: impl Fn(&[u8]) -> Option<T>,
    absent: Option<T>,
) -> Vec<Option<T>> {
    let series = column.as_materialized_series();
    if let Ok(strings) = series.str() {
        let mut last = ("", absent);
        let mut id = |text| {
            // The spans of a trace tend to stand together.
            if last.0 != text {
                last = (text, of_text(text));
            }
            last.1
        };
        return strings.iter().map(|text| text.filter(|t| !t.is_empty()).map_or(absent, &mut id)).collect();
    }
    if let Ok(numbers) = series.u64() {
        return numbers.iter().map(|number| number.map_or(absent, &of_number)).collect();
    }
    if let Ok(numbers) = series.i64() {
        return numbers.iter().map(|number| number.map_or(absent, |n| of_number(n.cast_unsigned()))).collect();
    }
    if let Ok(binaries) = series.binary() {
        return binaries.iter().map(|bytes| bytes.map_or(absent, &of_bytes)).collect();
    }
    let of_value = |value: AnyValue<'_>| match value {
        AnyValue::Null => absent,
        value => of_text(&value_text(&value)),
    };
    series.iter().map(of_value).collect()
}

fn polars_unit(unit: PolarsUnit) -> TimeUnit {
    match unit {
        PolarsUnit::Nanoseconds => TimeUnit::Nanoseconds,
        PolarsUnit::Microseconds => TimeUnit::Microseconds,
        PolarsUnit::Milliseconds => TimeUnit::Milliseconds,
    }
}

/// Instants, Unix ns; the column's own type tells the unit where it has one.
pub(super) fn instants(column: &Column, unit: Option<TimeUnit>) -> Vec<Option<i64>> {
    let series = column.as_materialized_series();
    let unit = match series.dtype() {
        DataType::Datetime(unit, _) => Some(polars_unit(*unit)),
        _ => unit,
    };
    let physical = series.to_physical_repr();
    if let Ok(numbers) = physical.i64() {
        return numbers.iter().map(|number| whole_instant_ns(number?, unit)).collect();
    }
    if let Ok(numbers) = physical.u64() {
        return numbers.iter().map(|number| whole_instant_ns(i64::try_from(number?).ok()?, unit)).collect();
    }
    series.iter().map(|value| instant_ns(&value_text(&value), unit)).collect()
}

/// Durations, ns; the same.
pub(super) fn durations(column: &Column, unit: TimeUnit) -> Vec<Option<u64>> {
    let series = column.as_materialized_series();
    let unit = match series.dtype() {
        DataType::Duration(unit) => polars_unit(*unit),
        _ => unit,
    };
    let factor = unit.nanoseconds().unsigned_abs();
    let physical = series.to_physical_repr();
    if let Ok(numbers) = physical.i64() {
        return numbers.iter().map(|number| u64::try_from(number?).ok()?.checked_mul(factor)).collect();
    }
    if let Ok(numbers) = physical.u64() {
        return numbers.iter().map(|number| number?.checked_mul(factor)).collect();
    }
    series.iter().map(|value| length_ns(&value_text(&value), unit)).collect()
}

/// The unit that the column's first value tells by its size; nanoseconds where it holds no numbers.
pub(super) fn own_unit(column: &Column) -> TimeUnit {
    let series = column.as_materialized_series();
    match series.dtype() {
        dtype if dtype.is_primitive_numeric() => series
            .iter()
            .find_map(|value| value.extract::<i64>())
            .map_or(TimeUnit::Nanoseconds, TimeUnit::from_magnitude),
        _ => TimeUnit::Nanoseconds,
    }
}
