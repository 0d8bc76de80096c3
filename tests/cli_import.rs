//! `import` of the real binary, and its parser on real histories.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crossmarket::cli::history_csv::{self, Effect};
use crossmarket_domain::Decimal;

fn import(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crossmarket")).arg("import").args(arguments).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn written(content: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("history.csv");
    std::fs::write(&path, content).expect("written");
    let path = path.to_str().expect("UTF-8").to_owned();
    (directory, path)
}

#[test]
fn a_dry_run_tells_counts_and_lines() {
    let (_directory, path) = written(
        "Date,Close,Volume,Market Cap\n\
         01/02/2024,\"44,187.14\",100,\"865,000,000,000\"\n\
         01/03/2024,oops,100,1\n\
         01/04/2024,44179.92,100,0\n",
    );
    let output = import(&["btc", &path, "--dry-run"]);
    let (out, told) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert!(
        out.starts_with("BTC: 2 days would be imported (dry run), 2024-01-02 to 2024-01-04, 1 with market cap"),
        "{out}"
    );
    assert!(out.contains("of 3 lines 1 skipped; 1 adjustments"), "{out}");
    assert!(told.contains("line 3: skipped: close: \"oops\""), "{told}");
    assert!(told.contains("line 4: adjusted: market cap is 0"), "{told}");
    assert!(told.contains("volume is taken as money"), "{told}");
}

#[test]
fn what_cannot_be_imported_is_refused_with_the_reason() {
    let (_directory, path) = written("day,price\n2024-01-02,1\n");
    let output = import(&["BTC", &path, "--dry-run"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no column of dates"), "{}", text(&output.stderr));

    let (_directory, path) = written("date,close\n");
    let output = import(&["BTC", &path, "--dry-run"]);
    assert!(text(&output.stderr).contains("no usable line"), "{}", text(&output.stderr));

    let output = import(&["BTC", "no/such/file.csv"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no/such/file.csv"), "{}", text(&output.stderr));
    assert_eq!(import(&["B/C", &path]).status.code(), Some(2));
}

/// The directory of recorded data, if this machine has it.
fn recorded() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|parent| parent.join("shared/data"));
    let directory = std::env::var_os("CROSSMARKET_SHARED_DATA").map(PathBuf::from).or_else(beside);
    directory.map(|directory| directory.join("history")).filter(|directory| directory.is_dir())
}

#[test]
fn real_histories_lose_nothing_silently() {
    let Some(directory) = recorded() else {
        eprintln!("skipped: no recorded histories; CROSSMARKET_SHARED_DATA names their directory");
        return;
    };
    let mut file_count = 0;
    for (folder, start) in [("indices", "RUT"), ("yahoo_coins_daily", "BTC-USD"), ("marketcap_daily", "")] {
        for entry in std::fs::read_dir(directory.join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(start) && name.ends_with(".csv") {
                check_real_file(&path);
                file_count += 1;
            }
        }
    }
    assert!(file_count > 0, "no history found in {}", directory.display());
}

/// Every line is either a row with exactly the close given in it, or is reported as skipped.
fn check_real_file(path: &Path) {
    let content = std::fs::read_to_string(path).expect("readable");
    let history = history_csv::parse(content.as_bytes(), None);
    let lines: Vec<&str> = content.lines().collect();
    let close_at = lines[0].split(',').position(|name| name.eq_ignore_ascii_case("close")).expect("a close column");
    assert!(!history.rows.is_empty(), "{}", path.display());
    assert_eq!(history.rows.len() as u64 + history.skipped_count, lines.len() as u64 - 1, "{}", path.display());
    for row in &history.rows {
        let close = lines[row.line as usize - 1].split(',').nth(close_at).expect("a close");
        assert_eq!(row.close, Decimal::parse(close).expect("a number"), "{} line {}", path.display(), row.line);
    }
    assert!(history.problems.iter().all(|problem| problem.effect != Effect::Refused));
}
