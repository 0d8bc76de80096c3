//! The real binary as a child process, and what tests do with one: wait for it, signal it, call it.

// Each test binary has this module as its own and uses a part of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use crossmarket_api::v1::catalog_service_client::CatalogServiceClient;
use crossmarket_api::v1::price_service_client::PriceServiceClient;
use tonic::transport::{Channel, Endpoint};

/// The timeout of every wait: far longer than needed, so that no test fails on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is checked.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A running service. It is killed, by its id, when it goes out of scope.
pub struct Process {
    child: Child,
    /// Its gRPC address: `ADDRESS:PORT`.
    pub grpc: String,
    /// Its admin address: `ADDRESS:PORT`.
    pub admin: String,
    /// The first line that it printed.
    pub first_line: String,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// `demo` on free ports.
    pub fn demo(arguments: &[&str]) -> Self {
        Self::start("demo", arguments)
    }

    /// `demo` whose values are kept in a directory.
    pub fn demo_in(directory: &Path) -> Self {
        Self::demo(&["--store", &embedded(directory)])
    }

    /// `serve` on a directory's store, with every venue switched off.
    pub fn serve_in(directory: &Path) -> Self {
        Self::serve_in_with(directory, &[])
    }

    /// The same with further arguments.
    pub fn serve_in_with(directory: &Path, arguments: &[&str]) -> Self {
        let settings = without_venues(directory);
        Self::start("serve", &[&["--store", &embedded(directory), "--config", &settings], arguments].concat())
    }

    /// `serve` with these arguments, on free ports unless they say otherwise.
    pub fn serve(arguments: &[&str]) -> Self {
        Self::start("serve", arguments)
    }

    /// `serve` on a directory's store, with every venue switched off and the given limit of file descriptors.
    pub fn serve_in_with_files(directory: &Path, files_max: usize) -> Self {
        let settings = without_venues(directory);
        let mut program = Command::new("sh");
        program.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &files_max.to_string()]);
        program.arg(env!("CARGO_BIN_EXE_crossmarket"));
        Self::run(program, "serve", &["--store", &embedded(directory), "--config", &settings])
    }

    fn start(command: &str, arguments: &[&str]) -> Self {
        Self::run(binary(), command, arguments)
    }

    fn run(mut program: Command, command: &str, arguments: &[&str]) -> Self {
        let mut child = program
            .arg(command)
            .args(if arguments.contains(&"--listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] })
            .args(["--admin-listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = lines_of(child.stdout.take().expect("piped"));
        let log = text_of(child.stderr.take().expect("piped"));
        let mut process = Self { child, grpc: String::new(), admin: String::new(), first_line: String::new(), log };
        process.first_line = match lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(_) => panic!("{command} printed no line:\n{}", process.log()),
        };
        let address = |name| {
            let mut words = process.first_line.split_whitespace();
            words.find_map(|word| word.strip_prefix(name)).map(str::to_owned)
        };
        let (grpc, admin) = (address("grpc="), address("admin="));
        process.admin = admin.unwrap_or_else(|| panic!("no address in {:?}", process.first_line));
        // A collector has none.
        process.grpc = grpc.unwrap_or_default();
        process
    }

    /// Shares it between all tests of this binary. Statics are not dropped, so a shell kills it, by its id, when this process ends in any way and
    /// the pipe between them closes with it.
    pub fn shared(self) -> Shared {
        let watcher = Command::new("sh")
            .args(["-c", "read -r _; kill -KILL \"$0\"", &self.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Shared { process: self, _watcher: watcher }
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Stops it so that it does nothing and closes nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Resumes it after a freeze.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        // The shell's own `kill`, since the standard library sends only SIGKILL.
        let status =
            Command::new("sh").args(["-c", "kill -\"$1\" \"$0\"", &self.child.id().to_string(), name]).status();
        assert!(status.expect("a shell").success(), "no such process");
    }

    /// Kills it without a chance to clean up.
    pub fn kill(mut self) {
        self.kill_in_place();
    }

    /// The same, when something else will take its place.
    pub fn kill_in_place(&mut self) {
        self.child.kill().expect("still running");
        self.child.wait().expect("its parent");
    }

    /// Waits for it to end, up to the given time; `None` if it is still running then.
    pub async fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.child.try_wait().expect("its parent");
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// A new connection, with the smallest possible windows, so that a client that does not read is noticed early.
    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).expect("an address");
        let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
        endpoint.connect().await.expect("connected")
    }

    /// A client of the prices on a connection of its own.
    pub async fn prices(&self) -> PriceServiceClient<Channel> {
        PriceServiceClient::new(self.channel().await).max_decoding_message_size(64 << 20)
    }

    /// A client of the catalogue on a connection of its own.
    pub async fn catalog(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.channel().await)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of process {}:\n{}", self.child.id(), self.log());
        }
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that the tests of a binary share.
pub struct Shared {
    process: Process,
    _watcher: Child,
}

/// One test's handle to a shared process: shows its log when the test fails.
pub struct Story(&'static Process);

impl Story {
    /// Starts the process when this is the first test that needs it.
    pub fn of(shared: &'static LazyLock<Shared>) -> Self {
        Self(&shared.process)
    }
}

impl Deref for Story {
    type Target = Process;

    fn deref(&self) -> &Process {
        self.0
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of process {}:\n{}", self.0.id(), self.0.log());
        }
    }
}

/// A file of settings in the directory that switches every venue off.
pub fn without_venues(directory: &Path) -> String {
    let settings = directory.join("no-venues.toml");
    let ids = crossmarket_venues::REGISTRY.iter().map(|venue| venue.id());
    let lines: String = ids.map(|id| format!("{id}.enabled = false\n")).collect();
    std::fs::write(&settings, format!("[venues]\n{lines}")).expect("written");
    settings.to_str().expect("UTF-8").to_owned()
}

/// The binary, without this shell's settings.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossmarket"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CROSSMARKET_") {
            command.env_remove(name);
        }
    }
    command
}

/// The URL of the embedded store in a directory.
pub fn embedded(directory: &Path) -> String {
    format!("embedded:{}", directory.join("store").display())
}

/// Polls until there is a value, and returns it.
pub async fn wait_until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Awaits something that must happen within the timeout.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

/// Reads lines on a thread, to the end, so that the writer never blocks.
fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Nobody listens after the first line; the rest is still read.
            let _ = sender.send(line);
        }
    });
    lines
}

fn text_of(output: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let written = Arc::clone(&text);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let mut text = written.lock().expect("not poisoned");
            text.push_str(&line);
            text.push('\n');
        }
    });
    text
}
