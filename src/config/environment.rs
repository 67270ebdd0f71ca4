//! Settings from environment variables, mapped as the official Kafka image maps them.
//!
//! `KAFKA_LOG_RETENTION_MS` is `log.retention.ms`: lower case, one underscore is a dot, two are an underscore, three a hyphen.
//! `KAFKA_CFG_*` is read alike. `EINMAL_*` gives einmal's own settings without their prefix, and Kafka's.

use super::Origin;
use super::table;

/// A setting from the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The variable, for people.
    pub variable: String,
    /// The setting it stands for; perhaps unknown.
    pub name: String,
    /// Its value.
    pub text: String,
    /// [`Origin::KafkaEnvironment`] or [`Origin::Environment`].
    pub origin: Origin,
}

/// Variables that images set for their own scripts, the Java machine or tools, and that are no settings.
const NO_SETTINGS: &[&str] = &[
    "KAFKA_CLASSPATH",
    "KAFKA_CONF_DIR",
    "KAFKA_CONFIG",
    "KAFKA_DEBUG",
    "KAFKA_ENABLE_KRAFT",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_GROUP",
    "KAFKA_HEAP_OPTS",
    "KAFKA_HOME",
    "KAFKA_MODE",
    "KAFKA_OPTS",
    "KAFKA_PORT_NUMBER",
    "KAFKA_URL",
    "KAFKA_USER",
    "KAFKA_VERSION",
    "EINMAL_ADMIN",
    "EINMAL_BOOTSTRAP",
];

/// As [`NO_SETTINGS`], by their beginning.
const NO_SETTINGS_PREFIXES: &[&str] = &["KAFKA_JMX_", "KAFKA_JVM_", "KAFKA_LOG4J", "KAFKA_DEBUG_", "KAFKA_OPTS_"];

/// The settings in `variables`, others left out.
pub fn settings(variables: impl IntoIterator<Item = (String, String)>) -> Vec<Variable> {
    variables.into_iter().filter_map(|(variable, text)| setting(variable, text)).collect()
}

fn setting(variable: String, text: String) -> Option<Variable> {
    let found = |name: String, origin| Some(Variable { variable: variable.clone(), name, text: text.clone(), origin });
    if variable == "CLUSTER_ID" || variable == "KAFKA_CLUSTER_ID" {
        return found("cluster.id".to_owned(), Origin::KafkaEnvironment);
    }
    if variable == "EINMAL_DATA_DIR" {
        return found("log.dirs".to_owned(), Origin::Environment);
    }
    let is_none = NO_SETTINGS.contains(&variable.as_str())
        || NO_SETTINGS_PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
        || is_service_link(&variable);
    if is_none {
        None
    } else if let Some(rest) = variable.strip_prefix("KAFKA_CFG_").or_else(|| variable.strip_prefix("KAFKA_")) {
        found(mapped(rest), Origin::KafkaEnvironment)
    } else {
        let name = mapped(variable.strip_prefix("EINMAL_")?);
        let own = format!("einmal.{name}");
        let is_kafkas = table::broker(&own).is_none() && table::broker(&name).is_some();
        found(if is_kafkas { name } else { own }, Origin::Environment)
    }
}

/// Kubernetes and Docker announce a service called kafka to every container by variables such as `KAFKA_PORT` and
/// `KAFKA_PORT_9092_TCP`: a broker that took them for settings would not start beside it.
fn is_service_link(variable: &str) -> bool {
    let Some(rest) = variable.strip_prefix("KAFKA_").or_else(|| variable.strip_prefix("EINMAL_")) else { return false };
    let has = |part: &str| rest == &part[1..] || rest.contains(&format!("{part}_")) || rest.ends_with(part);
    has("_SERVICE_HOST")
        || has("_SERVICE_PORT")
        || rest == "PORT"
        || rest.starts_with("PORT_")
        || rest.contains("_PORT_")
}

/// Underscores as the official image reads them; of longer runs each three are a hyphen.
fn mapped(rest: &str) -> String {
    let mut name = String::with_capacity(rest.len());
    let mut underscores = 0;
    for c in rest.chars().map(Some).chain([None]) {
        if c == Some('_') {
            underscores += 1;
            continue;
        }
        name.extend(std::iter::repeat_n('-', underscores / 3));
        match underscores % 3 {
            1 => name.push('.'),
            2 => name.push('_'),
            _ => {}
        }
        underscores = 0;
        name.extend(c.map(|c| c.to_ascii_lowercase()));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variable: &str, expected: Option<&str>) {
        let found = settings([(variable.to_owned(), "v".to_owned())]);
        assert_eq!(found.first().map(|found| found.name.as_str()), expected, "{variable}");
    }

    #[test]
    fn variables_map_as_in_the_official_image() {
        check("KAFKA_NODE_ID", Some("node.id"));
        check("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", Some("listener.security.protocol.map"));
        check("KAFKA_ONE__TWO___THREE", Some("one_two-three"));
        check("KAFKA_FOUR____MORE", Some("four-.more"));
        check("KAFKA_CFG_LOG_RETENTION_MS", Some("log.retention.ms"));
        check("CLUSTER_ID", Some("cluster.id"));
        check("KAFKA_CLUSTER_ID", Some("cluster.id"));
    }

    #[test]
    fn own_variables_give_own_settings_and_kafkas() {
        check("EINMAL_ADMIN_LISTENER", Some("einmal.admin.listener"));
        check("EINMAL_ADVERTISED_HOST", Some("einmal.advertised.host"));
        check("EINMAL_NUM_PARTITIONS", Some("num.partitions"));
        check("EINMAL_DATA_DIR", Some("log.dirs"));
        check("EINMAL_NO_SUCH", Some("einmal.no.such"));
        check("EINMAL_BOOTSTRAP", None);
        check("EINMAL_ADMIN", None);
    }

    #[test]
    fn variables_that_are_no_settings_are_left_out() {
        for variable in [
            "PATH",
            "KAFKAESQUE",
            "REFERENCE_KAFKA_HOME",
            "KAFKA_HEAP_OPTS",
            "KAFKA_OPTS",
            "KAFKA_JMX_PORT",
            "KAFKA_JVM_PERFORMANCE_OPTS",
            "KAFKA_LOG4J_ROOT_LOGLEVEL",
            "KAFKA_LOG4J2_OPTS",
            "KAFKA_PORT",
            "KAFKA_PORT_9092_TCP_ADDR",
            "KAFKA_SERVICE_HOST",
            "KAFKA_SERVICE_PORT_CLIENT",
            "EINMAL_SERVICE_HOST",
        ] {
            check(variable, None);
        }
    }
}
