//! Sweeps: one scenario with many values of its keys, each on many seeds, in shards; one table in the end, and figures.
//!
//! A run's record depends on its scenario, its seed and the sources alone. Shards share no state but the folder, so they
//! can be tasks of a cluster; what is finished is not run again.
//!
//! | module | concern |
//! |---|---|
//! | `file`, `suggest` | the sweep file |
//! | `edit`, `plan` | its points and runs |
//! | `store`, `run` | records, and what makes them |
//! | `flatten`, `table`, `parquet_file`, `merge` | records to one table |
//! | `statistics`, `plot` | table to figure |
//! | `provenance`, `source_hash` | from what, by what, when |

pub mod edit;
pub mod file;
mod flatten;
pub mod merge;
mod parquet_file;
pub mod plan;
pub mod plot;
pub mod provenance;
pub mod run;
mod source_hash;
pub mod statistics;
pub mod store;
mod suggest;
pub mod table;

/// An axis' value as words: without quotes, and `5.0` as `5`, so that equal numbers are equal.
#[must_use]
pub fn value_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Float(number) => format!("{number}"),
        other => other.to_string(),
    }
}
