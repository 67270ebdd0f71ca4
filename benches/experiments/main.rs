//! What decides the shape of the store, measured on the store alone: `bench/experiments.py` runs this program once for each
//! measurement, so that none inherits another's memory, and writes the page.
//!
//! `experiments KIND NAME=VALUE ...` prints one JSON object. Kinds: `write`, `sync`, `fill`, `crash`, `open`, `batch`, `slices`; see the
//! modules for what they take.

mod batch;
mod load;
mod meter;
mod slices;
mod start;
mod sync;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

// As in the broker itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Any error ends the measurement, and its text is all that is wanted of it.
pub type Outcome<T = Value> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The words `NAME=VALUE` of the command line.
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    fn of(words: impl Iterator<Item = String>) -> Outcome<Self> {
        let pair = |word: String| match word.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(format!("{word} is not NAME=VALUE")),
        };
        Ok(Self(words.map(pair).collect::<Result<_, _>>()?))
    }

    /// The number called `name`, or `default`.
    pub fn number(&self, name: &str, default: u64) -> Outcome<u64> {
        let number = self.0.get(name).map(|text| text.parse().map_err(|_| format!("{name}={text} is not a number")));
        Ok(number.transpose()?.unwrap_or(default))
    }

    /// The text called `name`, or nothing.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The data directory.
    pub fn dir(&self) -> Outcome<PathBuf> {
        match self.text("dir") {
            "" => Err("dir= is missing".into()),
            dir => Ok(PathBuf::from(dir)),
        }
    }
}

fn main() -> Outcome<()> {
    // Cargo adds `--bench`.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let kind = words.next().unwrap_or_default();
    let parameters = Parameters::of(words)?;
    let measured = match kind.as_str() {
        "write" => write::measure(&parameters)?,
        "sync" => sync::measure(&parameters)?,
        "fill" => start::fill(&parameters)?,
        "crash" => start::crash(&parameters)?,
        "open" => start::open(&parameters)?,
        "batch" => batch::measure(&parameters)?,
        "slices" => slices::measure(&parameters)?,
        "build" => json!({ "optimised": !cfg!(debug_assertions) }),
        other => return Err(format!("no experiment is called '{other}'").into()),
    };
    println!("{measured}");
    Ok(())
}
