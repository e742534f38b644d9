//! A meeting of many headless members, as processes, for a long time: does memory drift, is sound lost without a reason,
//! do all see the same safety code?
//!
//! `cargo run -p subrosa-tests --example soak -- --members 10 --minutes 10` (or `./dev soak`). Prints a table and one line of
//! JSON; exit status 1 if something does not hold. `SUBROSA_BIN` names the binary; by default it is the one beside this
//! program's folder.

mod member;
mod memory;

use std::{
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use subrosa_node::audio::wav;

use member::Member;
use memory::Memory;

/// Until then caches fill and buffers grow to their size: not counted as drift.
const WARM_UP: Duration = Duration::from_secs(60);
/// How often memory is read.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
/// Largest growth of one process after the warm-up that is not called drift, in KiB over the whole run. Reason: heap
/// fragments move the figure by about a megabyte without any trend.
const DRIFT_KIB_MAX: f64 = 2_048.0;
/// Largest share of frames that may be concealed although nothing was lost: a busy machine delays some.
const UNEXPLAINED_SHARE_MAX: f64 = 0.005;

struct Options {
    members: usize,
    minutes: f64,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        members: 10,
        minutes: 10.0,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{argument} needs a value"))?;
        let bad = || format!("{argument} {value}: not a number that can be used");
        match argument.as_str() {
            "--members" => options.members = value.parse().map_err(|_| bad())?,
            "--minutes" => options.minutes = value.parse().map_err(|_| bad())?,
            _ => {
                return Err(format!(
                    "{argument} is unknown; there are --members N and --minutes N"
                ));
            }
        }
    }
    if options.members < 2 || options.minutes <= 0.0 {
        return Err("a meeting has two members and some time".to_owned());
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    if soak(&options) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A folder that goes away with the run.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn soak(options: &Options) -> bool {
    let folder = Folder(std::env::temp_dir().join(format!("subrosa-soak-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).expect("the temporary directory is writable");
    let clip = write_clip(&folder.0, options.minutes);
    let mut members = vec![Member::found(&folder.0, &clip, options.minutes)];
    let ticket = members[0].ticket();
    for index in 1..options.members {
        members.push(Member::join(&folder.0, index, &ticket, &clip, options.minutes));
        // One after another: ten handshakes at once would measure the machine.
        members[index].wait_joined();
    }
    eprintln!("{} members are in", members.len());

    let began = Instant::now();
    let length = Duration::from_secs_f64(options.minutes * 60.0);
    let mut memory: Vec<Memory> = members.iter().map(|_| Memory::default()).collect();
    while began.elapsed() < length {
        thread::sleep(SAMPLE_INTERVAL.min(length.saturating_sub(began.elapsed())));
        for (member, memory) in members.iter().zip(&mut memory) {
            memory.sample(began.elapsed().as_secs_f64(), member.pid());
        }
    }
    let warm = WARM_UP.min(length / 2).as_secs_f64();
    let ok = report(options, &members, &memory, warm);
    for member in members.iter_mut().rev() {
        member.leave();
    }
    ok
}

/// Speech over and over, for at most ten minutes: all speak at once, which is the most work.
fn write_clip(folder: &std::path::Path, minutes: f64) -> PathBuf {
    let speech = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/speech/alice.wav");
    let speech = wav::read(&speech).expect("the speech is shipped");
    let samples = (minutes.min(10.0) * 60.0 * 48_000.0) as usize;
    let path = folder.join("clip.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&path, spec).expect("writable");
    for sample in speech.iter().cycle().take(samples) {
        writer.write_sample((sample * 16_000.0) as i16).expect("writable");
    }
    writer.finalize().expect("writable");
    path
}

fn report(options: &Options, members: &[Member], memory: &[Memory], warm: f64) -> bool {
    let codes: Vec<String> = members.iter().map(Member::safety_code).collect();
    let one_code = !codes[0].is_empty() && codes.iter().all(|code| *code == codes[0]);
    let mut ok = one_code;
    let mut rows = Vec::new();
    println!(
        "{:>6} {:>9} {:>9} {:>9} {:>7} {:>9} {:>7} {:>7} {:>10} {:>8} {:>7}",
        "member",
        "warm KiB",
        "end KiB",
        "KiB/hour",
        "peers",
        "received",
        "lost",
        "recov.",
        "concealed",
        "undecr.",
        "errors"
    );
    for (index, (member, memory)) in members.iter().zip(memory).enumerate() {
        let reception = member.reception();
        let (start, end, slope) = memory.drift(warm);
        let unexplained = reception.concealed.saturating_sub(reception.lost) as f64;
        let share = unexplained / (reception.received.max(1)) as f64;
        let problems: Vec<&str> = [
            (end - start > DRIFT_KIB_MAX, "memory grows"),
            (share > UNEXPLAINED_SHARE_MAX, "concealed without loss"),
            (reception.peers + 1 < options.members, "does not hear everybody"),
            (reception.undecryptable > 0, "cannot decrypt everything"),
            (member.has_ended(), "ended"),
        ]
        .into_iter()
        .filter_map(|(is, what)| is.then_some(what))
        .collect();
        ok &= problems.is_empty();
        println!(
            "{index:>6} {start:>9.0} {end:>9.0} {slope:>9.0} {:>7} {:>9} {:>7} {:>7} {:>10} {:>8} {:>7}  {}",
            reception.peers,
            reception.received,
            reception.lost,
            reception.recovered,
            reception.concealed,
            reception.undecryptable,
            member.errors(),
            problems.join(", ")
        );
        rows.push(json!({
            "member": index, "rss_warm_kib": start, "rss_end_kib": end, "slope_kib_per_hour": slope,
            "peers": reception.peers, "received": reception.received, "lost": reception.lost,
            "recovered": reception.recovered, "concealed": reception.concealed,
            "undecryptable": reception.undecryptable, "errors": member.errors(), "problems": problems,
        }));
    }
    println!(
        "safety code {}",
        if one_code {
            &codes[0]
        } else {
            "NOT the same on all"
        }
    );
    println!(
        "{}",
        json!({
            "soak": rows, "members": options.members, "minutes": options.minutes,
            "safety_code_equal": one_code, "ok": ok,
        })
    );
    ok
}
