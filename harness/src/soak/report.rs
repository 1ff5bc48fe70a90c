//! Where the report goes, and what several parts of it need.

use super::record::{Record, Row};
use super::{plot, section};
use anyhow::{Context, Result};
use procfs::{CpuInfo, FromRead};
use std::fs;
use std::path::{Path, PathBuf};

/// The report of the workspace, relative to it.
pub const NOTE: &str = "notes/day6-soak-report.md";
/// What the generated part of a server is called: this and the server's name.
pub const PART: &str = "soak ";

/// Where that is, whatever the current folder is.
#[must_use]
pub fn note() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", NOTE].iter().collect()
}

/// Makes sure, before a long run, that its report can be written.
///
/// # Errors
/// As [`write()`].
pub fn prepare(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    match fs::OpenOptions::new().append(true).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot write {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The report at `path` with this run in it, and beside it, in a folder of its name, the data and the
/// pictures. Other servers' runs stay as they are.
///
/// # Errors
/// A file can't be read or written, or the report's markers are broken.
pub fn write(path: &Path, record: &Record) -> Result<()> {
    let (folder, name) = (folder_of(path), slug(&record.server));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let save = |path: PathBuf, text: String| {
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    save(folder.join(format!("{name}.json")), serde_json::to_string(record)? + "\n")?;
    for picture in plot::all(record) {
        save(folder.join(format!("{name}-{}.svg", picture.name)), picture.chart.svg())?;
    }
    let mut note = match fs::read_to_string(path) {
        Ok(note) => note,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "# Soak report\n".to_owned(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let marker = format!("<!-- generated: {PART}{name} -->\n");
    if !note.contains(&marker) {
        note.push_str(&format!("\n{marker}<!-- end generated -->\n"));
    }
    let part = |part: &str| match part.strip_prefix(PART) {
        Some(name) => of_kept_data(path, name).map(Some),
        None => Ok(None),
    };
    save(path.to_owned(), note_parts::refresh(&note, part)?)
}

/// The part of a server in the report at `path`, from the data that is kept beside it.
///
/// # Errors
/// The data can't be read.
pub fn of_kept_data(path: &Path, name: &str) -> Result<String> {
    let (data, folder) = (folder_of(path).join(format!("{name}.json")), folder_name(path));
    Ok(section::render(&read(&data)?, &format!("{folder}/{name}")))
}

/// A run that was kept.
///
/// # Errors
/// It can't be read.
pub fn read(data: &Path) -> Result<Record> {
    let text =
        fs::read_to_string(data).with_context(|| format!("cannot read {}", data.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no soak", data.display()))
}

/// What the quest asks to paste.
#[must_use]
pub fn short(record: &Record) -> String {
    section::short(record)
}

/// `notes/day6-soak` for `notes/day6-soak-report.md`.
#[must_use]
pub fn folder_of(path: &Path) -> PathBuf {
    path.with_file_name(folder_name(path))
}

fn folder_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.strip_suffix("-report").map_or_else(|| format!("{stem}-data"), str::to_owned)
}

/// The name of a server as a part of a file's name.
#[must_use]
pub fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let all: String = name.chars().map(plain).collect();
    let words: Vec<&str> = all.split('-').filter(|word| !word.is_empty()).collect();
    words.join("-")
}

/// The machine, in words.
pub(super) fn machine() -> String {
    let processors = CpuInfo::from_file("/proc/cpuinfo").ok();
    let model = processors.as_ref().and_then(|all| all.model_name(0)).unwrap_or("unknown CPU");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    format!("{model}, {cores} cores, Linux {}, {profile} build", kernel.trim())
}

/// Bytes in MiB.
pub(super) fn mib(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20))
}

/// When something was so again after a failure, in seconds.
pub(super) fn after(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds:.2} s"))
}

/// How resident memory grew while nothing was induced: bytes an hour, by least squares. `None` with
/// less than a minute of it.
pub(super) fn slope_per_hour(rows: &[Row]) -> Option<f64> {
    let steady = rows.iter().filter(|row| row.phase == "steady");
    let points: Vec<(f64, f64)> =
        steady.filter_map(|row| Some((row.at_s / 3600.0, row.resident? as f64))).collect();
    let hours = points.last()?.0 - points.first()?.0;
    if hours < 1.0 / 60.0 {
        return None;
    }
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let both: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let square: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    (square > 0.0).then(|| both / square)
}

#[cfg(test)]
mod tests {
    use super::super::record::{ClassRow, Latency};
    use super::*;

    #[test]
    fn a_second_server_gets_a_part_of_its_own_and_a_second_run_replaces_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my-report.md");
        let row = |at_s, p50_us| {
            let latency = Latency { p50_us, p95_us: 9, p99_us: 9, ..Latency::default() };
            Row { at_s, prompt: ClassRow { latency, ..ClassRow::default() }, ..Row::default() }
        };
        // Nothing is known of this server's memory: there is no picture of it, and no link.
        let record = |server: &str, seed| Record {
            server: server.into(),
            seed,
            rows: vec![row(1.0, 3), row(2.0, 4)],
            ..Record::default()
        };
        write(&path, &record("day4-poll", 41)).unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap() + "by hand\n").unwrap();
        write(&path, &record("./server {port}", 42)).unwrap();
        write(&path, &record("day4-poll", 43)).unwrap();
        let note = fs::read_to_string(&path).unwrap();
        assert!(note.contains("by hand") && note.contains("seed 42") && note.contains("seed 43"));
        assert!(!note.contains("seed 41"));
        assert!(note.contains("(my/server-port-latency.svg)"), "{note}");
        assert!(!note.contains("-memory.svg"), "{note}");
        assert!(folder.path().join("my/server-port-latency.svg").exists());
        write(&path, &Record { server: "died at once".into(), ..Record::default() }).unwrap();
    }

    #[test]
    fn a_report_that_cannot_be_written_is_known_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my-report.md");
        prepare(&path).unwrap();
        assert!(!path.exists(), "nothing has been measured yet");
        fs::create_dir(&path).unwrap();
        let problem = prepare(&path).unwrap_err().to_string();
        assert!(problem.starts_with("cannot write"), "{problem}");
        fs::write(folder.path().join("file"), "").unwrap();
        let problem = prepare(&folder.path().join("file/my-report.md")).unwrap_err().to_string();
        assert!(problem.starts_with("cannot make"), "{problem}");
    }

    #[test]
    fn the_slope_is_that_of_a_line() {
        let row = |at_s: f64, resident| Row {
            at_s,
            resident: Some(resident),
            phase: "steady".into(),
            ..Row::default()
        };
        let rows = [row(0.0, 1000), row(1800.0, 1500), row(3600.0, 2000)];
        assert!((slope_per_hour(&rows).unwrap() - 1000.0).abs() < 1e-6);
        assert_eq!(slope_per_hour(&rows[..1]), None);
    }
}
