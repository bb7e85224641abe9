//! Tables as Parquet: a file each, zstd, with statistics of every page. Rows are in groups by time; within a
//! group those that have a path are sorted by it, so that a reader skips groups by time and pages by path.

use std::{collections::HashMap, fs::File, io, path::Path, sync::Arc};

use parquet::{
    basic::{
        Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel,
    },
    column::writer::ColumnWriter,
    data_type::ByteArray,
    errors::ParquetError,
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::types::{ColumnPath, Type},
};

use super::{
    create,
    rows::Rows,
    table::{BINS, Kind, SCHEMA, TABLES, Table, Value},
};

/// Rows of a group: what is in memory at once, and what a reader skips by time.
const GROUP_ROWS: usize = 1 << 17;
/// Rows of a page: what a reader skips by path.
const PAGE_ROWS: usize = 1 << 12;
/// Bins of a group of intervals.
const GROUP_BINS: usize = 1 << 21;
const ZSTD: i32 = 3;

/// The files of a directory.
pub(super) struct Parquet {
    tables: Vec<Writing>,
}

impl Parquet {
    /// Makes them.
    ///
    /// # Errors
    /// One is there already, or cannot be made.
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        let tables = TABLES.iter().map(|table| {
            let file = create(&directory.join(format!("{}.parquet", table.name)))?;
            Writing::begin(table, file).map_err(failed)
        });
        Ok(Self {
            tables: tables.collect::<io::Result<_>>()?,
        })
    }

    /// Everything goes out.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn end(self) -> io::Result<()> {
        self.tables
            .into_iter()
            .try_for_each(|it| it.end().map_err(failed))
    }
}

impl Rows for Parquet {
    fn row(&mut self, table: usize, row: &[Value<'_>]) -> io::Result<()> {
        self.tables[table].row(row).map_err(failed)
    }
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        other => io::Error::other(other),
    }
}

/// One file.
struct Writing {
    table: &'static Table,
    file: SerializedFileWriter<File>,
    columns: Vec<Filling>,
    rows: usize,
    bins: usize,
}

/// Values of a column that wait for their group to be full.
enum Filling {
    Ints(Vec<Option<i64>>),
    Floats(Vec<Option<f64>>),
    Bools(Vec<Option<bool>>),
    Texts(Vec<Option<ByteArray>>, HashMap<String, ByteArray>),
    Bins(Vec<Vec<(u64, u64)>>),
}

impl Filling {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Int | Kind::Time => Self::Ints(Vec::new()),
            Kind::Float => Self::Floats(Vec::new()),
            Kind::Bool => Self::Bools(Vec::new()),
            Kind::Text => Self::Texts(Vec::new(), HashMap::new()),
            Kind::Bins => Self::Bins(Vec::new()),
        }
    }

    fn push(&mut self, value: &Value<'_>) {
        match (self, value) {
            (Self::Ints(values), Value::Int(it)) => {
                values.push(Some(i64::try_from(*it).unwrap_or(i64::MAX)));
            }
            (Self::Ints(values), Value::Signed(it)) => values.push(Some(*it)),
            (Self::Ints(values), _) => values.push(None),
            (Self::Floats(values), Value::Float(it)) => values.push(Some(*it)),
            (Self::Floats(values), _) => values.push(None),
            (Self::Bools(values), Value::Bool(it)) => values.push(Some(*it)),
            (Self::Bools(values), _) => values.push(None),
            (Self::Texts(values, known), Value::Text(text)) => {
                let known = match known.get(*text) {
                    Some(known) => known.clone(),
                    None => {
                        let new = ByteArray::from(*text);
                        known.insert((*text).to_owned(), new.clone());
                        new
                    }
                };
                values.push(Some(known));
            }
            (Self::Texts(values, _), _) => values.push(None),
            (Self::Bins(values), Value::Bins(bins)) => values.push(bins.to_vec()),
            (Self::Bins(values), _) => values.push(Vec::new()),
        }
    }

    /// What rows are sorted by: every such column is one of whole numbers.
    fn key(&self, row: usize) -> i64 {
        match self {
            Self::Ints(values) => values.get(row).copied().flatten().unwrap_or(i64::MIN),
            _ => 0,
        }
    }
}

impl Writing {
    fn begin(table: &'static Table, file: File) -> Result<Self, ParquetError> {
        let schema = Arc::new(schema(table)?);
        let file = SerializedFileWriter::new(file, schema, Arc::new(properties(table)?))?;
        Ok(Self {
            table,
            file,
            columns: table
                .columns
                .iter()
                .map(|it| Filling::new(it.kind))
                .collect(),
            rows: 0,
            bins: 0,
        })
    }

    fn row(&mut self, row: &[Value<'_>]) -> Result<(), ParquetError> {
        debug_assert_eq!(row.len(), self.columns.len());
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.push(value);
            if let Value::Bins(bins) = value {
                self.bins += bins.len();
            }
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.bins >= GROUP_BINS {
            self.write_group()?;
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let order = self.order();
        let mut group = self.file.next_row_group()?;
        for (column, kind) in self.columns.iter_mut().zip(self.table.columns) {
            let full = std::mem::replace(column, Filling::new(kind.kind));
            if let Filling::Bins(values) = &full {
                for of in [|bin: &(u64, u64)| bin.0, |bin: &(u64, u64)| bin.1] {
                    write_bins(&mut group, values, &order, of)?;
                }
                continue;
            }
            let Some(mut writer) = group.next_column()? else {
                return Err(ParquetError::General("a column too many".to_owned()));
            };
            write(writer.untyped(), &full, &order)?;
            writer.close()?;
        }
        group.close()?;
        (self.rows, self.bins) = (0, 0);
        Ok(())
    }

    /// The rows in the order in which they are written.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.rows).collect();
        let keys: Vec<&Filling> = self
            .table
            .sorted_by
            .iter()
            .filter_map(|name| self.column(name))
            .collect();
        if !keys.is_empty() {
            order.sort_by_cached_key(|row| {
                keys.iter()
                    .map(|column| column.key(*row))
                    .collect::<Vec<i64>>()
            });
        }
        order
    }

    fn column(&self, name: &str) -> Option<&Filling> {
        let at = self
            .table
            .columns
            .iter()
            .position(|column| column.name == name)?;
        self.columns.get(at)
    }

    fn end(mut self) -> Result<(), ParquetError> {
        self.write_group()?;
        self.file.close()?;
        Ok(())
    }
}

fn write(
    writer: &mut ColumnWriter<'_>,
    column: &Filling,
    order: &[usize],
) -> Result<(), ParquetError> {
    match (writer, column) {
        (ColumnWriter::Int64ColumnWriter(writer), Filling::Ints(values)) => {
            let (there, levels) = picked(values, order);
            writer.write_batch(&there, Some(&levels), None)?;
        }
        (ColumnWriter::DoubleColumnWriter(writer), Filling::Floats(values)) => {
            let (there, levels) = picked(values, order);
            writer.write_batch(&there, Some(&levels), None)?;
        }
        (ColumnWriter::BoolColumnWriter(writer), Filling::Bools(values)) => {
            let (there, levels) = picked(values, order);
            writer.write_batch(&there, Some(&levels), None)?;
        }
        (ColumnWriter::ByteArrayColumnWriter(writer), Filling::Texts(values, _)) => {
            let (there, levels) = picked(values, order);
            writer.write_batch(&there, Some(&levels), None)?;
        }
        _ => return Err(ParquetError::General("a column of another kind".to_owned())),
    }
    Ok(())
}

/// Values that are there, in this order, and for each row whether it has one.
fn picked<T: Clone>(values: &[Option<T>], order: &[usize]) -> (Vec<T>, Vec<i16>) {
    let rows = || {
        order
            .iter()
            .map(|row| values.get(*row).and_then(Option::as_ref))
    };
    let levels = rows().map(|value| i16::from(value.is_some())).collect();
    (rows().flatten().cloned().collect(), levels)
}

/// A member of each bin, as a column of lists: definition level 1 where there is a bin, repetition level 1
/// where it is not the first of its row.
fn write_bins(
    group: &mut parquet::file::writer::SerializedRowGroupWriter<'_, File>,
    rows: &[Vec<(u64, u64)>],
    order: &[usize],
    of: impl Fn(&(u64, u64)) -> u64,
) -> Result<(), ParquetError> {
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for row in order {
        let bins = rows.get(*row).map_or(&[][..], Vec::as_slice);
        if bins.is_empty() {
            defined.push(0);
            repeated.push(0);
        }
        for (nth, bin) in bins.iter().enumerate() {
            values.push(i64::try_from(of(bin)).unwrap_or(i64::MAX));
            defined.push(1);
            repeated.push(i16::from(nth > 0));
        }
    }
    let Some(mut writer) = group.next_column()? else {
        return Err(ParquetError::General("a column too many".to_owned()));
    };
    let ColumnWriter::Int64ColumnWriter(column) = writer.untyped() else {
        return Err(ParquetError::General("a column of another kind".to_owned()));
    };
    column.write_batch(&values, Some(&defined), Some(&repeated))?;
    writer.close()
}

fn schema(table: &Table) -> Result<Type, ParquetError> {
    let columns = table.columns.iter().map(|column| match column.kind {
        Kind::Int => optional(column.name, Physical::INT64, None),
        Kind::Time => {
            let time = LogicalType::timestamp(true, TimeUnit::NANOS);
            optional(column.name, Physical::INT64, Some(time))
        }
        Kind::Float => optional(column.name, Physical::DOUBLE, None),
        Kind::Bool => optional(column.name, Physical::BOOLEAN, None),
        Kind::Text => optional(column.name, Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Bins => bins(column.name),
    });
    let columns = columns.map(|column| column.map(Arc::new));
    Type::group_type_builder(table.name)
        .with_fields(columns.collect::<Result<_, _>>()?)
        .build()
}

fn optional(
    name: &str,
    kind: Physical,
    logical: Option<LogicalType>,
) -> Result<Type, ParquetError> {
    Type::primitive_type_builder(name, kind)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()
}

/// A list of structs, as the format has it (parquet-format, LogicalTypes.md, "Lists").
fn bins(name: &str) -> Result<Type, ParquetError> {
    let member = |name: &str| {
        Type::primitive_type_builder(name, Physical::INT64)
            .with_repetition(Repetition::REQUIRED)
            .build()
            .map(Arc::new)
    };
    let element = Type::group_type_builder("element")
        .with_repetition(Repetition::REQUIRED)
        .with_fields(vec![member("le_ns")?, member("count")?])
        .build()?;
    let list = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![Arc::new(element)])
        .build()?;
    Type::group_type_builder(name)
        .with_repetition(Repetition::REQUIRED)
        .with_fields(vec![Arc::new(list)])
        .with_logical_type(Some(LogicalType::List))
        .build()
}

fn properties(table: &Table) -> Result<WriterProperties, ParquetError> {
    let told = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    let sorted = table.sorted_by.iter().filter_map(|name| {
        let at = table
            .columns
            .iter()
            .position(|column| column.name == *name)?;
        Some(SortingColumn {
            column_idx: i32::try_from(at).ok()?,
            descending: false,
            nulls_first: true,
        })
    });
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("alua-trace {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD)?))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_key_value_metadata(Some(vec![
            told("alua-trace.table", table.name.to_owned()),
            told("alua-trace.schema", SCHEMA.to_string()),
            told("alua-trace.bins", BINS.to_owned()),
        ]));
    if !table.sorted_by.is_empty() {
        properties = properties.set_sorting_columns(Some(sorted.collect()));
    }
    // Times differ from row to row by little; as words of a dictionary they would be stored twice.
    for column in table
        .columns
        .iter()
        .filter(|column| column.kind == Kind::Time)
    {
        let path = ColumnPath::from(column.name);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    Ok(properties.build())
}
