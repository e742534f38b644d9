//! The demo's story, step by step.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use subrosa_node::{
    audio::{measure, wav},
    error::{ErrorKind, NodeError},
};
use tokio::time::Duration;

use super::{
    result::{Hearing, Outcome},
    speech::Speech,
    stage::{MEMBERS, RELAYS, Stage},
};

/// Silence before the first speaker begins, in seconds: everybody has to be in by then.
const LEAD_SECONDS: f64 = 5.0;
/// Silence between the speakers, in seconds.
const PAUSE_SECONDS: f64 = 0.7;
/// Time for the last words to arrive, in seconds, and for statistics to follow (they come every 2 s).
const TAIL_SECONDS: f64 = 2.5;
/// Longest wait for a single step.
const STEP_LIMIT: Duration = Duration::from_secs(20);
/// Members end by themselves this long after the demo should have been over, should it be killed.
const ORPHAN_SECONDS: f64 = 60.0;

/// Plays it.
///
/// # Errors
/// Whatever keeps it from being played to the end.
pub(super) async fn perform(given: &[PathBuf], dir: &Path) -> Result<Outcome, NodeError> {
    let speeches = [Speech::load(0, given, dir)?, Speech::load(1, given, dir)?];
    let mut stage = Stage::new(dir);
    start_relays(&mut stage).await?;
    let leads = gather(&mut stage, &speeches).await?;
    speak(&mut stage, &speeches, leads).await?;
    stage.progress("everybody leaves");
    let safety_codes = stage.members.each_ref().map(|member| member.safety_code.clone());
    let routes = stage.members.each_ref().map(|member| member.routes.clone());
    stage.close().await?;
    let mut hearings = Vec::new();
    for speaker in 0..speeches.len() {
        for listener in (0..MEMBERS.len()).filter(|listener| *listener != speaker) {
            hearings.push(listen(
                &stage,
                listener,
                speaker,
                &speeches[speaker],
                leads[speaker],
            )?);
        }
    }
    Ok(Outcome {
        hearings,
        safety_codes,
        routes,
        ids: stage
            .members
            .each_ref()
            .map(|member| member.id.clone().unwrap_or_default()),
        refusals: stage.members.each_ref().map(|member| member.refusals.clone()),
        undecryptable: stage
            .members
            .iter()
            .flat_map(|m| m.reception.values())
            .map(|r| r.undecryptable)
            .sum(),
        relays: stage.relays,
        files: (0..MEMBERS.len()).map(|index| heard_file(dir, index)).collect(),
    })
}

async fn start_relays(stage: &mut Stage) -> Result<(), NodeError> {
    for (index, (operator, country)) in RELAYS.iter().enumerate() {
        stage.progress(&format!("relay \"{operator}\" starts and declares {country}"));
        let config = stage.file(&format!("relay-{}.toml", country.to_lowercase()));
        std::fs::write(&config, relay_config(&stage.dir, operator, country))
            .map_err(|e| super::cannot_write(&config, &e))?;
        stage.start_relay(
            index,
            &strings(&["relay", "--json", "--config", &config.display().to_string()]),
        )?;
    }
    let ready = |stage: &Stage| stage.relays.iter().all(|relay| relay.descriptor.is_some());
    stage.until("starting the relays", STEP_LIMIT, ready).await
}

/// Starts the members and lets them in; the silence before each speech, in seconds.
async fn gather(stage: &mut Stage, speeches: &[Speech; 2]) -> Result<[f64; 2], NodeError> {
    let lifetime = LEAD_SECONDS + speeches[0].seconds() + speeches[1].seconds() + ORPHAN_SECONDS;
    stage.progress("Alice founds a meeting that allows media over the EEA only");
    speeches[0].write_after_silence(LEAD_SECONDS, &spoken_file(&stage.dir, 0))?;
    let founding = ["new", "--policy", "eea", "--admit", "ask"];
    let arguments = arguments(stage, 0, &founding, lifetime);
    stage.start_member(0, &arguments)?;
    let founded = |stage: &Stage| stage.members[0].ticket.is_some();
    stage.until("founding the meeting", STEP_LIMIT, founded).await?;
    let ticket = stage.members[0].ticket.clone().unwrap_or_default();

    stage.progress("Bob and Carol join by ticket; Carol hides her addresses (--no-direct)");
    // Bob's clip begins after Alice's, so his turn comes after hers.
    let second_lead = LEAD_SECONDS + speeches[0].seconds() + PAUSE_SECONDS;
    speeches[1].write_after_silence(second_lead, &spoken_file(&stage.dir, 1))?;
    for (index, joining) in [(1, &["join", "-"][..]), (2, &["join", "-", "--no-direct"][..])] {
        let arguments = self::arguments(stage, index, joining, lifetime);
        stage.start_member(index, &arguments)?;
        stage.say(index, &ticket).await;
    }
    admit(stage, 2).await?;
    let connected = |stage: &Stage| {
        let mut members = stage.members.iter();
        members.all(|member| member.output_began_us.is_some() && member.is_connected(MEMBERS.len() - 1))
    };
    stage.until("connecting everybody", STEP_LIMIT, connected).await?;
    stage.progress("all three are in the meeting and have a way to each other");
    let began = |stage: &Stage| {
        stage.members[..2]
            .iter()
            .all(|member| member.input_began_us.is_some())
    };
    stage
        .until("beginning to play the speeches", STEP_LIMIT, began)
        .await?;
    if unix_now() > input_began(stage, 0) + LEAD_SECONDS {
        return Err(NodeError::new(
            ErrorKind::Check,
            format!("it took longer than {LEAD_SECONDS} s until everybody was in: Alice had begun to speak"),
            "this computer is busy: try again",
        ));
    }
    Ok([LEAD_SECONDS, second_lead])
}

/// Lets in `count` members as they knock.
async fn admit(stage: &mut Stage, count: usize) -> Result<(), NodeError> {
    for _ in 0..count {
        let knocked = |stage: &Stage| !stage.members[0].knocks.is_empty();
        stage.until("reaching the lobby", STEP_LIMIT, knocked).await?;
        let (member, name, fingerprint) = stage.members[0].knocks.remove(0);
        stage.progress(&format!("{name} knocks ({fingerprint}): Alice lets them in"));
        stage
            .say(0, &format!(r#"{{"cmd":"admit","member":"{member}"}}"#))
            .await;
    }
    Ok(())
}

/// Waits while the speeches are played and statistics come in.
async fn speak(stage: &mut Stage, speeches: &[Speech; 2], leads: [f64; 2]) -> Result<(), NodeError> {
    for (index, speech) in speeches.iter().enumerate() {
        let began = input_began(stage, index);
        watch_until(stage, began + leads[index]).await?;
        stage.progress(&format!(
            "{} speaks for {:.1} s",
            MEMBERS[index],
            speech.seconds()
        ));
        watch_until(stage, began + leads[index] + speech.seconds()).await?;
    }
    stage.watch_for(Duration::from_secs_f64(TAIL_SECONDS)).await
}

async fn watch_until(stage: &mut Stage, unix: f64) -> Result<(), NodeError> {
    stage
        .watch_for(Duration::from_secs_f64((unix - unix_now()).max(0.0)))
        .await
}

/// When member `index` took its first sample, in seconds of Unix time.
fn input_began(stage: &Stage, index: usize) -> f64 {
    stage.members[index].input_began_us.unwrap_or(0) as f64 / 1e6
}

/// Looks for what `speaker` said in what `listener` heard.
fn listen(
    stage: &Stage,
    listener: usize,
    speaker: usize,
    speech: &Speech,
    lead: f64,
) -> Result<Hearing, NodeError> {
    let heard = wav::read(&heard_file(&stage.dir, listener))?;
    let found = measure::locate(&speech.samples, &heard);
    let spoken_us = stage.members[speaker].input_began_us.unwrap_or(0);
    let listening_us = stage.members[listener].output_began_us.unwrap_or(0);
    // Both clocks are this computer's: where the speech lies in the recording, less where it lay in the input.
    let between_ms = (listening_us as f64 - spoken_us as f64) / 1e3 - lead * 1e3;
    let id = stage.members[speaker].id.clone().unwrap_or_default();
    Ok(Hearing {
        listener,
        speaker,
        similarity: found.map_or(0.0, |f| f.similarity),
        heard: found.map_or(0.0, |f| f.heard),
        mouth_to_ear_ms: found.map(|f| f.delay_ms + between_ms),
        reception: stage.members[listener]
            .reception
            .get(&id)
            .copied()
            .unwrap_or_default(),
    })
}

/// The arguments of member `index`.
fn arguments(stage: &Stage, index: usize, first: &[&str], lifetime: f64) -> Vec<String> {
    let spoken = if index < 2 {
        spoken_file(&stage.dir, index).display().to_string()
    } else {
        String::new()
    };
    let audio = format!("file:{spoken},{}", heard_file(&stage.dir, index).display());
    let data_dir = stage.file(&format!("{}-data", MEMBERS[index].to_lowercase()));
    let mut arguments = strings(first);
    arguments.extend(strings(&["--headless", "--json", "--listen", "127.0.0.1:0"]));
    arguments.extend(strings(&["--name", MEMBERS[index], "--audio", &audio]));
    arguments.extend(strings(&["--data-dir", &data_dir.display().to_string()]));
    arguments.extend(strings(&["--leave-after", &format!("{lifetime:.0}")]));
    for relay in &stage.relays {
        arguments.extend(strings(&[
            "--relay",
            relay.descriptor.as_deref().unwrap_or_default(),
        ]));
    }
    arguments
}

/// A relay on loopback that declares `country` on all three axes.
fn relay_config(dir: &Path, operator: &str, country: &str) -> String {
    let data_dir = dir.join(format!("relay-{}-data", country.to_lowercase()));
    format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = {:?}\nhosting = \"{country}\"\n\n[operator]\n\
         name = \"{operator}\"\ncontact = \"mailto:operator@example.org\"\n\
         legal_seat = \"{country}\"\nparent_seat = \"{country}\"\n",
        data_dir.display().to_string(),
    )
}

fn spoken_file(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("{}-says.wav", MEMBERS[index].to_lowercase()))
}

fn heard_file(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("{}-heard.wav", MEMBERS[index].to_lowercase()))
}

fn strings(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|&part| part.to_owned()).collect()
}

fn unix_now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs_f64()
}
