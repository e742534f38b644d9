//! The command line by itself: help, mistakes, settings, identity.

use crate::support::{Scratch, run, subrosa};

#[test]
fn help_goes_to_stdout_and_names_every_command() {
    let home = Scratch::new();
    let help = run(&home, &["--help"]);
    assert_eq!(help.status, 0);
    assert!(help.stderr.is_empty(), "{help:?}");
    for command in [
        "new",
        "join",
        "relay",
        "demo",
        "identity",
        "netcheck",
        "completions",
    ] {
        assert!(help.stdout.contains(command), "{command}");
        let help = run(&home, &[command, "--help"]);
        assert_eq!(help.status, 0, "{command}");
    }
}
