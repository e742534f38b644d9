//! What axes and columns are called on a figure, and their units. What is not listed is called by its own name.

use crate::sweep::plan::Plan;

/// Scenario keys and leaves of reports.
const KNOWN: [(&str, &str); 26] = [
    ("network.loss_percent", "packet loss on each hop"),
    ("network.rtt_ms", "round-trip time of the network"),
    ("network.jitter_ms", "jitter of the network"),
    ("network.duplicate_percent", "datagrams sent twice"),
    ("members", "members"),
    ("speakers", "members who speak"),
    ("planner", "planner"),
    ("policy", "route policy"),
    ("gap_ms_max", "longest silence of a speaker at a listener"),
    ("gap_at_s", "time of the longest silence"),
    ("heard", "frames heard of a speaker by a listener"),
    ("lost", "frames lost between a speaker and a listener"),
    (
        "loss_share",
        "share of frames lost between a speaker and a listener",
    ),
    ("concealed_percent", "sound that a listener's buffer invented"),
    (
        "pairs.sound.mouth_to_ear_ms.p50",
        "mouth to ear, median of the frames",
    ),
    (
        "pairs.sound.mouth_to_ear_ms.p99",
        "mouth to ear, 99 of 100 frames",
    ),
    ("after_ms", "time from dialling to the first audio"),
    ("bytes_in", "traffic that a relay received"),
    ("packets_in", "packets that a relay received"),
    ("control_bytes", "control traffic that participants sent"),
    ("control_frames", "control messages that participants sent"),
    (
        "control_frames_per_second_max",
        "most control messages of one participant in a second",
    ),
    ("channels_max", "most pairwise channels of one participant"),
    ("links_max", "most direct links of one participant"),
    (
        "healed_ms_max",
        "longest time from a partition's end to one roster",
    ),
    ("violations", "violations"),
];

/// An axis, with its unit: the sweep file's words, or ours.
pub(super) fn axis(plan: &Plan, key: &str) -> String {
    let label = plan
        .axes
        .iter()
        .find(|axis| axis.key == key)
        .and_then(|axis| axis.label.clone());
    label.unwrap_or_else(|| with_unit(&known(key).unwrap_or_else(|| plain(key)), key))
}

/// A column, with its unit.
pub(super) fn column(name: &str) -> String {
    let (path, statistic) = match name.rsplit_once('.') {
        Some((path, last)) if statistic(last, path).is_some() => (path, statistic(last, path)),
        _ => (name, None),
    };
    let leaf = path.rsplit_once('.').map_or(path, |(_, leaf)| leaf);
    let words = known(path).or_else(|| known(leaf)).unwrap_or_else(|| plain(path));
    let words = statistic.map_or(words.clone(), |statistic| format!("{words}, {statistic}"));
    with_unit(&words, path)
}

/// `…, unit` in brackets is for axes only.
pub(super) fn without_unit(words: &str) -> &str {
    words
        .rsplit_once(" (")
        .filter(|(_, unit)| unit.ends_with(')'))
        .map_or(words, |(words, _)| words)
}

/// The first letter is large.
pub(super) fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn known(name: &str) -> Option<String> {
    let found = KNOWN.iter().find(|(key, _)| *key == name);
    found.map(|(_, words)| (*words).to_owned())
}

fn plain(name: &str) -> String {
    name.replace(['_', '.'], " ")
}

fn statistic(last: &str, path: &str) -> Option<String> {
    let of = match path.split('.').next().unwrap_or_default() {
        "pairs" => "all pairs",
        "relays" => "all relays",
        "first_audio_ms" => "all joiners",
        _ => "all",
    };
    let how = match last {
        "sum" => "sum over",
        "mean" => "mean of",
        "p50" => "median of",
        "p95" => "95th percentile of",
        "max" => "largest of",
        _ => return None,
    };
    Some(format!("{how} {of}"))
}

/// Units are the names' own: `_ms`, `_s`, `_percent`, `bytes`.
fn with_unit(words: &str, name: &str) -> String {
    let has = |part: &str| name.split(['_', '.']).any(|word| word == part);
    let unit = [
        ("ms", "ms"),
        ("percent", "%"),
        ("permille", "‰"),
        ("bytes", "bytes"),
        ("s", "s"),
        ("us", "µs"),
    ];
    let unit = unit.iter().find(|(part, _)| has(part));
    unit.map_or(words.to_owned(), |(_, unit)| format!("{words} ({unit})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_told_in_words() {
        assert_eq!(
            column("pairs.gap_ms_max.p95"),
            "longest silence of a speaker at a listener, 95th percentile of all pairs (ms)"
        );
        assert_eq!(
            column("figures.control_bytes"),
            "control traffic that participants sent (bytes)"
        );
        assert_eq!(
            column("pairs.sound.mouth_to_ear_ms.p99.mean"),
            "mouth to ear, 99 of 100 frames, mean of all pairs (ms)"
        );
        assert_eq!(column("figures.new_thing_ms"), "figures new thing ms (ms)");
        assert_eq!(
            without_unit(&column("relays.bytes_in.sum")),
            "traffic that a relay received, sum over all relays"
        );
        assert_eq!(capital("größe"), "Größe");
    }
}
