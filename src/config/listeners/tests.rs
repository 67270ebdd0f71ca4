use super::*;

const MAP: &str = "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT";

fn texts<'a>(listeners: &'a str, advertised: Option<&'a str>, protocols: &'a str) -> Texts<'a> {
    Texts { listeners, advertised, advertised_host: None, protocols, controllers: "CONTROLLER" }
}

/// Each listener as `NAME host:port`, with what it advertises after `=>`.
fn show(listeners: &Listeners) -> String {
    let shown = listeners.served.iter().map(|listener| {
        let told = listener.advertised.as_ref().map(|(host, port)| format!(" => {host}:{port}")).unwrap_or_default();
        format!("{} {}:{}{told}", listener.name, listener.host, listener.port)
    });
    shown.collect::<Vec<_>>().join("; ")
}

#[test]
fn listeners_are_served_and_advertised_as_described() {
    for (listeners, advertised, protocols, expected) in [
        ("PLAINTEXT://:9092", None, MAP, "PLAINTEXT :9092"),
        ("plaintext://localhost:0", None, MAP, "PLAINTEXT localhost:0"),
        ("PLAINTEXT://[::1]:9092", None, MAP, "PLAINTEXT ::1:9092"),
        ("A://h:1, B://h:2", None, "A:PLAINTEXT,B:plaintext", "A h:1; B h:2"),
        ("PLAINTEXT://:9092,CONTROLLER://:9093", None, "CONTROLLER:PLAINTEXT", "PLAINTEXT :9092"),
        (
            "PLAINTEXT://h:1",
            Some("PLAINTEXT://kafka.example:9,CONTROLLER://c:1"),
            MAP,
            "PLAINTEXT h:1 => kafka.example:9",
        ),
        ("PLAINTEXT://:1", Some("PLAINTEXT://auto:0"), MAP, "PLAINTEXT :1 => here:0"),
        ("PLAINTEXT://:1", Some("PLAINTEXT://:1"), MAP, "PLAINTEXT :1 => here:1"),
        ("A://h:1,PLAINTEXT://h:2", Some("A://x:3"), "A:PLAINTEXT", "A h:1 => x:3; PLAINTEXT h:2"),
        ("PLAINTEXT://a:1,A://b:1", None, "A:PLAINTEXT", "PLAINTEXT a:1; A b:1"),
    ] {
        let resolved = resolve(&texts(listeners, advertised, protocols), "here", false).expect(listeners);
        assert_eq!(show(&resolved), expected);
    }
}

#[test]
fn what_cannot_be_served_is_refused_with_what_to_do() {
    for (listeners, advertised, protocols, expected) in [
        ("localhost:9092", None, MAP, "listeners has \"localhost:9092\": write it as NAME://host:port"),
        ("PLAINTEXT://h", None, MAP, "listeners has"),
        ("PLAINTEXT://h:99999", None, MAP, "listeners has"),
        ("PLAINTEXT://::1:9092", None, MAP, "listeners has"),
        ("PLAINTEXT://a:1,PLAINTEXT://b:2", None, MAP, "listeners names PLAINTEXT twice"),
        ("PLAINTEXT://a:1,A://a:1", None, "A:PLAINTEXT", "listeners PLAINTEXT and A have the same address a:1"),
        ("A://a:1", None, MAP, "listener A has no protocol: add A:PLAINTEXT to listener.security.protocol.map"),
        ("A://a:1", None, "A:HTTP", "listener A has the unknown protocol HTTP"),
        ("A://a:1", None, "A", "listener.security.protocol.map has \"A\""),
        ("A://a:1", None, "A:SASL_PLAINTEXT", "listener A asks for SASL_PLAINTEXT, which is not served yet"),
        ("SSL://a:1", None, MAP, "listener SSL asks for SSL"),
        ("CONTROLLER://a:1", None, MAP, "listeners leaves nothing to serve"),
        ("", None, MAP, "listeners leaves nothing to serve"),
        ("PLAINTEXT://a:1", Some("OTHER://a:1"), MAP, "advertised.listeners names OTHER, which is not in listeners"),
        ("PLAINTEXT://:1", Some("PLAINTEXT://0.0.0.0:1"), MAP, "advertised.listeners tells clients of PLAINTEXT"),
        ("PLAINTEXT://:1", Some("PLAINTEXT://[::]:1"), MAP, "advertised.listeners tells clients of PLAINTEXT"),
    ] {
        let refused =
            resolve(&texts(listeners, advertised, protocols), "here", false).expect_err(listeners).to_string();
        assert!(refused.starts_with(expected), "{listeners}: {refused}");
    }
}

#[test]
fn unserved_listeners_are_left_out_when_asked() {
    let texts = texts("PLAINTEXT://a:1,SASL://a:3", Some("PLAINTEXT://b:1,SASL://b:3"), "SASL:SASL_PLAINTEXT");
    let resolved = resolve(&texts, "here", true).expect("one is left");
    assert_eq!((show(&resolved).as_str(), resolved.skipped), ("PLAINTEXT a:1 => b:1", vec!["SASL".to_owned()]));
}

#[test]
fn one_host_can_be_advertised_for_all_listeners() {
    let with_host = |host| Texts { advertised_host: Some(host), ..texts("PLAINTEXT://:7", None, MAP) };
    assert_eq!(show(&resolve(&with_host("h"), "here", false).expect("allowed")), "PLAINTEXT :7 => h:7");
    assert_eq!(show(&resolve(&with_host("auto"), "here", false).expect("allowed")), "PLAINTEXT :7 => here:7");
    assert!(resolve(&with_host("0.0.0.0"), "here", false).is_err());
}
