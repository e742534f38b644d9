use std::fs;

use super::*;

/// A folder of its own for each test, removed with it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("subrosa-audio-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write_wav(path: &Path, rate: u32, channels: u16, bits: u16, float: bool, frames: usize) {
    let sample_format = if float {
        hound::SampleFormat::Float
    } else {
        hound::SampleFormat::Int
    };
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: bits,
        sample_format,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for i in 0..frames * usize::from(channels) {
        // Half scale on the first channel, silence on the others.
        let on = i % usize::from(channels) == 0;
        if float {
            writer.write_sample(if on { 0.5_f32 } else { 0.0 }).unwrap();
        } else {
            writer
                .write_sample(if on { 1_i32 << (bits - 2) } else { 0 })
                .unwrap();
        }
    }
    writer.finalize().unwrap();
}

#[test]
fn every_usual_format_is_read() {
    let folder = Folder::new("formats");
    for (rate, channels, bits, float) in [
        (48_000, 1, 16, false),
        (16_000, 1, 8, false),
        (44_100, 2, 24, false),
        (48_000, 2, 32, false),
        (96_000, 1, 32, true),
    ] {
        let path = folder.file("in.wav");
        write_wav(&path, rate, channels, bits, float, rate as usize);
        let samples = read(&path).unwrap();
        assert!(samples.len().abs_diff(48_000) <= 1);
        let expected = 0.5 / f32::from(channels);
        assert!(
            (samples[24_000] - expected).abs() < 0.01,
            "{bits} bit at {rate}: {}",
            samples[24_000]
        );
    }
}

#[test]
fn damaged_files_are_named_not_played() {
    let folder = Folder::new("damaged");
    let path = folder.file("in.wav");
    assert_eq!(
        read(&folder.file("missing.wav")).unwrap_err().code(),
        "audio-file-missing"
    );
    assert_eq!(read(&folder.0).unwrap_err().code(), "audio-file-damaged");

    write_wav(&path, 48_000, 1, 16, false, 4_800);
    let good = fs::read(&path).unwrap();
    let mut cases: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"ID3 this is no WAV file at all".to_vec(),
        good[..30].to_vec(),
    ];
    cases.push(good[..good.len() / 2].to_vec());
    let mut rate_zero = good.clone();
    rate_zero[24..28].fill(0);
    cases.push(rate_zero);
    let mut no_channels = good.clone();
    no_channels[22..24].fill(0);
    cases.push(no_channels);
    for case in cases {
        fs::write(&path, &case).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.code(), "audio-file-damaged", "{error}");
        assert!(error.to_string().contains("in.wav") && !error.hint().is_empty());
    }
    write_wav(&path, 48_000, 1, 16, false, 0);
    assert!(read(&path).unwrap_err().to_string().contains("no sound"));
}

#[test]
fn no_damaged_header_makes_the_reader_panic() {
    let folder = Folder::new("flips");
    let path = folder.file("in.wav");
    write_wav(&path, 16_000, 2, 16, false, 400);
    let good = fs::read(&path).unwrap();
    for index in 0..HEADER_BYTES as usize {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[index] = value;
            fs::write(&path, &bytes).unwrap();
            let _ = read(&path);
        }
    }
}

#[test]
fn a_killed_writer_leaves_a_readable_file() {
    let folder = Folder::new("killed");
    let path = folder.file("out.wav");
    let mut writer = WavWriter::create(&path).unwrap();
    for _ in 0..160 {
        writer.write(&[0.25; 480]).unwrap();
    }
    // As if the process ended here: neither `drop` nor anything else runs.
    let samples = read(&path).unwrap();
    assert!(samples.len() >= 48_000, "{} of 76,800 samples", samples.len());
    drop(writer);
    let samples = read(&path).unwrap();
    assert_eq!(samples.len(), 76_800);
    assert!((samples[0] - 0.25).abs() < 1e-3);
}

#[test]
fn a_full_disk_is_reported_once_and_keeps_what_was_written() {
    // /dev/full accepts the open and refuses each write, as a full disk does.
    if !Path::new("/dev/full").exists() {
        eprintln!("skipped: this system has no /dev/full");
        return;
    }
    let error = WavWriter::create(Path::new("/dev/full")).unwrap_err();
    assert_eq!(error.code(), "audio-file-write");

    let folder = Folder::new("full");
    let path = folder.file("out.wav");
    let mut writer = WavWriter::create(&path).unwrap();
    writer.write(&[0.5; 480]).unwrap();
    let on_disk = std::mem::replace(
        &mut writer.file,
        File::options().write(true).open("/dev/full").unwrap(),
    );
    assert_eq!(writer.write(&[0.5; 480]).unwrap_err().code(), "audio-file-write");
    assert!(writer.write(&[0.5; 480]).is_ok());
    writer.file = on_disk;
    drop(writer);
    assert_eq!(read(&path).unwrap().len(), 480);
}
