use super::*;

#[test]
fn every_limit_is_a_positive_number() {
    let directory = tempfile::tempdir().expect("a directory");
    let each = Duration::from_millis(1);
    let mut limits = memory::limits(each);
    limits.extend(network::limits(each).expect("loopback works"));
    limits.extend(disk::limits(directory.path(), 1 << 20, each).expect("the directory can be written to"));
    for limit in &limits {
        let figures: Vec<_> = limit.fields().into_iter().filter_map(|(_, figure)| figure).collect();
        // CPU time has a resolution on some machines, so that a short loop may take none of it.
        assert!(!figures.is_empty() && figures.iter().all(|figure| figure.is_finite() && *figure >= 0.0), "{limit:?}");
    }
    let left = std::fs::read_dir(directory.path()).expect("listed").count();
    assert_eq!(left, 0, "files are left behind");
}

#[test]
fn figures_that_do_not_apply_are_left_out() {
    let copied = Limit { name: "copied".to_owned(), gb_per_s: Some(8.0), ..Limit::default() };
    let synced = Limit { name: "synced".to_owned(), p50_us: Some(120.5), p99_us: Some(900.0), ..Limit::default() };
    let expected =
        "{\n \"copied\": {\"gb_per_s\": 8.0000},\n \"synced\": {\"p50_us\": 120.5000, \"p99_us\": 900.0000}\n}\n";
    assert_eq!(json(&[copied, synced]), expected);
}
