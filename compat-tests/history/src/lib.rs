//! The rules by which a history is judged: [`check`](mod@check) those of any log, [`group`] those of groups, [`transaction`] those of
//! transactions; [`event`] is what a history is made of. The program reads it from files, tests of the broker hand it over.

pub mod check;
pub mod event;
pub mod group;
pub mod transaction;
