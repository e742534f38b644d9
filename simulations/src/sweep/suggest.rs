//! Says what may be meant by a key that nobody knows.

/// Names that are less alike than that are not suggested (Jaro–Winkler, 0 to 1).
const LIKENESS_MIN: f64 = 0.75;

/// `; did you mean …?`, or nothing.
#[must_use]
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let scored = known.map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .map_or(String::new(), |(_, known)| format!("; did you mean `{known}`?"))
}

/// A message of the TOML reader, with a suggestion if it complains about an unknown field and lists those that it knows.
#[must_use]
pub(super) fn explain(message: &str) -> String {
    let message = message.trim_end();
    let Some((_, rest)) = message.split_once("unknown field `") else {
        return message.to_owned();
    };
    let mut quoted = rest.split('`').step_by(2);
    let name = quoted.next().unwrap_or_default();
    let known = rest.split('`').skip(2).step_by(2);
    format!("{message}{}", nearest(name, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_field_is_suggested() {
        let message = "unknown field `los_percent`, expected one of `rtt_ms`, `loss_percent`, `jitter_ms`\n";
        assert!(explain(message).ends_with("; did you mean `loss_percent`?"));
        let message = "unknown field `colour`, expected `rtt_ms` or `seeds`";
        assert_eq!(explain(message), message);
        assert_eq!(explain("something else `x`"), "something else `x`");
    }
}
