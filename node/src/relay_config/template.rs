//! A new file: the documented example, filled in.

use toml::Value;

/// The example, which explains each key.
const EXAMPLE: &str = include_str!("../../../docs/relay.toml");

/// The documented example with some settings replaced: `("limits.monthly_gbyte", 500.into())`. `None` takes a setting out.
#[must_use]
pub fn fill(answers: &[(&str, Option<Value>)]) -> String {
    let mut section = String::new();
    let mut out = String::new();
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        }
        let setting = line.strip_prefix('#').unwrap_or(line);
        let key = setting
            .split_once(" = ")
            .map(|(key, _)| format!("{section}{key}"));
        let answer = answers
            .iter()
            .find(|(name, _)| key.as_deref().is_some_and(|key| key == *name));
        match answer {
            Some((name, Some(value))) => {
                let name = name.rsplit('.').next().unwrap_or(name);
                out.push_str(&format!("{name} = {value}\n"));
            }
            Some((_, None)) if !line.starts_with('#') => out.push_str(&format!("#{line}\n")),
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}
