//! Known answers, and whole connections in virtual time.

mod connections;
mod framework_vectors;
mod own_vectors;
mod pair;
mod silence;

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;

/// A block of `key = hexadecimal` lines; a key may come several times.
#[derive(Default)]
struct Vector(BTreeMap<String, Vec<String>>);

impl Vector {
    /// The blocks of `text`, which blank lines separate; `#` starts a comment line.
    fn read(text: &str) -> Vec<Self> {
        text.split("\n\n")
            .map(|block| {
                let mut vector = Self::default();
                for line in block.lines().filter(|line| !line.starts_with('#')) {
                    let (key, value) = line.split_once(" = ").expect("key = value");
                    vector.0.entry(key.into()).or_default().push(value.into());
                }
                vector
            })
            .filter(|vector| !vector.0.is_empty())
            .collect()
    }

    fn text(&self, key: &str) -> &str {
        &self.0[key][0]
    }

    fn all(&self, key: &str) -> Vec<Vec<u8>> {
        let values = self.0.get(key).map_or(&[][..], Vec::as_slice);
        values
            .iter()
            .map(|hex| HEXLOWER.decode(hex.as_bytes()).expect("hexadecimal"))
            .collect()
    }

    fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.all(key).into_iter().next()
    }
}
