//! The built broker as a child process on ports of the system's choice.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};

use tempfile::TempDir;

use super::PATIENCE;

/// A running broker; dropped, it is killed and its data directory removed.
pub struct TestServer {
    child: Child,
    data_dir: Arc<TempDir>,
    arguments: Vec<String>,
    stdout: Receiver<String>,
    stderr: Arc<(Mutex<VecDeque<String>>, Condvar)>,
    /// Where the Kafka listener is bound.
    pub address: SocketAddr,
    /// Where metrics and health answer.
    pub admin: SocketAddr,
    /// What it printed until it was ready.
    pub announced: Vec<String>,
}

fn joined(lines: &VecDeque<String>) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

impl TestServer {
    /// Starts on an empty data directory and waits until it says that it is ready.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with `key=value` settings.
    pub fn start_with(settings: &[&str]) -> Self {
        Self::start_with_arguments(&[], settings)
    }

    /// The same with further arguments of `start`.
    pub fn start_with_arguments(arguments: &[&str], settings: &[&str]) -> Self {
        let data_dir = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        Self::launch(data_dir, arguments.iter().copied().chain(settings).map(str::to_owned).collect())
    }

    /// The same for a process that may have so many files open.
    pub fn start_with_open_files(open_files_max: u32) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {open_files_max} && exec \"$0\" \"$@\"")]).arg(binary());
        Self::launch_by(command, Arc::new(tempfile::tempdir().expect("a temporary directory")), Vec::new())
    }

    fn launch(data_dir: Arc<TempDir>, arguments: Vec<String>) -> Self {
        Self::launch_by(Command::new(binary()), data_dir, arguments)
    }

    /// Starts with `--ephemeral`; what is [`TestServer::data_dir`] otherwise holds temporary files then.
    pub fn start_ephemeral() -> Self {
        let temporary = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        let mut command = Command::new(binary());
        command.args(["start", "--ephemeral"]).env("TMPDIR", temporary.path());
        Self::follow(command, temporary, Vec::new())
    }

    fn launch_by(mut command: Command, data_dir: Arc<TempDir>, arguments: Vec<String>) -> Self {
        command.arg("start").arg("--data-dir").arg(data_dir.path());
        Self::follow(command, data_dir, arguments)
    }

    fn follow(mut command: Command, data_dir: Arc<TempDir>, arguments: Vec<String>) -> Self {
        command.args(["--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "einmal.admin.listener=127.0.0.1:0"]);
        command.args(&arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the built binary starts");

        let (sender, stdout) = channel();
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let stderr = Arc::new((Mutex::new(VecDeque::new()), Condvar::new()));
        let (kept, lines) = (stderr.clone(), BufReader::new(child.stderr.take().expect("stderr is piped")).lines());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.0.lock().expect("no holder panics").push_back(line);
                kept.1.notify_all();
            }
        });

        let unbound = SocketAddr::from(([0, 0, 0, 0], 0));
        let (address, admin, announced) = (unbound, unbound, Vec::new());
        let mut server = Self { child, data_dir, arguments, stdout, stderr, address, admin, announced };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&mut self) {
        loop {
            let Ok(line) = self.stdout.recv_timeout(PATIENCE) else {
                let _ = self.child.kill();
                panic!("the broker ended or hung before it was ready:\n{}", self.log());
            };
            if let Some(address) = line.strip_prefix("listening PLAINTEXT://") {
                self.address = address.parse().expect("an address after the listener's name");
            } else if let Some(address) = line.strip_prefix("listening admin http://") {
                self.admin = address.parse().expect("an address after admin");
            } else if line == "ready" {
                break;
            }
            self.announced.push(line);
        }
        assert_ne!(self.address.port(), 0, "ready without a Kafka listener");
    }

    /// SIGKILL: nothing is written any more, the page cache stays.
    pub fn kill9(&mut self) {
        self.child.kill().expect("the broker is still ours to kill");
        self.child.wait().expect("a killed child ends");
    }

    /// Sends it a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs").success());
    }

    /// SIGTERM, and how the broker ended.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().expect("a child ends")
    }

    /// SIGTERM twice at once, as `timeout` sends it, and how the broker ended.
    pub fn terminate_with_echo(&mut self) -> ExitStatus {
        let twice = format!("kill -TERM {0}; sleep 0.002; kill -TERM {0}", self.child.id());
        // The second may come too late, which is none of the test's concern.
        let _ = Command::new("sh").args(["-c", &twice]).stderr(Stdio::null()).status().expect("sh runs");
        self.child.wait().expect("a child ends")
    }

    /// The same data directory and settings again, on new ports.
    pub fn restart(mut self) -> Self {
        if self.is_alive() {
            self.kill9();
        }
        Self::launch(self.data_dir.clone(), self.arguments.clone())
    }

    /// The same data directory with other settings.
    pub fn restart_with(mut self, settings: &[&str]) -> Self {
        if self.is_alive() {
            self.kill9();
        }
        let arguments = settings.iter().flat_map(|setting| ["--set", setting]).map(str::to_owned);
        Self::launch(self.data_dir.clone(), arguments.collect())
    }

    /// Whether the process has not ended.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        joined(&self.stderr.0.lock().expect("no holder panics"))
    }

    /// What it logged, once every one of `words` stands in it: lines come through a pipe, some time after what they tell of.
    pub fn log_with(&self, words: &[&str]) -> String {
        let (lines, more) = &*self.stderr;
        let lacks_some = |lines: &mut VecDeque<String>| {
            let log = joined(lines);
            !words.iter().all(|word| log.contains(word))
        };
        let lines = lines.lock().expect("no holder panics");
        let (lines, _) = more.wait_timeout_while(lines, PATIENCE, lacks_some).expect("no holder panics");
        joined(&lines)
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Resident memory, bytes.
    pub fn resident_bytes(&self) -> usize {
        self.status_bytes("VmRSS:")
    }

    /// The most that was ever resident, bytes.
    pub fn peak_resident_bytes(&self) -> usize {
        self.status_bytes("VmHWM:")
    }

    /// Whether the kernel may give it huge pages.
    pub fn takes_huge_pages(&self) -> bool {
        self.status("THP_enabled:") == 1
    }

    fn status_bytes(&self, field: &str) -> usize {
        self.status(field) * 1024
    }

    /// Sizes are in KiB.
    fn status(&self, field: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux has /proc");
        let line = status.lines().find(|line| line.starts_with(field)).expect("a live process has this field");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("it is a number")
    }

    /// Body of `GET path` on the admin port, after its status.
    pub fn admin_get(&self, path: &str) -> (u16, String) {
        self.admin_ask("GET", path)
    }

    /// The same with another method, and nothing in the request's body.
    pub fn admin_ask(&self, method: &str, path: &str) -> (u16, String) {
        self.admin_ask_with(method, path, "")
    }

    /// The same with more headers, each with its end of line.
    pub fn admin_ask_with(&self, method: &str, path: &str, headers: &str) -> (u16, String) {
        let (head, body) = self.http(method, path, headers);
        (head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("an HTTP status line"), body)
    }

    /// Head and body of `GET path` on the admin port.
    pub fn admin_answer(&self, path: &str) -> (String, String) {
        self.http("GET", path, "")
    }

    /// Status and body of the answer to `path`, asked by the name `host`.
    pub fn admin_ask_by(&self, host: &str, method: &str, path: &str) -> (u16, String) {
        let (head, body) = self.http_by(host, method, path, "");
        (head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("an HTTP status line"), body)
    }

    fn http(&self, method: &str, path: &str, headers: &str) -> (String, String) {
        self.http_by(&self.admin.to_string(), method, path, headers)
    }

    fn http_by(&self, host: &str, method: &str, path: &str, headers: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.admin).expect("the admin port accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n")
            .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the admin port answers in time");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP head");
        (head.to_owned(), body.to_owned())
    }

    /// Value of the first series of `family` on `/metrics` whose labels contain each of `labels`.
    pub fn metric(&self, family: &str, labels: &[&str]) -> Option<f64> {
        let (_, body) = self.admin_get("/metrics");
        let line = body.lines().find(|line| {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            name == family && labels.iter().all(|label| line.contains(label))
        })?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Values of all series of `family` on `/metrics`, together.
    pub fn metric_sum(&self, family: &str) -> f64 {
        let (_, body) = self.admin_get("/metrics");
        let of_family = body.lines().filter(|line| line.split(['{', ' ']).next() == Some(family));
        of_family.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the broker's log:\n{}", self.log());
        }
    }
}

/// Runs the binary with `arguments` to its end, for starts that are refused.
pub fn run(arguments: &[&str]) -> Output {
    let mut child = Command::new(binary())
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the built binary starts");
    let pid = child.id();
    // A start that is not refused would run for ever: its first word on stdout ends it.
    let mut first = [0; 1];
    if child.stdout.as_mut().expect("stdout is piped").read(&mut first).unwrap_or(0) > 0 {
        let _ = child.kill();
        panic!("{arguments:?} was expected to be refused, but process {pid} started");
    }
    child.wait_with_output().expect("a child ends")
}

/// Runs the binary with `arguments`, a command that ends by itself.
pub fn call(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).output().expect("the built binary starts")
}

/// The same with `stdout` to write to.
pub fn call_into(stdout: impl Into<Stdio>, arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).stdout(stdout).output().expect("the built binary starts")
}

/// The same with `input` on stdin.
pub fn call_with_input(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(binary())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the built binary starts");
    // A command that fails early reads nothing, which is for the caller to judge.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("a child ends")
}

/// Runs the binary to its end, with these variables.
pub fn output(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(binary()).args(arguments).envs(variables.iter().copied()).output().expect("the built binary starts")
}

fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_einmal"))
}
