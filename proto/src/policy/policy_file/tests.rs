use super::*;
use crate::time::UnixSeconds;

fn policy(text: &str) -> RoutePolicy {
    RoutePolicy::from_toml(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn error(text: &str) -> String {
    RoutePolicy::from_toml(text).expect_err(text).to_string()
}

const TOTAL: &str = r#"
hosting = ["eea", "CH"]
legal_seat = "eea"
parent_seat = ["DE", "fr"]
evidence = "declared"
"#;

#[test]
fn a_preset_stands_for_itself_and_can_be_changed() {
    for preset in Preset::ALL {
        assert_eq!(
            policy(&format!("preset = \"{}\"", preset.keyword())),
            preset.into()
        );
    }
    let changed = policy("preset = \"eea\"\nhosting = [\"CH\"]\nmembers_may_forward = true\n");
    assert!(changed.hosting.allows("CH".parse().unwrap()) && !changed.hosting.allows("DE".parse().unwrap()));
    assert_eq!(changed.legal_seat, CountryRule::Only(Region::Eea.countries()));
    assert!(changed.members_may_forward);
}

#[test]
fn what_a_file_leaves_out_is_denied() {
    let policy = policy(TOTAL);
    assert!(!policy.members_may_forward && !policy.direct_only);
    assert_eq!(policy.discovery, DiscoveryRule::Off);
    assert_eq!(
        policy.summary(),
        "hosted in EEA and CH, operator in EEA, controlled from DE, FR"
    );
    let direct = self::policy("direct_only = true");
    assert_eq!(direct, RoutePolicy::default());
}

#[test]
fn all_fields_are_read() {
    let issuer = "ab".repeat(32);
    let policy = policy(&format!(
        "preset = \"any\"\nevidence = \"attested\"\nissuers = {{ at_least = 1, of = [\"{issuer}\"] }}\n\
         denied_asns = [13335, 0x10]\ndiscovery = \"permitted-relays\"\nexpires = 2027-01-31T18:00:00+01:00\n"
    ));
    assert_eq!(policy.expires.unwrap().to_string(), "2027-01-31T17:00:00Z");
    assert_eq!(
        policy.summary(),
        "any country, attested by 1 of 1 issuers, 2 networks denied, until 2027-01-31T17:00:00Z"
    );
    assert!(policy.denied_asns.contains(16));
    assert_eq!(policy.discovery, DiscoveryRule::PermittedRelays);
    assert_eq!(
        self::policy("preset=\"eu\"\nexpires = 2000-02-29").expires,
        Some(UnixSeconds(951_782_400))
    );
}

#[test]
fn mistakes_name_their_line_and_what_was_probably_meant() {
    let with = |line: &str| error(&format!("{TOTAL}{line}\n"));
    for (text, expected) in [
        (
            with("hostin = [\"DE\"]"),
            "line 6, column 1: unknown key `hostin`; did you mean `hosting`?",
        ),
        (
            with("colour = 1"),
            "line 6, column 1: unknown key `colour`; known keys: preset, hosting",
        ),
        (
            with("discovery = \"lam\""),
            "line 6, column 13: unknown discovery \"lam\"; did you mean \"lan\"?",
        ),
        (
            with("direct_only = \"yes\""),
            "line 6, column 15: true or false is expected here, not string",
        ),
        (
            with("denied_asns = [-1]"),
            "line 6, column 16: a whole number from 0",
        ),
        (with("expires = \"2027\""), "line 6, column 11: a date like"),
        (
            with("expires = 2027-01-01T10:00:00"),
            "line 6, column 11: the offset from UTC is missing",
        ),
        (
            with("issuers = { at_least = 1, of = [] }"),
            "line 6, column 11: issuers are named",
        ),
        (
            with("hosting = [\"DE\"]"),
            "line 6, column 1: not TOML: duplicate key",
        ),
        (
            error("preset = \"eae\""),
            "line 1, column 10: unknown preset \"eae\"; did you mean \"eea\"?",
        ),
        (
            error("hosting = [\n  \"DE\",\n  \"UK\"]"),
            "line 3, column 3: `UK` is not an ISO 3166-1 alpha-2",
        ),
        (error("hosting = [\"UK\"]"), "did you mean GB (United Kingdom"),
        (error("hosting = [\"Germny\"]"), "did you mean DE (Germany)?"),
        (
            error("hosting = [\"XQ\"]"),
            "neither an ISO 3166-1 alpha-2 country code nor a region; regions are eu",
        ),
        (error("hosting = \"eu-adequat\""), "did you mean \"eu-adequate\"?"),
        (error("hosting = []"), "line 1, column 11: the list is empty"),
        (error("hosting = [\"any\", \"DE\"]"), "\"any\" stands alone"),
        (error("hosting = \"eea\""), "`legal_seat` is missing"),
        (error(""), "line 1, column 1: `hosting` is missing"),
        (
            error("preset = \"direct\"\ndirect_only = false"),
            "`hosting` is missing",
        ),
        (
            error("hosting=\"eu\"\nlegal_seat=\"eu\"\nparent_seat=\"eu\""),
            "`evidence` is missing",
        ),
        (
            error("preset=\"eu\"\nevidence = \"attested\""),
            "line 2, column 12: evidence \"attested\" needs",
        ),
        (
            error("preset=\"eu\"\nevidence = \"L1\""),
            "unknown evidence level \"L1\"",
        ),
        (
            error("preset=\"eu\"\nevidence=\"attested\"\nissuers = { at_leas = 1 }"),
            "line 3, column 13: unknown key `at_leas`; did you mean `at_least`?",
        ),
        (
            error("preset=\"eu\"\nevidence=\"attested\"\nissuers = { at_least = 1, of = [\"ab\"] }"),
            "line 3, column 33: an issuer is named by the 64 hexadecimal digits",
        ),
        (
            error("preset=\"eu\"\nevidence=\"attested\"\nissuers = { at_least = 1, of = [] }"),
            "line 3, column 24: 1 of 0 issuers",
        ),
        (error("preset = "), "line 1, column"),
    ] {
        assert!(text.contains(expected), "{text}\nshould hold\n{expected}");
    }
}

#[test]
fn levels_that_no_relay_reaches_yet_can_be_asked_for() {
    let issuer = "ab".repeat(32);
    let asked = |level: &str| {
        let text = format!(
            "preset = \"eu\"\nevidence = \"{level}\"\nissuers = {{ at_least = 1, of = [\"{issuer}\"] }}"
        );
        policy(&text).evidence.level()
    };
    assert_eq!(asked("located"), EvidenceLevel::Located);
    assert_eq!(asked("measured"), EvidenceLevel::Measured);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text: String, keys in "(preset|hosting|issuers|expires|denied_asns) = [\"\\[\\]{}a-z0-9=, ]{0,30}") {
        let _ = RoutePolicy::from_toml(&text);
        let _ = RoutePolicy::from_toml(&keys);
    }
}

#[test]
fn the_examples_of_the_manual_are_policies() {
    let manual = include_str!("../../../../docs/policy.md");
    let examples: Vec<&str> = manual
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(examples.len() >= 4);
    for example in examples {
        policy(example);
    }
}
