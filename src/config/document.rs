//! The settings page: the table of settings as Markdown.

use std::fmt::Write as _;

use super::table::{self, Setting, Update, Valid};

/// Everything that the broker acts on, and below it what it accepts without effect.
pub fn markdown() -> String {
    let mut page = String::new();
    let mut broker: Vec<&Setting> = table::broker_settings().collect();
    broker.sort_by_key(|setting| (!setting.name.starts_with("einmal."), setting.name));
    section(&mut page, "Broker", &broker);
    section(&mut page, "Topic", &table::TOPICS.iter().collect::<Vec<_>>());
    section(&mut page, "Group", &table::GROUPS.iter().collect::<Vec<_>>());
    section(&mut page, "Client metrics", &table::CLIENT_METRICS.iter().collect::<Vec<_>>());
    page
}

fn section(page: &mut String, what: &str, settings: &[&Setting]) {
    let (honoured, accepted): (Vec<&Setting>, Vec<&Setting>) = settings.iter().partition(|setting| setting.honoured);
    // Writing to a String cannot fail.
    let _ = writeln!(page, "### {what} settings\n");
    if !honoured.is_empty() {
        let _ = writeln!(page, "| Name | Default | Values | What it does |\n|---|---|---|---|");
    }
    for setting in &honoured {
        let _ = writeln!(page, "{}", row(setting));
    }
    let names: Vec<String> = accepted.iter().map(|setting| format!("`{}`", setting.name)).collect();
    let gap = if honoured.is_empty() { "" } else { "\n" };
    let _ = writeln!(page, "{gap}Accepted and shown, without effect: {}.\n", names.join(", "));
}

fn row(setting: &Setting) -> String {
    let default = match setting.default {
        None => "–".to_owned(),
        Some("") => "empty".to_owned(),
        Some(text) => format!("`{text}`"),
    };
    let kind = setting.kind.name().to_lowercase();
    let values = if setting.valid == Valid::Any { kind } else { format!("{kind} {}", setting.valid) };
    let dynamic = if setting.update == Update::ClusterWide { " Dynamic." } else { "" };
    format!("| `{}` | {default} | {values} | {}{dynamic} |", setting.name, setting.documentation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_honoured_setting_has_one_row_of_four_cells() {
        let page = markdown();
        for setting in table::broker_settings().chain(table::TOPICS).filter(|setting| setting.honoured) {
            let row =
                page.lines().find(|line| line.starts_with(&format!("| `{}` |", setting.name))).expect(setting.name);
            assert_eq!(row.matches(" | ").count(), 3, "{row}");
        }
    }
}
