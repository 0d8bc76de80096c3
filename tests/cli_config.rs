//! `config show` and `config check` of the real binary.

use std::process::{Command, Output};

use serde_json::Value;

fn crossmarket(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossmarket"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CROSSMARKET_")) {
        command.env_remove(name);
    }
    command.args(arguments).envs(environment.iter().copied()).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn setting<'a>(settings: &'a Value, key: &str) -> &'a Value {
    let mut all = settings.as_array().expect("an array").iter();
    all.find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("{key} is not shown"))
}

#[test]
fn every_setting_is_shown_with_its_value_and_origin() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("settings.toml");
    std::fs::write(&file, "[universe]\nsize = 50\nassets = [\"xmr\", \"zec\"]\n").expect("written");
    let path = file.to_str().expect("UTF-8");
    let arguments = ["config", "show", "--json", "--config", path, "--set", "collector.publish_interval_ms=500"];
    let output = crossmarket(&arguments, &[("CROSSMARKET__TELEMETRY__LOG_FORMAT", "json")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let settings: Value = serde_json::from_slice(&output.stdout).expect("JSON");

    let check = |key: &str, value: &str, origin: &str| {
        let found = setting(&settings, key);
        assert_eq!((found["value"].as_str(), found["origin"].as_str()), (Some(value), Some(origin)), "{key}");
    };
    check("grpc.listen", "127.0.0.1:50051", "default");
    check("universe.size", "50", "file");
    check("universe.assets", "XMR,ZEC", "file");
    check("telemetry.log_format", "json", "env");
    check("collector.publish_interval_ms", "500", "flag");
    assert_eq!(setting(&settings, "universe.size")["from"], format!("file {path} line 2"));

    let table = crossmarket(&["config", "show"], &[]);
    assert!(text(&table.stdout).lines().any(|line| line.starts_with("store.url") && line.ends_with("default")));
}

#[test]
fn every_venue_has_its_settings() {
    let output = crossmarket(&["config", "show"], &[("CROSSMARKET__VENUES__OKX__ENABLED", "false")]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for venue in crossmarket_venues::REGISTRY {
        assert!(shown.contains(&format!("venues.{}.enabled", venue.id())), "{}", venue.id());
    }
    assert!(shown.lines().any(|line| line.starts_with("venues.okx.enabled") && line.contains("false")), "{shown}");
}

#[test]
fn a_venues_key_is_read_from_a_file_and_never_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("key");
    std::fs::write(&file, "k3y-of-a-test\n").expect("written");
    let given = format!("venues.twelvedata.api_key_file={}", file.display());
    for (arguments, environment) in [
        (vec!["config", "show", "--set", &given], vec![]),
        (vec!["config", "show"], vec![("CROSSMARKET__VENUES__TWELVEDATA__API_KEY", "k3y-of-a-test")]),
    ] {
        let output = crossmarket(&arguments, &environment);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(!text(&output.stdout).contains("k3y"), "{}", text(&output.stdout));
    }
    let missing = crossmarket(&["config", "check", "--set", "venues.stooq.api_key_file=/nowhere/key"], &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("a readable file whose first line is a key"), "{}", text(&missing.stderr));
    let broken = crossmarket(&["config", "check", "--set", "venues.stooq.api_key=k3y of"], &[]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(!text(&broken.stderr).contains("k3y"), "{}", text(&broken.stderr));
}

#[test]
fn a_good_configuration_checks() {
    let output = crossmarket(&["config", "check", "--set", "store.url=memory:"], &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("ok"));
}

#[test]
fn every_problem_is_told_at_once_and_the_service_does_not_start() {
    let bad = [("CROSSMARKET__UNIVERSE__SIZE", "-1"), ("CROSSMARKET__UNIVERSE__SISE", "5")];
    for command in [&["config", "check"][..], &["config", "show"], &["serve"], &["demo"]] {
        let arguments = [command, &["--set", "grpc.listen=here"]].concat();
        let output = crossmarket(&arguments, &bad);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("grpc.listen = \"here\" (flag --set grpc.listen)"), "{told}");
        assert!(told.contains("universe.size = \"-1\" (env CROSSMARKET__UNIVERSE__SIZE)"), "{told}");
        assert!(told.contains("1 to 5000"), "{told}");
        assert!(told.contains("universe.sise") && told.contains("did you mean universe.size?"), "{told}");
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [&["frobnicate"][..], &["get"], &["config", "show", "--set", "nothing"], &["demo", "--speed", "0"]]
    {
        assert_eq!(crossmarket(arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
    let output = crossmarket(&["decode", "--venue", "nowhere", "--feed", "tickers", "-"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("unknown venue \"nowhere\""));
}

#[test]
fn a_key_is_made_with_its_hash_and_neither_it_nor_the_hash_is_shown_again() {
    let made = crossmarket(&["config", "hash-key"], &[]);
    let lines = text(&made.stdout);
    let word = |name: &str| {
        let line = lines.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {lines}"));
        line.trim().to_owned()
    };
    let (key, hash) = (word("key"), word("hash"));
    let mut hashing = Command::new(env!("CARGO_BIN_EXE_crossmarket"));
    let hashing = hashing.args(["config", "hash-key", "--stdin"]).stdin(std::process::Stdio::piped());
    let hash_of = |hashing: &mut Command, key: &str| {
        let mut child = hashing.stdout(std::process::Stdio::piped()).spawn().expect("the binary runs");
        std::io::Write::write_all(&mut child.stdin.take().expect("piped"), key.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("an end");
        (output.status.success(), text(&output.stdout).trim().to_owned())
    };
    assert_eq!(hash_of(hashing, &format!("{key}\n")), (true, hash.clone()));
    assert_eq!(hash_of(hashing, "password"), (false, String::new()), "too short to be random");

    let given = [
        ("CROSSMARKET__SECURITY__CLIENTS__DESK__KEY_HASHES", format!("{hash},{hash} until 2030-01-01")),
        ("CROSSMARKET__SECURITY__CLIENTS__DESK__SCOPES", "prices,indices".to_owned()),
    ];
    let given: Vec<(&str, &str)> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let shown = crossmarket(&["config", "show", "--json"], &given);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let settings: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let hashes = setting(&settings, "security.clients.desk.key_hashes")["value"].as_str().expect("text").to_owned();
    assert!(hashes.contains("until 2030-01-01") && !hashes.contains(&hash), "{hashes}");
    // A key in the place of its hash is a mistake that is easily made.
    let mistaken = [(given[0].0, key.as_str()), given[1]];
    let refused = crossmarket(&["config", "check"], &mistaken);
    assert_eq!(refused.status.code(), Some(1));
    assert!(!text(&refused.stderr).contains(&key), "{}", text(&refused.stderr));
}

#[test]
fn clients_are_read_strictly() {
    let hash = format!("sha256:{}", "0".repeat(64));
    let check = |settings: &[&str], expected: &str| {
        let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", *setting]).collect();
        let output = crossmarket(&[&["config", "check"], &arguments[..]].concat(), &[]);
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(1) && told.contains(expected), "{settings:?}: {told}");
        assert!(!told.contains(&"0".repeat(64)), "{told}");
    };
    let keyed = format!("security.clients.a.key_hashes={hash}");
    check(&[&keyed], "security.clients.a.scopes");
    check(&[&keyed, "security.clients.a.scopes=everything"], "at least one of prices");
    check(&["security.clients.a.scopes=all"], "key_hashes or certificate_names");
    check(&[&format!("security.clients.a b.key_hashes={hash}")], "a name of at most 64");
    check(&[&keyed, "security.clients.a.scopes=all", "security.clients.a.kolour=red"], "unknown setting");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("clients.toml");
    std::fs::write(&file, format!("[a]\nkey_hashes = [\"{hash}\"]\nscopes = [\"all\"]\n")).expect("written");
    let file = format!("security.clients_file={}", file.display());
    check(&[&keyed, "security.clients.a.scopes=all", &file], "a client stands in one place");
    let (scopes, other) =
        (["security.clients.a.scopes=all", "security.clients.b.scopes=all"], keyed.replace(".a.", ".b."));
    check(&[&keyed, &other, scopes[0], scopes[1]], "security.clients.b.key_hashes");
    check(&[&keyed, &other, scopes[0], scopes[1]], "the client \"a\" too");
    check(&[&other, scopes[1], &file], "security.clients.a.key_hashes");
    check(&[&other, scopes[1], &file], "the client \"b\" too");
    let named =
        ["security.clients.a.certificate_names=desk.example", "security.clients.b.certificate_names=DESK.example"];
    check(&[named[0], named[1], scopes[0], scopes[1]], "security.clients.b.certificate_names");
    check(&["security.jwt.issuer=somebody"], "all four or none");
    check(&["security.jwt.algorithms=HS256"], "RS256, PS256, ES256, ES384, EdDSA");
    check(&["security.tls.key_file=k"], "security.tls.certificate_file");
    check(&["security.tls.client_ca_file=c"], "only with security.tls.certificate_file");
    check(&["security.clients_file=/nowhere/clients.toml"], "/nowhere/clients.toml");
}
