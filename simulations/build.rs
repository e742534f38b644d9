//! Tells the program what it was built from: a hash of its sources, the compiler and the target.

#[path = "src/sweep/source_hash.rs"]
mod source_hash;

use std::{env, fs, path::Path, process::Command};

fn main() {
    let simulations = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let root = Path::new(&simulations).join("..");
    for part in source_hash::PARTS {
        println!("cargo::rerun-if-changed=../{part}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = Command::new(rustc).arg("--version").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok());
    let lock = fs::read(root.join("Cargo.lock"))
        .ok()
        .map(|bytes| source_hash::of_bytes(&bytes));
    let told = [
        ("SUBROSA_SIM_SOURCE_SHA256", source_hash::of_tree(&root)),
        ("SUBROSA_SIM_CARGO_LOCK_SHA256", lock),
        (
            "SUBROSA_SIM_RUSTC",
            version.map(|version| version.trim().to_owned()),
        ),
        ("SUBROSA_SIM_TARGET", env::var("TARGET").ok()),
        ("SUBROSA_SIM_PROFILE", env::var("PROFILE").ok()),
    ];
    for (name, value) in told {
        println!(
            "cargo::rustc-env={name}={}",
            value.unwrap_or_else(|| "unknown".to_owned())
        );
    }
}
