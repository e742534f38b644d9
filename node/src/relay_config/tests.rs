//! The file: what is documented is what is read, and each mistake is named.

use super::*;

const GOOD: &str = include_str!("../../../docs/relay.toml");

fn parse(text: &str) -> Result<RelaySettings, RelayConfigError> {
    RelaySettings::parse(text, Path::new("relay.toml"))
}

#[test]
fn the_documented_example_is_valid_and_says_the_defaults() {
    let settings = parse(GOOD).unwrap();
    assert_eq!(settings.hosting.code(), "DE");
    assert_eq!(
        settings.limits,
        RelayLimits {
            monthly_bytes_max: None,
            ..RelayLimits::default()
        }
    );
    assert_eq!(settings.log_policy, LogPolicy::CountersOnly);
    assert_eq!(settings.public_addresses.len(), 2);
}

#[test]
fn each_key_of_the_example_is_needed_or_known() {
    // Every commented-out setting of the example is valid too.
    let all: String = GOOD
        .lines()
        .map(|line| {
            let setting = line
                .strip_prefix("#")
                .filter(|rest| rest.contains(" = ") && !rest.starts_with(' '));
            format!("{}\n", setting.unwrap_or(line))
        })
        .collect();
    let settings = parse(&all).unwrap();
    assert_eq!(settings.limits.monthly_bytes_max, Some(5_000_000_000_000));
    assert!(settings.asn.is_some() && settings.family.is_some());
    assert!(!settings.access.open && settings.access.lists("192.0.2.77".parse().unwrap()));
}

#[test]
fn the_example_explains_every_key() {
    let mut section = String::new();
    let mut explained = Vec::new();
    for line in GOOD.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        }
        let setting = line.strip_prefix('#').unwrap_or(line);
        if let Some((key, _)) = setting.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
            explained.push(format!("{section}{key}"));
        }
    }
    explained.sort();
    let mut keys = KEYS.map(str::to_owned).to_vec();
    keys.sort();
    assert_eq!(explained, keys);
}

#[test]
fn what_is_shown_is_the_same_settings() {
    let rates = "session_burst_kbyte = 262\nroom_burst_kbyte = 4194\naddress_block_burst_kbyte = 2097\ntotal_kbit_per_s = 9000\n\
                 monthly_gbyte = 0.5\nmemory_mbyte = 300\n";
    let text = GOOD.replace("[limits]\n", &format!("[limits]\n{rates}"));
    let settings = parse(&text).unwrap();
    let shown = toml::to_string(&settings.to_table()).unwrap();
    assert_eq!(parse(&shown).unwrap(), settings, "{shown}");
}

fn overridden(text: &str, overrides: &[&str]) -> Result<RelaySettings, RelayConfigError> {
    let overrides: Vec<Override> = overrides
        .iter()
        .map(|text| Override::from_flag(text))
        .collect::<Result<_, _>>()?;
    overrides::merge(text, Path::new("relay.toml"), &overrides)
}

#[test]
fn overrides_win_over_the_file_and_later_ones_over_earlier() {
    let settings = overridden(
        GOOD,
        &[
            "hosting=FR",
            "limits.sessions=7",
            "limits.sessions=8",
            "operator.name=2026",
            "access.address_blocks=192.0.2.0/24, 2001:db8::/32",
        ],
    )
    .unwrap();
    assert_eq!((settings.hosting.code(), settings.limits.sessions_max), ("FR", 8));
    assert_eq!(settings.operator.name.as_str(), "2026");
    assert_eq!(settings.access.blocks.len(), 2);
    // What the file lacks may come from elsewhere.
    let without = GOOD.replace("hosting = \"DE\"\n", "");
    assert_eq!(
        overridden(&without, &["hosting=FR"]).unwrap().hosting.code(),
        "FR"
    );
}

#[test]
fn the_mistake_is_blamed_on_whom_it_belongs_to() {
    let error = overridden(GOOD, &["limits.sessions=7", "hosting=GERMANY"]).unwrap_err();
    assert!(
        error.to_string().starts_with("--set hosting=GERMANY: "),
        "{error}"
    );
    let error = overridden(GOOD, &["limits.session=7"]).unwrap_err();
    assert_eq!(error.nearest.as_deref(), Some("limits.sessions"));
    let broken = GOOD.replace("hosting = \"DE\"", "hosting = \"XY\"");
    let error = overridden(&broken, &["limits.sessions=7"]).unwrap_err();
    assert!(error.line > 1 && error.message.contains("XY"), "{error}");
}

#[test]
fn the_environment_names_keys_in_capitals() {
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let found = Override::from_environment(
        [
            variable("SUBROSA_RELAY_LIMITS_SESSIONS", "9"),
            variable("SUBROSA_RELAY_TOKEN", "x"),
            variable("SUBROSA_RELAY", "x"),
            variable("HOME", "/"),
        ]
        .into_iter(),
    )
    .unwrap();
    let settings = overrides::merge(GOOD, Path::new("relay.toml"), &found).unwrap();
    assert_eq!(settings.limits.sessions_max, 9);
    let wrong = Override::from_environment([variable("SUBROSA_RELAY_HOSTNG", "DE")].into_iter()).unwrap_err();
    assert_eq!(wrong.nearest.as_deref(), Some("SUBROSA_RELAY_HOSTING"));
}

#[test]
fn access_that_contradicts_itself_is_refused() {
    for (access, word) in [
        ("open = false", "nobody"),
        ("open = true\naddress_blocks = ['192.0.2.0/24']", "everybody"),
        ("address_blocks = ['192.0.2.0/33']", "192.0.2.0/33"),
        ("token_issuers = ['ab']", "64"),
    ] {
        let text = GOOD.replace("[access]\n", &format!("[access]\n{access}\n"));
        let error = parse(&text).unwrap_err();
        assert!(error.message.contains(word) && error.line > 1, "{error}");
    }
}

#[test]
fn metrics_stay_on_loopback() {
    let text = format!("metrics = '0.0.0.0:9464'\n{GOOD}");
    assert!(parse(&text).unwrap_err().message.contains("loopback"));
}

#[test]
fn a_filled_in_example_says_what_was_answered_and_keeps_its_comments() {
    let text = fill(&[
        ("hosting", Some("FR".into())),
        ("limits.monthly_gbyte", Some(500.into())),
        ("public_addresses", None),
        ("listen", Some("127.0.0.1:4433".into())),
    ]);
    let settings = parse(&text).unwrap();
    assert_eq!(settings.hosting.code(), "FR");
    assert_eq!(settings.limits.monthly_bytes_max, Some(500_000_000_000));
    assert!(settings.public_addresses.is_empty());
    let comments = |text: &str| text.lines().filter(|line| line.starts_with("# ")).count();
    assert_eq!(comments(&text), comments(GOOD));
}

#[test]
fn a_slip_is_answered_with_line_and_nearest_key() {
    let error = parse(&GOOD.replace("\nhosting =", "\nhostng =")).unwrap_err();
    assert_eq!(error.nearest.as_deref(), Some("hosting"));
    let line = GOOD.lines().position(|l| l.starts_with("hosting =")).unwrap() + 1;
    assert_eq!(error.line, line);
    assert_eq!(
        error.to_string(),
        format!("relay.toml:{line}: unknown key `hostng`; did you mean `hosting`?")
    );
}

#[test]
fn a_country_that_does_not_exist_is_named_with_its_line() {
    let error = parse(&GOOD.replace("hosting = \"DE\"", "hosting = \"GERMANY\"")).unwrap_err();
    assert!(error.line > 1 && error.message.contains("GERMANY"), "{error}");
}

#[test]
fn a_wildcard_needs_public_addresses() {
    let text: String = GOOD
        .lines()
        .filter(|l| !l.starts_with("public_addresses"))
        .map(|l| format!("{l}\n"))
        .collect();
    assert!(parse(&text).unwrap_err().message.contains("public_addresses"));
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let error = RelaySettings::load(Path::new("/nonexistent/relay.toml")).unwrap_err();
    assert_eq!(error.line, 0);
}
