//! Speech through the whole audio path under loss: Opus → audio payload with the redundancy ladder, driven by the
//! receiver's reports → an impaired network → jitter buffer → what the listener hears, scored by PESQ-WB.
//!
//! `./dev bench audio [--quick] [--speech FILE.wav]...` Everything runs in virtual time from seeds; one run takes about a
//! minute. Prints a table and one JSON line for each case; fails if a floor is missed.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use subrosa_node::audio::{
    AudioConfig, OpusDecoder, OpusEncoder, SAMPLE_RATE, STEP, measure, resample::resample, wav,
};
use subrosa_proto::{
    ids::MemberId,
    media::{
        payload::{AudioPayload, SpeechLevel},
        playout::{FrameDecoder, Playout},
        reception_report::{REPORT_INTERVAL_MS, ReceptionReport},
        reception_stats::ReceptionStats,
        redundancy::{LadderConfig, RedundancyLadder},
        sender::AudioSender,
    },
    random::Random,
    time::Timestamp,
};

/// PESQ-WB's own rate.
const PESQ_RATE: u32 = 16_000;
/// Limit of payload bit/s that the goals are stated for.
const PAYLOAD_BPS_MAX: f64 = 72_000.0;
/// Mean delay of packets and of reports.
const NETWORK_DELAY_US: u64 = 20_000;
/// Each packet's own delay differs from the mean by at most this, uniformly; packets of 10 ms would overtake each other.
const JITTER_US: u64 = 4_000;
/// Speech before the part that is scored: the ladder learns from three reports.
const WARM_UP_SECONDS: usize = 7;
/// Length of the pieces that are scored; ITU-T P.862.3 recommends 8 to 12 s of material.
const PIECE_SECONDS: usize = 8;
/// Mouth to ear, network included.
const DELAY_MS_MAX: f64 = 100.0;

type Failure = Box<dyn Error>;

/// How packets get lost.
#[derive(Clone, Copy)]
enum Loss {
    Independent(f64),
    /// Runs of this mean length; the share lost overall.
    Bursts(f64, f64),
}

struct Case {
    name: &'static str,
    loss: Loss,
    goal: Option<f64>,
    floor: Option<f64>,
}

const CASES: [Case; 5] = [
    Case {
        name: "no loss",
        loss: Loss::Independent(0.0),
        goal: Some(4.35),
        floor: Some(4.2),
    },
    Case {
        name: "10 %",
        loss: Loss::Independent(0.1),
        goal: None,
        floor: Some(3.3),
    },
    Case {
        name: "20 %",
        loss: Loss::Independent(0.2),
        goal: Some(3.9),
        floor: Some(2.6),
    },
    Case {
        name: "30 %",
        loss: Loss::Independent(0.3),
        goal: Some(3.5),
        floor: None,
    },
    Case {
        name: "20 % in bursts of 4",
        loss: Loss::Bursts(0.2, 4.0),
        goal: Some(3.2),
        floor: None,
    },
];

/// One run's result, before scoring.
struct Run {
    heard: Vec<f32>,
    payload_bps: f64,
    stats: ReceptionStats,
}

fn uniform(random: &mut Random) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A path that loses and delays packets.
struct Network {
    random: Random,
    loss: Loss,
    in_burst: bool,
    /// Packets under way, by arrival.
    packets: BTreeMap<(u64, u64), Vec<u8>>,
    sent: u64,
}

impl Network {
    fn lose(&mut self) -> bool {
        match self.loss {
            Loss::Independent(share) => uniform(&mut self.random) < share,
            // Two states (Gilbert): leave a burst with 1/length, enter one so that the overall share comes out.
            Loss::Bursts(share, length) => {
                let leave = 1.0 / length;
                let threshold = if self.in_burst {
                    1.0 - leave
                } else {
                    share * leave / (1.0 - share)
                };
                self.in_burst = uniform(&mut self.random) < threshold;
                self.in_burst
            }
        }
    }

    fn send(&mut self, now: u64, packet: Vec<u8>) {
        self.sent += 1;
        let jitter = (uniform(&mut self.random) * 2.0 * JITTER_US as f64) as u64;
        if !self.lose() {
            self.packets
                .insert((now + NETWORK_DELAY_US - JITTER_US + jitter, self.sent), packet);
        }
    }

    fn arrived(&mut self, now: u64) -> Vec<(u64, Vec<u8>)> {
        let later = self.packets.split_off(&(now + 1, 0));
        std::mem::replace(&mut self.packets, later)
            .into_iter()
            .map(|((at, _), packet)| (at, packet))
            .collect()
    }
}

/// Sends `speech` through the path; what is heard starts at the same moment as `speech`.
fn run(speech: &[f32], loss: Loss, seed: u8) -> Result<Run, Failure> {
    let mut random = Random::from_seed([seed; 32]);
    let config = AudioConfig::default();
    let duration = config.frame_duration;
    let mut network = Network {
        random: random.fork("network"),
        loss,
        in_burst: false,
        packets: BTreeMap::new(),
        sent: 0,
    };
    let mut ladder = RedundancyLadder::new(LadderConfig {
        duration,
        frame_bitrate_bps: config.bitrate,
        bitrate_bps_max: config.bitrate_max,
        span_max: config.redundancy_span,
    });
    let mut encoder = OpusEncoder::new(duration, config.bitrate, false)?;
    let mut sender = AudioSender::new(duration, &mut random);
    let (mut playout, mut decoder) = (Playout::new(), OpusDecoder::new(true)?);
    let receiver = MemberId([1; 32]);
    let mut reports: Vec<(u64, ReceptionReport)> = Vec::new();
    // The listener's sound card ticks at some moment between the speaker's frames.
    let phase = (uniform(&mut random) * 5_000.0) as u64;
    let (mut heard, mut bytes) = (vec![0.0; (phase * 48 / 1_000) as usize], 0_u64);

    let mut frames = speech.chunks_exact(duration.samples()).enumerate().peekable();
    let (mut next_report, step_us) = (REPORT_INTERVAL_MS * 1_000, 5_000);
    let end = speech.len() as u64 * 1_000 / 48 + 200_000;
    let mut now = phase;
    while now < end {
        while let Some((index, frame)) = frames.next_if(|(index, _)| (*index as u64 + 1) * 20_000 <= now) {
            let at = (index as u64 + 1) * 20_000;
            for (_, report) in reports.extract_if(.., |(arrival, _)| *arrival <= at) {
                ladder.handle_report(Timestamp::from_micros(at), receiver, &report, false);
            }
            let settings = ladder.settings(Timestamp::from_micros(at));
            encoder.set_bitrate(settings.frame_bitrate_bps)?;
            encoder.set_loss(settings.expected_loss_percent > 0, settings.expected_loss_percent)?;
            let packet = encoder.encode(frame)?;
            // The speaker pauses at the end, so that the end is not taken for loss.
            let last = frames.peek().is_none();
            let payload = sender.pack(&packet, SpeechLevel::from_pcm(frame), last, &settings)?;
            let mut out = Vec::new();
            payload.write(&mut out);
            if index * duration.samples() >= WARM_UP_SECONDS * SAMPLE_RATE as usize {
                bytes += out.len() as u64;
            }
            network.send(at, out);
        }
        for (arrival, packet) in network.arrived(now) {
            playout.insert(Timestamp::from_micros(arrival), &AudioPayload::parse(&packet)?);
        }
        let mut out = [0.0; STEP];
        playout.pull(Timestamp::from_micros(now), &mut decoder, &mut out);
        heard.extend(out);
        if now >= next_report {
            next_report += REPORT_INTERVAL_MS * 1_000;
            reports.extend(
                playout
                    .take_report()
                    .map(|report| (now + NETWORK_DELAY_US, report)),
            );
        }
        now += step_us;
    }
    let measured_seconds = speech.len() as f64 / f64::from(SAMPLE_RATE) - WARM_UP_SECONDS as f64;
    let payload_bps = bytes as f64 * 8.0 / measured_seconds;
    Ok(Run {
        heard,
        payload_bps,
        stats: playout.stats(),
    })
}

/// Opus alone at its full bitrate, without network or jitter buffer: the most that any path can score. Prints what a
/// frame costs.
fn codec_only(speech: &[f32]) -> Result<Run, Failure> {
    let config = AudioConfig::default();
    let duration = config.frame_duration;
    let mut encoder = OpusEncoder::new(duration, config.bitrate, false)?;
    let mut decoder = OpusDecoder::new(true)?;
    let (mut heard, mut encoding, mut decoding) = (Vec::new(), Duration::ZERO, Duration::ZERO);
    let frames = speech.chunks_exact(duration.samples());
    let count = u32::try_from(frames.len())?.max(1);
    for frame in frames {
        let begin = Instant::now();
        let packet = encoder.encode(frame)?;
        let encoded = Instant::now();
        let mut out = vec![0.0; duration.samples()];
        decoder.decode(&packet, &mut out)?;
        encoding += encoded - begin;
        decoding += encoded.elapsed();
        heard.extend(out);
    }
    println!(
        "Opus, a frame of {} ms: encoding {:?}, decoding {:?}",
        duration.millis(),
        encoding / count,
        decoding / count
    );
    Ok(Run {
        heard,
        payload_bps: f64::from(config.bitrate),
        stats: ReceptionStats::default(),
    })
}

/// A pair of files to score, and what else is known of it.
struct Scored {
    case: usize,
    delay_ms: f64,
    payload_bps: f64,
    concealed: f64,
    files: (PathBuf, PathBuf),
}

fn write_16k(path: &Path, samples: &[f32]) -> Result<(), Failure> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: PESQ_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for sample in resample(samples, SAMPLE_RATE, PESQ_RATE).ok_or("cannot resample")? {
        writer.write_sample(wav::to_i16(sample))?;
    }
    Ok(writer.finalize()?)
}

/// Cuts a run into pieces and writes each beside its original.
fn cut(folder: &Path, name: &str, case: usize, speech: &[f32], run: &Run) -> Result<Vec<Scored>, Failure> {
    let second = SAMPLE_RATE as usize;
    let mut pieces = Vec::new();
    let frames = run.stats.played + run.stats.concealed + run.stats.recovered();
    let mut start = WARM_UP_SECONDS * second;
    while start + PIECE_SECONDS * second <= speech.len() {
        let piece = &speech[start..start + PIECE_SECONDS * second];
        let window = run.heard.get(start..).ok_or("nothing was heard")?;
        let window = &window[..window.len().min((PIECE_SECONDS + 1) * second)];
        let found = measure::locate(piece, window).ok_or("a piece holds no speech")?;
        let from = (found.delay_ms.max(0.0) * 48.0) as usize;
        let to = (from + piece.len()).min(window.len());
        let files = (
            folder.join(format!("{name}-{start}-said.wav")),
            folder.join(format!("{name}-{start}-heard.wav")),
        );
        write_16k(&files.0, piece)?;
        write_16k(&files.1, &window[from..to])?;
        pieces.push(Scored {
            case,
            delay_ms: found.delay_ms,
            payload_bps: run.payload_bps,
            concealed: run.stats.concealed as f64 / (frames.max(1) as f64),
            files,
        });
        start += PIECE_SECONDS * second;
    }
    Ok(pieces)
}

/// The Python environment with `pesq`, made on first use.
fn python(target: &Path) -> Result<PathBuf, Failure> {
    let folder = target.join("pesq-venv");
    let python = folder.join("bin/python");
    let ready = || {
        Command::new(&python)
            .args(["-c", "import pesq, numpy"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    if !ready() {
        eprintln!("installing PESQ into {} ...", folder.display());
        let made = Command::new("python3")
            .args(["-m", "venv"])
            .arg(&folder)
            .status()?
            .success()
            && Command::new(folder.join("bin/pip"))
                .args(["install", "--quiet", "numpy", "pesq"])
                .status()?
                .success();
        if !made || !ready() {
            return Err("PESQ cannot be installed: python3 with venv, a C compiler and the package registry are needed".into());
        }
    }
    Ok(python)
}

/// PESQ-WB of each pair.
fn score(python: &Path, pairs: &[Scored]) -> Result<Vec<f64>, Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/pesq_wb.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or("no pipe")?;
    let lines: String = pairs
        .iter()
        .map(|p| format!("{}\t{}\n", p.files.0.display(), p.files.1.display()))
        .collect();
    // Written aside, so that neither side waits for the other with a full pipe.
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| "the writer panicked")??;
    let scores: Vec<f64> = String::from_utf8(output.stdout)?
        .lines()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    if scores.len() != pairs.len() {
        return Err("PESQ failed".into());
    }
    Ok(scores)
}

/// Recorded speech: the user's own, else LibriVox recordings (public domain) from a Debian package, else the repository's
/// synthetic voices.
fn speech_files(given: &[PathBuf], target: &Path) -> Result<(String, Vec<PathBuf>), Failure> {
    if !given.is_empty() {
        return Ok(("files given on the command line".to_owned(), given.to_vec()));
    }
    let part = "usr/share/pocketsphinx/test/data/librivox";
    let folder = target.join("speech");
    fs::create_dir_all(&folder)?;
    if !folder.join(part).is_dir() && !Path::new("/").join(part).is_dir() {
        let fetched = Command::new("apt-get")
            .args(["download", "--quiet", "pocketsphinx-testdata"])
            .current_dir(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if fetched.is_ok_and(|status| status.success()) {
            for entry in wavs(&folder, "deb")? {
                Command::new("dpkg").arg("-x").arg(entry).arg(&folder).status()?;
            }
        }
    }
    for root in [&folder, Path::new("/")] {
        let found = wavs(&root.join(part), "wav").unwrap_or_default();
        if !found.is_empty() {
            return Ok((
                "LibriVox recordings of Debian's pocketsphinx-testdata, 16 kHz".to_owned(),
                found,
            ));
        }
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/speech");
    Ok((
        "synthetic voices of tests/assets/speech (scores differ from recorded speech)".to_owned(),
        wavs(&own, "wav")?,
    ))
}

fn wavs(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    Ok(files)
}

/// All files one after the other, half a second apart, repeated until warm-up and `pieces` pieces are full.
fn material(files: &[PathBuf], pieces: usize) -> Result<Vec<f32>, Failure> {
    let wanted = (WARM_UP_SECONDS + pieces * PIECE_SECONDS) * SAMPLE_RATE as usize;
    let mut all = Vec::new();
    while all.len() < wanted {
        for file in files {
            all.extend(wav::read(file)?);
            all.extend(std::iter::repeat_n(0.0, SAMPLE_RATE as usize / 2));
        }
    }
    all.truncate(wanted);
    Ok(all)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}

fn bench() -> Result<bool, Failure> {
    let mut arguments = std::env::args().skip(1);
    let (mut quick, mut given) = (false, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => quick = true,
            "--speech" => given.push(PathBuf::from(arguments.next().ok_or("--speech needs a file")?)),
            // Cargo's own.
            "--bench" => {}
            other => return Err(format!("unknown option {other}; known: --quick, --speech FILE").into()),
        }
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audio-quality");
    fs::create_dir_all(&target)?;
    let python = python(&target)?;
    let (origin, files) = speech_files(&given, &target)?;
    let seeds: u8 = if quick { 1 } else { 4 };
    let speech = material(&files, if quick { 1 } else { 3 })?;
    println!("speech: {origin}");
    println!(
        "each case: {seeds} seeds, {} pieces of {PIECE_SECONDS} s after {WARM_UP_SECONDS} s; delay {} ± {} ms; \
         at most {} kb/s of payload",
        (speech.len() / SAMPLE_RATE as usize - WARM_UP_SECONDS) / PIECE_SECONDS,
        NETWORK_DELAY_US / 1_000,
        JITTER_US / 1_000,
        PAYLOAD_BPS_MAX / 1_000.0,
    );
    let mut pairs = Vec::new();
    for (index, case) in CASES.iter().enumerate() {
        for seed in 0..seeds {
            let run = run(&speech, case.loss, seed)?;
            pairs.extend(cut(
                &target,
                &format!("case{index}-seed{seed}"),
                index,
                &speech,
                &run,
            )?);
        }
    }
    pairs.extend(cut(
        &target,
        "codec",
        CASES.len(),
        &speech,
        &codec_only(&speech)?,
    )?);
    let scores = score(&python, &pairs)?;
    Ok(print(&pairs, &scores, &origin))
}

/// The table and the JSON lines; whether all floors hold.
fn print(pairs: &[Scored], scores: &[f64], origin: &str) -> bool {
    let mut passed = true;
    println!(
        "\n{:<22} {:>7} {:>6} {:>6} {:>6} {:>9} {:>9} {:>10}",
        "loss", "PESQ-WB", "worst", "goal", "floor", "delay ms", "kb/s", "concealed"
    );
    let mut json = Vec::new();
    for index in 0..=CASES.len() {
        let of_case = || {
            pairs
                .iter()
                .zip(scores)
                .filter(move |(pair, _)| pair.case == index)
        };
        let pesq = mean(of_case().map(|(_, score)| *score));
        let worst = of_case().map(|(_, score)| *score).fold(f64::MAX, f64::min);
        let delay = mean(of_case().map(|(pair, _)| pair.delay_ms));
        let bps = mean(of_case().map(|(pair, _)| pair.payload_bps));
        let concealed = mean(of_case().map(|(pair, _)| pair.concealed));
        let (name, goal, floor) = CASES
            .get(index)
            .map_or(("Opus 32 kb/s alone", None, None), |case| {
                (case.name, case.goal, case.floor)
            });
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        println!(
            "{name:<22} {pesq:>7.2} {worst:>6.2} {:>6} {:>6} {delay:>9.1} {:>9.1} {:>8.1} %",
            number(goal),
            number(floor),
            bps / 1_000.0,
            concealed * 100.0
        );
        json.push(serde_json::json!({
            "bench": "audio_quality", "case": name, "speech": origin, "pesq_wb": pesq, "pesq_wb_worst": worst,
            "goal": goal, "floor": floor, "delay_ms": delay, "payload_kbps": bps / 1_000.0, "concealed": concealed,
            "samples": of_case().count(),
        }));
        let within = index == CASES.len() || (delay <= DELAY_MS_MAX && bps <= PAYLOAD_BPS_MAX);
        passed &= floor.is_none_or(|floor| pesq >= floor) && within;
    }
    println!(
        "\ndelay is mouth to ear, the network's included; kb/s counts audio payloads, not the packets' headers\n"
    );
    json.iter().for_each(|line| println!("{line}"));
    passed
}

fn main() -> ExitCode {
    match bench() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("a floor is missed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
