//! What the relay's image, its unit for podman and the guide say of each other. `./dev container try` runs them.

use std::path::Path;

use crate::support::{Scratch, run};

fn root(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn image() -> String {
    root("docs/relay/Containerfile").replace("\\\n", " ")
}

fn unit() -> String {
    root("docs/relay/subrosa-relay.container")
}

/// What follows `start` on the lines that begin with it.
fn after<'a>(text: &'a str, start: &'a str) -> Vec<&'a str> {
    text.lines()
        .filter_map(|line| line.strip_prefix(start))
        .map(str::trim)
        .collect()
}

/// The guide's example for containers, each command on a line.
fn guide() -> String {
    let guide = root("docs/operate-a-relay.md");
    let (_, section) = guide.split_once("\n## In a container\n").unwrap();
    let (_, example) = section.split_once("```sh\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    example.replace("\\\n", " ")
}

/// The guide's command that starts the relay.
fn start() -> Vec<String> {
    let guide = guide();
    let line = after(&guide, "podman run --detach ");
    line[0].split_whitespace().map(str::to_owned).collect()
}

fn settings_of_the_image() -> Vec<(String, String)> {
    let image = image();
    let pairs = after(&image, "ENV ");
    let pairs = pairs[0].split_whitespace();
    pairs
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_image_is_pinned_and_nobody_in_it_is_root() {
    let image = image();
    let stages = after(&image, "FROM ");
    assert_eq!(stages.len(), 2);
    assert_eq!(*stages.last().unwrap(), "scratch");
    let (_, tag) = stages[0]
        .split(' ')
        .next()
        .unwrap()
        .rsplit_once(':')
        .expect("a version");
    let (version, _) = tag.split_once('-').expect("a distribution");
    let version: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
    assert_eq!(version.len(), 3, "{tag} is not one version");
    let manifest = root("Cargo.toml");
    let least = after(&manifest, "rust-version = ")[0]
        .trim_matches('"')
        .to_owned();
    let least: Vec<u32> = least.split('.').map(|part| part.parse().unwrap()).collect();
    assert!(version >= least, "{version:?} cannot build this: {least:?}");
    let user = after(&image, "USER ")[0];
    let (uid, gid) = user.split_once(':').unwrap();
    assert!(uid.parse::<u32>().unwrap() > 0 && gid.parse::<u32>().unwrap() > 0);
    assert!(
        image.contains(&format!("--chown={user}")),
        "the volume is the user's"
    );
    let version = after(&manifest, "version = ")[0];
    assert!(image.contains(&format!("org.opencontainers.image.version={version}")));
}

#[test]
fn image_guide_and_unit_agree_on_ports_and_paths() {
    let (image, unit, start) = (image(), unit(), start());
    let values = |flag: &str| -> Vec<String> {
        let pairs = start.windows(2).filter(|pair| pair[0] == flag);
        pairs.map(|pair| pair[1].clone()).collect()
    };
    let settings = settings_of_the_image();
    let setting = |name: &str| settings.iter().find(|(n, _)| n == name).unwrap().1.clone();
    let volume = after(&image, "VOLUME ")[0];
    assert_eq!(volume, setting("SUBROSA_RELAY_DATA_DIR"));
    let config = setting("SUBROSA_RELAY_CONFIG");
    let folder = Path::new(&config).parent().unwrap().display();
    assert_eq!(
        values("-v"),
        [
            format!("./settings:{folder}:ro,Z"),
            format!("subrosa-relay:{volume}")
        ]
    );
    assert_eq!(
        after(&unit, "Volume="),
        [
            format!("{folder}:{folder}:ro,Z"),
            format!("subrosa-relay:{volume}")
        ]
    );
    let exposed: Vec<String> = after(&image, "EXPOSE ")[0]
        .split(' ')
        .map(|port| format!("{}:{port}", port.split_once('/').unwrap().0))
        .collect();
    assert_eq!(values("-p"), exposed);
    assert_eq!(after(&unit, "PublishPort="), exposed);
    let example = root("docs/relay.toml");
    let listen = after(&example, "listen = ")[0].trim_matches('"');
    assert_eq!(exposed[0].split(':').next(), listen.rsplit(':').next());
}

#[test]
fn guide_and_unit_take_the_same_rights_away() {
    let (unit, start) = (unit(), start().join(" "));
    for (flag, line) in [
        ("--read-only", "ReadOnly=true"),
        ("--cap-drop all", "DropCapability=all"),
        ("--security-opt no-new-privileges", "NoNewPrivileges=true"),
    ] {
        assert!(start.contains(flag) && unit.lines().any(|l| l == line), "{flag}");
    }
    assert!(!start.contains("privileged ") && !start.contains("--user"));
    // Who drains must not be killed while it does.
    let drain = root("docs/relay.toml");
    let drain: u32 = after(&drain, "#drain_seconds = ")[0].parse().unwrap();
    let number = |text: &str| {
        let (_, rest) = text.split_once("--stop-timeout ").unwrap();
        rest.split_whitespace().next().unwrap().parse::<u32>().unwrap()
    };
    assert!(number(&start) > drain && number(&start) == number(&unit));
    let patience: u32 = after(&unit, "TimeoutStopSec=")[0].parse().unwrap();
    assert!(patience > number(&unit));
}

#[test]
fn what_is_built_from_reaches_the_engine() {
    let listed = root(".dockerignore");
    let manifest = root("Cargo.toml");
    let members = after(&manifest, "members = ")[0];
    let members = members.trim_matches(['[', ']']).split(", ");
    for name in members
        .map(|m| m.trim_matches('"'))
        .chain(["Cargo.toml", "Cargo.lock", "docs/relay.toml"])
    {
        assert!(listed.lines().any(|line| line == format!("!{name}")), "{name}");
    }
}

#[test]
fn the_image_s_settings_and_health_check_are_ones_that_the_program_knows() {
    let home = Scratch::new();
    let text = "listen = '0.0.0.0:4433'\npublic_addresses = ['192.0.2.1:4433']\ndata_dir = 'd'\nhosting = 'DE'\n[operator]\n\
                name = 'n'\ncontact = 'c'\nlegal_seat = 'DE'\n";
    let file = home.file("relay.toml", text).display().to_string();
    let mut show = crate::support::subrosa(&home);
    show.args(["relay", "show", "--config", &file])
        .envs(settings_of_the_image());
    let shown = show.output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("metrics = \"127.0.0.1:9464\""), "{shown}");
    assert!(shown.contains("data_dir = \"/var/lib/subrosa-relay\""), "{shown}");
    let image = image();
    let (_, check) = image.split_once("HEALTHCHECK").unwrap();
    let (_, check) = check.lines().next().unwrap().split_once("CMD ").unwrap();
    let check: Vec<String> = serde_json::from_str(check).unwrap();
    assert_eq!(check[0], "/usr/bin/subrosa");
    let mut arguments: Vec<&str> = check[1..].iter().map(String::as_str).collect();
    arguments.extend(["--at", "127.0.0.1:1"]);
    let asked = run(&home, &arguments);
    assert_eq!(asked.status, 20, "nobody answers there: {asked:?}");
}
