//! Real Redis servers as child processes: one alone, a Sentinel trio, a Cluster of three. Each has its own ports and a directory of its own, and
//! is killed, by its id, when it goes out of scope.

// Each test binary has this module as its own and uses a part of it.
#![allow(dead_code)]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to start, or a set of them to agree: far more than they do.
const START_PATIENCE: Duration = Duration::from_secs(60);

const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Attempts to start on a free port: between finding one and using it somebody else may take it.
const START_ATTEMPTS: usize = 5;

/// One `redis-server` (or another program that takes its arguments) on 127.0.0.1.
pub struct RedisServer {
    program: String,
    child: Child,
    arguments: Vec<String>,
    directory: TempDir,
    /// Its port. A restarted server has the same.
    pub port: u16,
}

impl RedisServer {
    /// A server that keeps nothing on disk.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with more arguments: `["--appendonly", "yes"]`.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_program("redis-server", arguments)
    }

    /// Starts one on a port that [`free_port`] gave out.
    pub fn start_on(port: u16) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let child = spawn("redis-server", port, &[], directory.path());
        let mut server = Self { program: "redis-server".to_owned(), child, arguments: Vec::new(), directory, port };
        assert!(server.answers(), "somebody else took port {port}");
        server
    }

    /// The same of another program: `valkey-server`.
    pub fn start_program(program: &str, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        for _ in 0..START_ATTEMPTS {
            let directory = tempfile::tempdir().expect("a directory");
            let port = free_port();
            let child = spawn(program, port, &arguments, directory.path());
            let mut server = Self { program: program.to_owned(), child, arguments: arguments.clone(), directory, port };
            if server.answers() {
                return server;
            }
            let log = std::fs::read_to_string(server.directory.path().join("log")).unwrap_or_default();
            assert!(log.contains("already in use"), "{program} did not start:\n{log}");
        }
        panic!("no free port for {program}");
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs a command and returns its answer as the client library prints it.
    pub fn command(&self, words: &[&str]) -> redis::Value {
        self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The same, for commands that may fail.
    pub fn try_command(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(5))?;
        connection.set_read_timeout(Some(Duration::from_secs(30)))?;
        let (name, arguments) = words.split_first().expect("a command");
        redis::cmd(name).arg(arguments).query(&mut connection)
    }

    /// The answer as text.
    pub fn text(&self, words: &[&str]) -> String {
        redis::from_redis_value(self.command(words)).expect("text")
    }

    /// One number of `INFO`: `used_memory`.
    pub fn info_number(&self, name: &str) -> u64 {
        let info = self.text(&["INFO", "all"]);
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("{name} is not in INFO"))
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        // It may have been killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it so that it neither answers nor closes its connections, as SIGSTOP does.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets a frozen one go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Starts it again after [`RedisServer::kill`], on the same port and directory.
    pub fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            self.child = spawn(&self.program, self.port, &self.arguments, self.directory.path());
            if self.answers() {
                return;
            }
            assert!(Instant::now() < deadline, "{} did not start again", self.program);
        }
    }

    fn signal(&self, name: &str) {
        // The shell's own `kill`, since the standard library sends no signal but the hardest.
        let status =
            Command::new("sh").args(["-c", "kill -\"$1\" \"$0\"", &self.child.id().to_string(), name]).status();
        assert!(status.expect("a shell").success(), "no such process");
    }

    /// True once it answers; false when it has ended instead.
    fn answers(&mut self) -> bool {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            if self.child.try_wait().expect("its parent").is_some() {
                return false;
            }
            // A server that asks for a password counts as running, too.
            match self.try_command(&["PING"]) {
                Ok(_) => return true,
                Err(error) if error.to_string().contains("NOAUTH") || error.to_string().contains("auth") => {
                    return true;
                }
                Err(_) => assert!(Instant::now() < deadline, "{} does not answer", self.program),
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(program: &str, port: u16, arguments: &[String], directory: &Path) -> Child {
    let mut command = Command::new(program);
    if let Some(configuration) = arguments.first().filter(|argument| !argument.starts_with("--")) {
        command.arg(configuration);
    }
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no", "--logfile"])
        .arg(directory.join("log"))
        .arg("--dir")
        .arg(directory)
        .args(arguments.iter().skip_while(|argument| !argument.starts_with("--")));
    if !arguments.iter().any(|argument| argument == "--save" || argument == "--sentinel") {
        command.args(["--save", ""]);
    }
    match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Ok(child) => child,
        Err(error) => panic!("{program} cannot be started ({error}); scripts/test installs it"),
    }
}

/// A port that nobody listened on a moment ago, low enough for a Cluster's second port.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a socket").local_addr().expect("bound").port()
}

/// Looks until it is so.
fn wait_for(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + START_PATIENCE;
    while !look() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// Three masters with a third of the slots each.
pub struct RedisCluster {
    /// The nodes.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts the nodes and waits until they agree.
    pub fn start() -> Self {
        const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        let nodes: Vec<RedisServer> = SLOTS
            .iter()
            .map(|_| {
                let bus_port = free_port().to_string();
                RedisServer::start_with(&[
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    &bus_port,
                    "--cluster-node-timeout",
                    "5000",
                ])
            })
            .collect();
        for (node, (from, to)) in nodes.iter().zip(SLOTS) {
            node.command(&["CLUSTER", "ADDSLOTSRANGE", from, to]);
        }
        for other in &nodes[1..] {
            let bus_port =
                match redis::from_redis_value::<Vec<String>>(other.command(&["CONFIG", "GET", "cluster-port"])) {
                    Ok(pair) => pair.last().cloned().expect("a value"),
                    Err(error) => panic!("{error}"),
                };
            nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &other.port.to_string(), &bus_port]);
        }
        let agreed = |node: &RedisServer| {
            let info = node.text(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        wait_for("the cluster agrees", || nodes.iter().all(agreed));
        Self { nodes }
    }

    /// One cluster for all tests of a binary that run at the same time; the last of them ends it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<RedisCluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Arc::new(Self::start());
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    /// `redis+cluster://HOST:PORT,HOST:PORT,HOST:PORT`.
    pub fn url(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis+cluster://{}", addresses.join(","))
    }
}

/// A master with two replicas, and three sentinels that watch it.
pub struct SentinelTrio {
    /// The servers; the first one is the master at the start.
    pub servers: Vec<RedisServer>,
    /// The sentinels.
    pub sentinels: Vec<RedisServer>,
    // The sentinels write their configuration here.
    _directory: TempDir,
}

impl SentinelTrio {
    /// The name that the sentinels know the master by.
    pub const MASTER_NAME: &'static str = "crossmarket";

    /// Starts them and waits until the replicas follow and the sentinels know each other.
    pub fn start() -> Self {
        let master = RedisServer::start();
        let master_port = master.port.to_string();
        let replicaof = format!("127.0.0.1 {master_port}");
        let mut servers = vec![master];
        servers.extend((0..2).map(|_| RedisServer::start_with(&["--replicaof", &replicaof])));
        let follows = |server: &RedisServer| server.text(&["INFO", "replication"]).contains("master_link_status:up");
        wait_for("the replicas follow", || servers[1..].iter().all(follows));

        let directory = tempfile::tempdir().expect("a directory");
        let name = Self::MASTER_NAME;
        let sentinels: Vec<RedisServer> = (0..3)
            .map(|number| {
                let file = directory.path().join(format!("sentinel-{number}.conf"));
                let lines = [
                    format!("sentinel monitor {name} 127.0.0.1 {master_port} 2"),
                    format!("sentinel down-after-milliseconds {name} 1000"),
                    format!("sentinel failover-timeout {name} 5000"),
                ];
                std::fs::write(&file, lines.join("\n") + "\n").expect("written");
                RedisServer::start_with(&[file.to_str().expect("UTF-8"), "--sentinel"])
            })
            .collect();
        let knows_all = |sentinel: &RedisServer| {
            let info = sentinel.text(&["INFO", "sentinel"]);
            info.contains("slaves=2") && info.contains("sentinels=3")
        };
        wait_for("the sentinels know each other", || sentinels.iter().all(knows_all));
        Self { servers, sentinels, _directory: directory }
    }

    /// `redis+sentinel://HOST:PORT,…/NAME`.
    pub fn url(&self) -> String {
        let addresses: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis+sentinel://{}/{}", addresses.join(","), Self::MASTER_NAME)
    }

    /// The port of the master, as the sentinels have it.
    pub fn master_port(&self) -> u16 {
        let answer = self.sentinels[0].command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::MASTER_NAME]);
        let address: Vec<String> = redis::from_redis_value(answer).expect("an address");
        address.last().and_then(|port| port.parse().ok()).expect("a port")
    }
}
