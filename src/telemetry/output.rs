//! The program's own words: one line per event on stderr, text for people, JSON for machines. What they may hold is in `fields`; warnings
//! that repeat are left out (`repetition`).

use std::fmt::Display;
use std::io::IsTerminal;
use std::sync::Arc;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use super::repetition::{Repetition, WINDOW};
use crate::config::loggers::{Levels, Loggers};
use crate::metrics::LOG_MESSAGES_TOTAL;

/// A filter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{origin} has {filter:?} ({detail}): write error, warn, info, debug or trace, or a filter such as info,einmal=debug"
)]
pub struct InvalidFilter {
    origin: &'static str,
    filter: String,
    detail: String,
}

/// Lets through what `level` says from here on, or still what `RUST_LOG` does where that is set; levels of single loggers stay.
///
/// # Errors
/// `level` cannot be read; nothing is changed.
pub fn replace(loggers: &Loggers, level: &str) -> Result<(), InvalidFilter> {
    let (text, _) = chosen(level)?;
    loggers.replace(|levels| Ok(levels.over(&text)))
}

/// The filter that counts, as text and read.
fn chosen(level: &str) -> Result<(String, EnvFilter), InvalidFilter> {
    let (origin, text) = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => ("RUST_LOG", text),
        _ => ("einmal.log.level", level.to_owned()),
    };
    let read = filter(origin, text.clone())?;
    Ok((text, read))
}

/// Sends events to stderr from here on: those that `RUST_LOG` lets through, or else `level` (`einmal.log.level`). Answers also who knows
/// what was left out.
pub fn install(level: &str) -> Result<(Arc<Loggers>, Repetition), InvalidFilter> {
    let (text, read) = chosen(level)?;
    let (filter, handle) = reload::Layer::new(read);
    let repetition = Repetition::default();
    let registry = tracing_subscriber::registry().with(filter).with(repetition.clone()).with(Counted);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Fails only where a subscriber exists: then a test has set up its own.
    let _ = if std::io::stderr().is_terminal() {
        registry.with(lines).try_init()
    } else {
        registry.with(lines.json().flatten_event(true)).try_init()
    };
    let loggers = Loggers::new(Levels::of(&text), move |levels| put_in_force(&handle, levels));
    Ok((Arc::new(loggers), repetition))
}

/// Says why the process ends: as all else that it has said where that are lines for machines, else as a sentence for people.
pub fn say_end(why: &impl Display) {
    // Before the log was begun, and where it takes no errors, nobody else would say it.
    if !std::io::stderr().is_terminal() && tracing::enabled!(Level::ERROR) {
        tracing::error!(error = %why, "ended");
    } else {
        eprintln!("einmal: {why}");
    }
}

/// Tells of warnings that were left out, for ever.
pub async fn tell_left_out(repetition: Repetition) {
    let mut interval = tokio::time::interval(WINDOW);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        say_left_out(&repetition);
    }
}

/// Tells of those that were left out since this was last done.
pub fn say_left_out(repetition: &Repetition) {
    for (repeated, lines) in repetition.drain() {
        tracing::warn!(repeated, lines, "a warning that repeats was left out");
    }
}

/// Lets through what `levels` say.
fn put_in_force(handle: &reload::Handle<EnvFilter, Registry>, levels: &Levels) {
    // Names and levels are those of a table, over a filter that was read before.
    let Ok(filter) = EnvFilter::try_new(levels.filter()) else { return };
    // Fails only where another subscriber has taken the place of ours: in a test.
    let _ = handle.reload(filter);
}

/// `EnvFilter` takes a word that is no level as the name of a module, and then everything else is silent, errors too.
fn filter(origin: &'static str, text: String) -> Result<EnvFilter, InvalidFilter> {
    let is_clear = |part: &&str| {
        part.contains(['=', '['])
            || part.starts_with("einmal")
            || part.is_empty()
            || part.parse::<LevelFilter>().is_ok()
    };
    if let Some(part) = text.split(',').map(str::trim).find(|part| !is_clear(part)) {
        let detail = format!("{part} is no level");
        return Err(InvalidFilter { origin, filter: text, detail });
    }
    EnvFilter::try_new(&text).map_err(|error| InvalidFilter { origin, filter: text, detail: error.to_string() })
}

/// Counts what is said, by level.
struct Counted;

impl<S: Subscriber> Layer<S> for Counted {
    // Asked of the outermost layer first, so that also what `Repetition` then leaves out is counted: rules on errors must not go blind.
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        metrics::counter!(LOG_MESSAGES_TOTAL, "level" => level_name(*event.metadata().level())).increment(1);
        true
    }
}

/// Label of a level.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn warnings_that_are_left_out_are_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let subscriber = tracing_subscriber::registry().with(Repetition::default()).with(Counted);
        metrics::with_local_recorder(&recorder, || {
            tracing::subscriber::with_default(subscriber, || (0..30).for_each(|_| tracing::warn!("the same mistake")));
        });
        let text = recorder.handle().render();
        assert!(text.contains("einmal_log_messages_total{level=\"warn\"} 30"), "{text}");
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_instead_of_silencing_everything() {
        for text in ["loud", "warning", "fatal", "info,noisy", "einmal=loud"] {
            let refused = filter("einmal.log.level", text.to_owned()).expect_err(text);
            assert!(refused.to_string().contains("write error, warn"), "{refused}");
        }
        for text in ["info", "WARN", "off", "info,einmal=debug", "einmal::server=trace,warn", "einmal", "hyper=info"] {
            filter("einmal.log.level", text.to_owned()).expect(text);
        }
    }
}
