//! What this machine can do at best: memory, checksums, page cache, disk, loopback.
//!
//! A broker's figure means little without the bound beside it. Each limit is one loop of system calls or memory accesses on one
//! thread, with that thread's CPU time beside the wall time: on a shared machine the first stays put while the second does not.
//!
//! Nothing of einmal is measured here but its checksum code.

mod disk;
mod memory;
mod network;
mod stopwatch;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Flags of `einmal bench limits`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Directory on the disk to measure; what is written there is removed again
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Time for each limit, ms
    #[arg(long, value_name = "MS", default_value_t = 400)]
    pub each_ms: u64,
    /// Size of the files, MiB: read cold, they must be larger than what the disk itself caches to say anything
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub file_mib: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// One limit; a figure that does not apply to it is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limit {
    /// Key in the JSON.
    pub name: String,
    /// Throughput, GB/s (10⁹ bytes).
    pub gb_per_s: Option<f64>,
    /// CPU time of the thread, s per GB.
    pub cpu_s_per_gb: Option<f64>,
    /// Operations per second.
    pub per_s: Option<f64>,
    /// CPU time of the thread per operation, µs.
    pub cpu_us: Option<f64>,
    /// Median time of an operation, µs.
    pub p50_us: Option<f64>,
    /// Its 99th percentile, µs.
    pub p99_us: Option<f64>,
}

impl Limit {
    fn fields(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("gb_per_s", self.gb_per_s),
            ("cpu_s_per_gb", self.cpu_s_per_gb),
            ("per_s", self.per_s),
            ("cpu_us", self.cpu_us),
            ("p50_us", self.p50_us),
            ("p99_us", self.p99_us),
        ]
    }
}

/// Measures everything. Answers what is to be printed.
///
/// # Errors
/// The directory cannot be written to, or loopback does not work.
pub fn run(options: &Options) -> io::Result<String> {
    let each = Duration::from_millis(options.each_ms);
    let mut limits = memory::limits(each);
    limits.extend(network::limits(each)?);
    limits.extend(disk::limits(&options.dir, options.file_mib << 20, each)?);
    Ok(if options.json { json(&limits) } else { table(&limits) })
}

/// `{"name": {"gb_per_s": 1.5, …}, …}`, without the figures that do not apply.
fn json(limits: &[Limit]) -> String {
    let lines: Vec<_> = limits
        .iter()
        .map(|limit| {
            let figures: Vec<_> = limit
                .fields()
                .iter()
                .filter_map(|(name, figure)| figure.map(|figure| format!("\"{name}\": {figure:.4}")))
                .collect();
            format!(" \"{}\": {{{}}}", limit.name, figures.join(", "))
        })
        .collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

fn table(limits: &[Limit]) -> String {
    let mut text = format!("{:32}", "");
    for heading in ["GB/s", "CPU-s/GB", "per s", "CPU µs", "p50 µs", "p99 µs"] {
        text += &format!("{heading:>10}");
    }
    text.push('\n');
    for limit in limits {
        text += &format!("{:32}", limit.name.replace('_', " "));
        for (_, figure) in limit.fields() {
            text += &match figure {
                None => format!("{:>10}", ""),
                Some(figure) if figure >= 100.0 => format!("{figure:>10.0}"),
                Some(figure) => format!("{figure:>10.3}"),
            };
        }
        text.push('\n');
    }
    text
}
