//! The one table of settings: name, kind, default, allowed values, documentation, who may change it.
//!
//! The parts of the table lie in files by subject. DescribeConfigs, the README's table, the environment's mapping and the
//! hints for misspelt names all follow from it. Names are Kafka's where Kafka has one, else they begin with `einmal.`.
//! Pure: nothing here reads a file, the environment or a clock.

mod coordination;
mod logs;
mod meaningless;
mod nearest;
mod server;
mod setting;
#[cfg(test)]
mod tests;
mod topics;

pub use meaningless::is_meaningless;
pub use setting::{InvalidSetting, Kind, Setting, Synonym, Update, Valid, list};
pub use topics::TOPICS;

/// All settings of the broker.
pub fn broker_settings() -> impl Iterator<Item = &'static Setting> {
    server::SERVER.iter().chain(logs::LOGS).chain(coordination::COORDINATION)
}

/// The broker setting of this name.
pub fn broker(name: &str) -> Option<&'static Setting> {
    broker_settings().find(|setting| setting.name == name)
}

/// The topic setting of this name.
pub fn topic(name: &str) -> Option<&'static Setting> {
    TOPICS.iter().find(|setting| setting.name == name)
}

/// The known broker name that `name` most likely stands for, or none if nothing is near.
pub fn nearest_broker(name: &str) -> Option<&'static str> {
    let known = broker_settings().map(|setting| setting.name).chain(meaningless::names().iter().copied());
    nearest::nearest(name, known)
}
