//! Tables as Apache Parquet: flat, every column may be empty, Snappy pages.

use std::sync::Arc;

use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{Type, TypePtr},
};

use super::table::{Cell, Column, Kind, Row};

/// A Parquet file's bytes.
///
/// # Errors
/// A sentence if the writer refuses the table.
pub(super) fn write(columns: &[Column], rows: &[&Row]) -> Result<Vec<u8>, String> {
    write_file(columns, rows).map_err(|error| format!("cannot write Parquet: {error}"))
}

fn write_file(columns: &[Column], rows: &[&Row]) -> Result<Vec<u8>, ParquetError> {
    let fields = columns.iter().map(field).collect::<Result<Vec<TypePtr>, _>>()?;
    let schema = Type::group_type_builder("run").with_fields(fields).build()?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for column in columns {
        let cells = rows.iter().map(|row| row.get(&column.name));
        match column.kind {
            Kind::Bool => write_column::<BoolType>(&mut group, cells, |cell| match cell {
                Cell::Bool(value) => Some(*value),
                _ => None,
            }),
            Kind::Int => write_column::<Int64Type>(&mut group, cells, |cell| match cell {
                Cell::Int(value) => Some(*value),
                _ => None,
            }),
            Kind::Float => write_column::<DoubleType>(&mut group, cells, Cell::as_f64),
            Kind::Text => write_column::<ByteArrayType>(&mut group, cells, |cell| {
                Some(ByteArray::from(cell.text().into_bytes()))
            }),
        }?;
    }
    group.close()?;
    file.close()?;
    Ok(bytes)
}

fn field(column: &Column) -> Result<TypePtr, ParquetError> {
    let (physical, logical) = match column.kind {
        Kind::Bool => (Physical::BOOLEAN, None),
        Kind::Int => (Physical::INT64, None),
        Kind::Float => (Physical::DOUBLE, None),
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let builder = Type::primitive_type_builder(&column.name, physical);
    builder
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()
        .map(Arc::new)
}

fn write_column<'a, T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, &mut Vec<u8>>,
    cells: impl Iterator<Item = Option<&'a Cell>>,
    value: impl Fn(&Cell) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let values: Vec<Option<T::T>> = cells.map(|cell| cell.and_then(&value)).collect();
    // 1: there, 0: empty (Parquet's definition levels of a flat optional column).
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let present: Vec<T::T> = values.into_iter().flatten().collect();
    let missing = || ParquetError::General("fewer columns than the schema has".to_owned());
    let mut writer = group.next_column()?.ok_or_else(missing)?;
    writer.typed::<T>().write_batch(&present, Some(&levels), None)?;
    writer.close()
}
