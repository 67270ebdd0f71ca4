//! Flags to settings, settings to the broker; errors to one sentence and an exit code.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, CommandFactory, Parser, Subcommand};
use einmal::app::probe::{self, Unhealthy};
use einmal::app::{self, Build, Failure, Manner};
use einmal::cli::output::put;
use einmal::client::admin;
use einmal::config::listeners::machine_name;
use einmal::config::load::{Sources, load};
use einmal::config::{document, show};
use einmal::telemetry::output;

// A decoder may reserve what a hostile count asks for: with this allocator that stays a reservation of address space.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `make` sets both variables; a build by Cargo alone does not know them.
const BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    revision: match option_env!("BUILD_REVISION") {
        Some(revision) => revision,
        None => "unknown",
    },
    rustc: match option_env!("BUILD_RUSTC") {
        Some(rustc) => rustc,
        None => "unknown",
    },
};

/// A Kafka broker that stores what is sent again only once.
#[derive(Parser)]
#[command(name = "einmal", version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    start: Start,
}

#[derive(Subcommand)]
enum Command {
    /// Start the broker (the default command)
    Start(Start),
    /// Settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask a broker whether it serves
    #[command(after_help = HEALTH_CODES)]
    Health {
        /// Where it listens, or several with commas, of which one must serve; else EINMAL_BOOTSTRAP, else localhost:9092
        #[arg(long, visible_alias = "bootstrap", value_name = "HOST:PORT,...")]
        bootstrap_server: Option<String>,
        /// Ask an einmal's admin port whether it is ready to serve, and say what it waits for
        #[arg(long)]
        ready: bool,
        /// Where the admin port is; else EINMAL_ADMIN, else localhost:9644
        #[arg(long, value_name = "HOST:PORT", requires = "ready")]
        admin: Option<String>,
        /// Fail also where it is ready to be read from and cannot take records, as its disk is nearly full
        #[arg(long, requires = "ready")]
        strict: bool,
    },
    /// Walk the way of a client, from name to transaction, and say which setting to change: of einmal or any Kafka
    Doctor(einmal::cli::doctor::Options),
    /// Look for damage in the data directory of a broker that is not running
    Verify(einmal::verify::Options),
    /// Write the lines of stdin to a topic of a cluster, einmal or any Kafka
    #[command(after_help = einmal::cli::produce::EXAMPLES)]
    Produce(einmal::cli::produce::Options),
    /// Print the records of topics of a cluster, einmal or any Kafka
    #[command(after_help = einmal::cli::consume::EXAMPLES)]
    Consume(einmal::cli::consume::Options),
    /// Topics of a cluster, einmal or any Kafka: create, list, describe, alter, trim, delete
    #[command(subcommand)]
    Topic(einmal::cli::topic::Command),
    /// Groups of a cluster, einmal or any Kafka: list, describe, lag, reset, delete
    #[command(subcommand)]
    Group(einmal::cli::group::Command),
    /// Transactions of a cluster, einmal or any Kafka: list, describe, abort, find those that hang
    #[command(subcommand)]
    Txn(einmal::cli::txn::Command),
    /// Message ids that an einmal remembers (message.dedup.mode), from its admin port: how many, and where one lies
    #[command(subcommand)]
    Dedup(einmal::cli::dedup::Command),
    /// Measure a broker, einmal or any Kafka
    #[command(subcommand)]
    Bench(Box<einmal::bench::Command>),
    /// Print ids that nobody had before, one a line: for headers of messages, for keys of rows
    Id {
        /// How many
        #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(einmal::engine::ISSUED_IDS_MAX)))]
        count: u32,
        /// uuid: UUIDv7, made here; int64: numbers that rise with time, from a broker's admin port
        #[arg(long, value_enum, default_value_t)]
        format: IdFormat,
        /// Where the admin port is; else EINMAL_ADMIN, else localhost:9644
        #[arg(long, value_name = "HOST:PORT")]
        admin: Option<String>,
    },
    /// Print what makes a shell complete this command line: source <(einmal completion bash)
    Completion {
        /// Which shell
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print version and build
    Version,
}

/// Text under the help of `einmal health`.
const HEALTH_CODES: &str = "\
Exit code 0: it serves. With --ready also while its disk is nearly full, which stderr tells: it refuses records then, and consumers and \
those who delete must still come to it; --strict makes this 1.
Exit code 1: it does not serve, or is not ready (it starts, stops, or cannot write); stderr tells why.";

#[derive(Subcommand)]
enum ConfigCommand {
    /// Of a cluster, einmal or any Kafka
    #[command(flatten)]
    Cluster(einmal::cli::config::Command),
    /// Print all settings as Markdown
    Docs,
    /// Print the settings that a start with the same options would have
    Show {
        /// Say where each comes from
        #[arg(long)]
        origin: bool,
        /// Defaults, too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        start: Start,
    },
    /// Exit code 0 if a start with the same options would take its settings, 2 if not
    Check(Start),
}

#[derive(Args)]
struct Start {
    /// Properties file with Kafka's names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory (log.dirs)
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// For tests: a data directory among the system's temporary files (TMPDIR) that a clean stop removes; also --dev
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
    /// Where clients connect: host:port or NAME://host:port, several with commas (listeners)
    #[arg(long, value_name = "LISTENERS")]
    listen: Option<String>,
    /// What clients are told to connect to, in the same form (advertised.listeners)
    #[arg(long, value_name = "LISTENERS")]
    advertise: Option<String>,
    /// Any setting, as often as needed
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    set: Vec<(String, String)>,
    /// For development: page-cache durability, and replication factors taken as 1 (einmal.profile=dev)
    #[arg(long)]
    dev: bool,
    /// Start in spite of settings that are unknown or cannot be honoured
    #[arg(long)]
    allow_unknown_config: bool,
    /// Stand in for Kafka's images: unknown settings are left out, the image's file is read if there is one, and the lines that test
    /// modules wait for are printed
    #[arg(long)]
    from_kafka_env: bool,
}

impl Start {
    /// Settings of the image, where it is one and nothing else is given.
    fn file_of_image(&self) -> Option<PathBuf> {
        let path = PathBuf::from("/etc/einmal/server.properties");
        (self.from_kafka_env && path.exists()).then_some(path)
    }

    fn sources(&self) -> Sources {
        let named = [
            ("einmal.profile", self.dev.then(|| "dev".to_owned())),
            ("log.dirs", self.data_dir.clone()),
            ("listeners", self.listen.as_deref().map(listeners)),
            ("advertised.listeners", self.advertise.as_deref().map(listeners)),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Sources {
            file: self.config.clone().or_else(|| self.file_of_image()),
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            flags: named.chain(self.set.clone()).collect(),
            allow_unknown: self.allow_unknown_config || self.from_kafka_env,
            ephemeral: self.ephemeral.then(|| std::env::temp_dir().join(format!("einmal-{}", uuid::Uuid::now_v7()))),
            host_name: machine_name(),
            again: false,
        }
    }
}

/// What identifies something that is to happen once.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum IdFormat {
    #[default]
    Uuid,
    Int64,
}

/// To stdout.
fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    put(text.as_ref()).map(drop).map_err(Failure::Output)
}

/// The same, line by line, until nobody reads any more.
fn print_lines(lines: impl Iterator<Item = impl std::fmt::Display>) -> Result<(), Failure> {
    /// How much is written at once.
    const CHUNK_BYTES: usize = 64 << 10;
    let write = || -> io::Result<()> {
        let mut chunk = Vec::new();
        for line in lines {
            writeln!(chunk, "{line}")?;
            if chunk.len() >= CHUNK_BYTES {
                if !put(&chunk)? {
                    return Ok(());
                }
                chunk.clear();
            }
        }
        put(&chunk).map(drop)
    };
    write().map_err(Failure::Output)
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE, e.g. num.partitions=3")?;
    match name.trim() {
        "" => Err("the name before = is missing: write it as NAME=VALUE, e.g. num.partitions=3".to_owned()),
        name => Ok((name.to_owned(), value.to_owned())),
    }
}

/// The form of the setting: addresses without a name are PLAINTEXT.
fn listeners(text: &str) -> String {
    let named = text
        .split(',')
        .map(str::trim)
        .map(|listener| if listener.contains("://") { listener.to_owned() } else { format!("PLAINTEXT://{listener}") });
    named.collect::<Vec<_>>().join(",")
}

fn main() -> ExitCode {
    let CommandLine { command, start } = CommandLine::parse();
    let result = match command {
        None => run(start),
        Some(Command::Start(start)) => run(start),
        Some(Command::Health { ready: true, admin, strict, .. }) => ready(admin.as_deref(), strict),
        Some(Command::Health { bootstrap_server: bootstrap, .. }) => {
            let bootstrap = einmal::client::bootstrap(bootstrap.as_deref());
            probe::probe(&bootstrap).map_err(Failure::from).and_then(|()| print(format!("{bootstrap} serves\n")))
        }
        Some(Command::Config(ConfigCommand::Docs)) => print(document::markdown()),
        Some(Command::Doctor(options)) => return verdict(einmal::cli::doctor::run(&options)),
        Some(Command::Config(ConfigCommand::Cluster(command))) => return told(einmal::cli::config::run(&command)),
        Some(Command::Verify(options)) => return verify(&options),
        Some(Command::Produce(options)) => return told(einmal::cli::produce::run(&options)),
        Some(Command::Consume(options)) => return told(einmal::cli::consume::run(&options)),
        Some(Command::Id { count, format: IdFormat::Uuid, .. }) => {
            print_lines((0..count).map(|_| uuid::Uuid::now_v7()))
        }
        Some(Command::Id { count, format: IdFormat::Int64, admin }) => {
            let first = probe::issue_ids(&admin::address(admin.as_deref()), count).map_err(Failure::from);
            first.and_then(|first| print_lines(first..first + i64::from(count)))
        }
        Some(Command::Completion { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), "einmal", &mut script);
            print(script)
        }
        Some(Command::Topic(command)) => return told(einmal::cli::topic::run(&command)),
        Some(Command::Group(command)) => return told(einmal::cli::group::run(&command)),
        Some(Command::Txn(command)) => return told(einmal::cli::txn::run(&command)),
        Some(Command::Dedup(command)) => return told(einmal::cli::dedup::run(&command)),
        Some(Command::Config(ConfigCommand::Show { origin, all, start })) => {
            load(&start.sources()).map_err(Failure::from).and_then(|loaded| {
                let shown = show::settings(&loaded.config, all, origin);
                if shown.is_empty() {
                    eprintln!("einmal: no setting is given, all have their defaults (--all shows them)");
                }
                print(shown)
            })
        }
        Some(Command::Config(ConfigCommand::Check(start))) => {
            load(&start.sources()).map_err(Failure::from).map(|loaded| {
                loaded.notices.iter().for_each(|notice| eprintln!("einmal: {notice}"));
            })
        }
        Some(Command::Bench(command)) => return bench(&command),
        Some(Command::Version) => {
            let Build { version, revision, rustc } = BUILD;
            print(format!("einmal {version} (revision {revision}, rustc {rustc})\n"))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::say_end(&failure);
            app::end(failure.exit_code())
        }
    }
}

/// Says what the broker cannot do although it is ready; with `is_strict` that is a failure.
fn ready(admin: Option<&str>, is_strict: bool) -> Result<(), Failure> {
    let admin = admin::address(admin);
    let notices = probe::ready(&admin)?.join("; ");
    match notices.is_empty() {
        true => print(format!("{admin} is ready\n")),
        false if is_strict => Err(Unhealthy::Degraded { admin, notices }.into()),
        false => {
            eprintln!("einmal: {admin} is ready in part: {notices}");
            Ok(())
        }
    }
}

fn run(start: Start) -> Result<(), Failure> {
    let sources = start.sources();
    // Without settings there is no level; what went wrong is told in the form of a log all the same.
    let loaded = load(&sources).inspect_err(|_| drop(output::install("info")))?;
    let again = Sources { again: true, ..sources };
    let manner = Manner {
        speaks_as_kafka: start.from_kafka_env,
        is_ephemeral: start.ephemeral,
        reload: Arc::new(move || load(&again)),
    };
    app::run(loaded, BUILD, manner)?;
    app::end(0)
}

/// Exit code 0, or 1 after one sentence on stderr.
fn told(outcome: Result<(), einmal::cli::CliError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("einmal: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Exit code 0 if all is sound, 4 if something is damaged, or that of a start that cannot open the directory.
fn verify(options: &einmal::verify::Options) -> ExitCode {
    const DAMAGE: u8 = 4;
    let code = match einmal::verify::run(options) {
        Ok(true) => 0,
        Ok(false) => DAMAGE,
        Err(error) => {
            eprintln!("einmal: {error}");
            error.exit_code()
        }
    };
    app::end(code)
}

/// Exit code 0 if all is well, 1 if not, or after one sentence on stderr.
fn verdict(outcome: Result<bool, einmal::cli::CliError>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => told(Err(error)),
    }
}

/// Exit code 0 if all went well, 1 if errors were met or something is not as it was sent.
fn bench(command: &einmal::bench::Command) -> ExitCode {
    match einmal::bench::run(command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("einmal: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_told_by_the_flag_that_people_try_first() {
        for flag in ["--version", "-V"] {
            let told = CommandLine::try_parse_from(["einmal", flag]).err().map(|error| error.kind());
            assert_eq!(told, Some(clap::error::ErrorKind::DisplayVersion), "{flag}");
        }
    }
}
