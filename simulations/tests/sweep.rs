//! Sweeps as researchers run them: the program, in shards, killed in the middle, merged, drawn.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
};
use tempfile::TempDir;

const SCENARIO: &str = r#"
name = "meeting"
summary = "A host and guests"
seconds = 4
[[member]]
name = "Ada"
[expect]
members = ["Ada"]
"#;

const SWEEP: &str = r#"
name = "small"
summary = "A small sweep"
scenario = "base.toml"
seeds = 3
[axes]
"network.loss_percent" = [0, 5.5]
members = [2, 3]
[labels]
members = "people in the room"
[members]
speakers = 2
template = { name = "Guest {n}" }
"#;

/// A folder with a sweep file and its scenario.
struct Bench(TempDir);

impl Bench {
    fn new(sweep: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("base.toml"), SCENARIO).expect("a file");
        fs::write(folder.path().join("sweep.toml"), sweep).expect("a file");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_subrosa-sim"));
        command.current_dir(self.0.path()).arg("sweep").args(arguments);
        command
    }

    fn sweep(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program runs")
    }

    fn good(&self, arguments: &[&str]) -> String {
        let output = self.sweep(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn merged(&self, out: &str, file: &str) -> Vec<u8> {
        self.good(&["merge", out]);
        fs::read(self.path(out).join("merged").join(file)).expect("a merged file")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn modified(path: &Path) -> SystemTime {
    let file = fs::metadata(path).expect("a file");
    file.modified().expect("a time")
}

/// All records and when they were written.
fn records(out: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let points = fs::read_dir(out.join("runs")).into_iter().flatten();
    let files = points.flat_map(|point| fs::read_dir(point.expect("an entry").path()).expect("a folder"));
    let paths = files.map(|file| file.expect("an entry").path());
    let whole = paths.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    whole.map(|path| (path.clone(), modified(&path))).collect()
}

#[test]
fn a_sweep_that_is_killed_goes_on_where_it_was() {
    let bench = Bench::new(&SWEEP.replace("seeds = 3", "seeds = 6"));
    let mut child = bench
        .command(&["run", "sweep.toml", "--out", "killed", "--threads", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = bench.path("killed");
    while records(&out).len() < 3 && child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = records(&out);
    assert!(
        (3..24).contains(&before.len()),
        "{} records when it was killed",
        before.len()
    );
    assert_eq!(
        bench.sweep(&["merge", "killed"]).status.code(),
        Some(2),
        "runs are missing"
    );

    // One of those that were finished is cut in half, as a disk that was full leaves it.
    let (half, _) = before.first_key_value().unwrap();
    let whole = fs::read(half).unwrap();
    fs::write(half, &whole[..whole.len() / 2]).unwrap();
    let told = bench.good(&["run", "sweep.toml", "--out", "killed"]);
    assert!(
        told.contains(&format!("{} of them before", before.len() - 1)),
        "{told}"
    );
    let after = records(&out);
    assert_eq!(after.len(), 24);
    for (path, at) in before.iter().filter(|(path, _)| *path != half) {
        assert_eq!(after[path], *at, "{} was run again", path.display());
    }
    assert_eq!(fs::read(half).unwrap(), whole);

    bench.good(&["run", "sweep.toml", "--out", "whole"]);
    for file in ["table.csv", "table.jsonl", "table.parquet"] {
        assert!(
            bench.merged("killed", file) == bench.merged("whole", file),
            "{file} differs"
        );
    }
}

#[test]
fn shards_together_are_the_whole() {
    let bench = Bench::new(SWEEP);
    bench.good(&["run", "sweep.toml", "--out", "whole"]);
    let mut counts = Vec::new();
    for shard in ["1/3", "3/3", "2/3"] {
        bench.good(&["run", "sweep.toml", "--out", "parts", "--shard", shard]);
        counts.push(records(&bench.path("parts")).len());
    }
    assert_eq!(counts, [4, 8, 12], "shards of equal size that share nothing");
    assert!(bench.merged("parts", "table.csv") == bench.merged("whole", "table.csv"));
}

#[test]
fn the_table_is_the_same_in_each_format() {
    let bench = Bench::new(SWEEP);
    bench.good(&["run", "sweep.toml", "--out", "out"]);
    let csv = bench.merged("out", "table.csv");
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(names[..4], ["members", "network.loss_percent", "point", "seed"]);
    let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len(), 12);

    let lines = text(&bench.merged("out", "table.jsonl"));
    for (line, row) in lines.lines().zip(&rows) {
        let line: BTreeMap<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        for (name, value) in &line {
            let same = value.as_str().map_or_else(
                || value.as_f64().unwrap() == row[name].parse::<f64>().unwrap(),
                |words| words == row[name],
            );
            assert!(same, "{name}: {value} and {}", row[name]);
        }
    }

    let file = fs::File::open(bench.path("out/merged/table.parquet")).unwrap();
    let parquet = SerializedFileReader::new(file).unwrap();
    let read: Vec<_> = parquet
        .get_row_iter(None)
        .unwrap()
        .map(|row| row.unwrap())
        .collect();
    assert_eq!(read.len(), rows.len());
    for (read, row) in read.iter().zip(&rows) {
        for (name, field) in read.get_column_iter() {
            match field {
                Field::Null => assert_eq!(row[name], "", "{name}"),
                Field::Long(number) => assert_eq!(row[name], number.to_string(), "{name}"),
                Field::Double(number) => assert_eq!(row[name].parse(), Ok(*number), "{name}"),
                Field::Str(words) => assert_eq!(row[name], *words, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
    // What the runs found, not only that columns agree: loss that was asked for is loss that was seen.
    for row in &rows {
        let number = |name: &str| row[name].parse::<f64>().unwrap();
        let (asked, seen) = (
            number("network.loss_percent") / 100.0,
            number("pairs.loss_share.mean"),
        );
        assert!(
            (asked - seen).abs() < 0.04 && (asked > 0.0) == (seen > 0.0),
            "{asked} asked, {seen} seen"
        );
        let (people, pairs) = (number("members"), number("pairs.count"));
        assert_eq!(
            pairs,
            2.0 * (people - 1.0),
            "two speakers, each at everybody else"
        );
    }
    let part = bench.path("out/merged/by_axis/members=3/network.loss_percent=5.5/runs.parquet");
    let part = SerializedFileReader::new(fs::File::open(part).unwrap()).unwrap();
    assert_eq!(part.metadata().file_metadata().num_rows(), 3);
    let columns = part.metadata().file_metadata().schema_descr().columns();
    assert!(
        columns.iter().all(|column| column.name() != "members"),
        "the path says it"
    );
}

#[test]
fn a_figure_says_what_it_shows() {
    let bench = Bench::new(SWEEP);
    bench.good(&["run", "sweep.toml", "--out", "out"]);
    bench.good(&["merge", "out"]);
    let open = bench.sweep(&["plot", "out", "--x", "members", "--y", "pairs.lost.sum"]);
    assert_eq!(open.status.code(), Some(2), "a mean over two rates of loss");
    assert!(
        text(&open.stderr).contains("--where network.loss_percent=VALUE"),
        "{}",
        text(&open.stderr)
    );

    let arguments = [
        "plot",
        "out",
        "--x",
        "network.loss_percent",
        "--y",
        "pairs.gap_ms_max.p95",
        "--by",
        "members",
    ];
    let plotted = bench.sweep(&arguments);
    assert!(plotted.status.success(), "{}", text(&plotted.stderr));
    assert!(
        text(&plotted.stderr).contains("3 seeds only"),
        "{}",
        text(&plotted.stderr)
    );
    let stem = "out/plots/pairs.gap_ms_max.p95_by_network.loss_percent_and_members";
    let svg = fs::read_to_string(bench.path(&format!("{stem}.svg"))).unwrap();
    for words in [
        "packet loss on each hop (%)",
        "longest silence of a speaker at a listener, 95th percentile of all pairs (ms)",
        "people in the room",
        "n = 3 seeds at each point",
        "95 % confidence interval of the mean (Student t)",
        "5.5",
    ] {
        assert!(svg.contains(words), "`{words}` is not on the figure");
    }
    let png = fs::read(bench.path(&format!("{stem}.png"))).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let size = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((size(16), size(20)), (1800, 1120));
    assert!(
        png.len() > 20_000,
        "{} bytes: text and lines are missing",
        png.len()
    );
    let only = [
        "plot",
        "out",
        "--x",
        "members",
        "--y",
        "seconds",
        "--where",
        "network.loss_percent=5.5",
    ];
    bench.good(&only);
}

#[test]
fn provenance_is_complete_and_tells_no_paths() {
    let bench = Bench::new(SWEEP);
    let folder = bench.0.path().to_string_lossy().into_owned();
    let out = format!("{folder}/out");
    // Without git, the commit is unknown and everything else is known.
    let sweep = format!("{folder}/sweep.toml");
    let arguments = ["run", &sweep, "--out", &out, "--shard", "1/2"];
    let ran = bench.command(&arguments).env("PATH", "").output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let sidecar = fs::read_to_string(bench.path("out/shards/1-of-2.provenance.json")).unwrap();
    assert!(!sidecar.contains(&folder), "{sidecar}");
    let sidecar: serde_json::Value = serde_json::from_str(&sidecar).unwrap();
    assert_eq!(sidecar["commit"], "unknown");
    assert_eq!(sidecar["command"][1], "run");
    assert_eq!(sidecar["command"][2], "sweep.toml");
    assert_eq!(sidecar["seeds"], serde_json::json!([1, 2, 3]));
    for hash in ["source_sha256", "cargo_lock_sha256", "sweep_sha256"] {
        assert_eq!(sidecar[hash].as_str().unwrap().len(), 64, "{hash}");
    }
    assert!(
        sidecar["rustc"].as_str().unwrap().starts_with("rustc 1."),
        "{sidecar}"
    );
    assert_eq!(sidecar["counts"]["runs"], 6);
    bench.good(&["run", "sweep.toml", "--out", "out", "--shard", "2/2"]);
    bench.good(&["merge", "out"]);
    let merged = fs::read_to_string(bench.path("out/merged/table.provenance.json")).unwrap();
    let merged: serde_json::Value = serde_json::from_str(&merged).unwrap();
    assert_eq!(merged["shards"].as_array().unwrap().len(), 2);
    assert_eq!(merged["outputs"].as_object().unwrap().len(), 3 + 4);
}

#[test]
fn a_violation_is_recorded_and_fails_the_merge_alone() {
    // Frames are 20 ms apart: nobody hears one within 1 ms of the last.
    let sweep = SWEEP.replace(
        "members = [2, 3]",
        "members = [2, 3]\n\"expect.gap_ms_max\" = [0, 1]",
    );
    let bench = Bench::new(&sweep.replace("seeds = 3", "seeds = [7]"));
    let told = bench.good(&["run", "sweep.toml", "--out", "out"]);
    assert!(told.contains("2 of the new ones with violations"), "{told}");
    let merge = bench.sweep(&["merge", "out"]);
    let said = text(&merge.stderr);
    assert_eq!(merge.status.code(), Some(1), "{said}");
    assert!(
        said.contains("heard nothing of") && said.contains("--seed 7"),
        "{said}"
    );
    let csv = fs::read_to_string(bench.path("out/merged/table.csv")).unwrap();
    assert!(csv.contains("heard nothing of"), "{csv}");
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (from, to, says) in [
        ("seeds = 3", "seds = 3", "did you mean `seeds`?"),
        ("seeds = 3", "seeds = 0", "`seeds` is how many"),
        ("seeds = 3", "seeds = [1, 1]", "different numbers"),
        (
            "[0, 5.5]",
            "[0, 'much']",
            "axis `network.loss_percent`: all values are of one kind",
        ),
        (
            "[0, 5.5]",
            "[5, 5.0]",
            "line 7: axis `network.loss_percent`: a value stands there twice",
        ),
        (
            "network.loss_percent",
            "network.los_percent",
            "did you mean `loss_percent`?",
        ),
        (
            "[0, 5.5]",
            "[0, 555]",
            "with members = 2, network.loss_percent = 555: `loss_percent` is between",
        ),
        ("[2, 3]", "[0, 3]", "`members` is 0, but the scenario has 1"),
        (
            "members = \"people",
            "member = \"people",
            "`member` is no axis; did you mean `members`?",
        ),
        (
            "[members]\nspeakers = 2\ntemplate = { name = \"Guest {n}\" }",
            "",
            "need a section `[members]`",
        ),
        ("base.toml", "bass.toml", "bass.toml"),
    ] {
        assert!(SWEEP.contains(from));
        let bench = Bench::new(&SWEEP.replace(from, to));
        let output = bench.sweep(&["plan", "sweep.toml", "--measure", "0"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{to}: {said}");
        assert!(said.contains(says), "{to}: {said}");
    }
    let bench = Bench::new(SWEEP);
    bench.good(&["run", "sweep.toml", "--out", "out"]);
    fs::write(bench.path("sweep.toml"), SWEEP.replace("seeds = 3", "seeds = 4")).unwrap();
    let output = bench.sweep(&["run", "sweep.toml", "--out", "out"]);
    assert!(
        text(&output.stderr).contains("belongs to another sweep"),
        "{}",
        text(&output.stderr)
    );
}
