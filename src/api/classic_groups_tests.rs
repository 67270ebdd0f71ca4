//! Requests of classic groups at the edges, one after the other, with the answers that Kafka 4.3.1 gave to the same ones.
//!
//! A line is `api version group words -> answer`. Words: `id=` names a member by the name under which `as=` has learned its id, or
//! takes the text as it is; `i=` is the instance id, `gen=` the generation, `of=` protocol type and name, `count=` of how many protocols; what else there is are
//! members (`id/instance`), partitions (`t0`) or groups. An answer is codes, then what the version tells besides.
//!
//! Where einmal answers something else on purpose, the line says so.

#[path = "classic_groups_tests/script.rs"]
mod script;

use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;

use super::testing::{TestBroker, text, topic_name};
use script::Script;

#[tokio::test]
async fn groups_without_an_id() {
    Script::run(
        r#"
        join     0-6 .                       -> 24 gen=-1 ""
        join     7-9 .                       -> 24 gen=-1 null
        sync     0-4 . id=m gen=1            -> 24
        sync     5   . id=m gen=1            -> 23
        beat     0-4 . id=m gen=1            -> 24
        leave    0-2 . id=m                  -> 24
        leave    3-5 . m                     -> 24:
        commit   2-8 . id=m gen=1 t0         -> 22
        commit   9   . id=m gen=1 t0         -> 69
        # Old tools commit so.
        commit   2-9 . t0                    -> 0
        commit   2-9 . id=m gen=1 t0         -> 25
        fetch    1-7 . t0                    -> t0=7
        fetch    8-9 .                       -> t0=7
        describe 0-6 .                       -> 0 Empty
        odelete  0   . t0                    -> 24:  of 0
        delete   0   .                       -> 0
        delete   1-2 .                       -> 69
        "#,
    )
    .await;
}

#[tokio::test]
async fn groups_that_nobody_knows() {
    Script::run(
        r#"
        join     0-6 g id=m                  -> 25 gen=-1 ""
        join     7-9 g id=m                  -> 25 gen=-1 null
        join     5   g id=m i=i              -> 25 gen=-1 ""
        sync     3   g id=m gen=1            -> 25
        sync     5   g id=m gen=1 of=consumer/range -> 25
        beat     4   g id=m gen=1            -> 25
        beat     4   g                       -> 25
        leave    2   g id=m                  -> 25
        leave    3-5 g m ./i .               -> 0: 25 25 25
        leave    5   g                       -> 0:
        commit   2-8 g id=m gen=1 t0 nope0   -> 22 3
        commit   9   g id=m gen=1 t0         -> 69
        commit   9   g gen=0 t0              -> 69
        commit   9   g nope0 t9              -> 3 3
        describe 0-5 g                       -> 0 Dead
        describe 3-5 g operations=1          -> 0 Dead with operations
        describe 6   g operations=1          -> 69 Dead
        odelete  0   g t0                    -> 69:  of 0
        # Kafka answers a group that is named again again.
        delete   0-2 g g h                   -> 69 69
        # Without a generation it is a group from now on, whoever it says to be.
        commit   7   g id=m t0               -> 0
        describe 6   g                       -> 0 Empty
        join     3   g id=m                  -> 25 gen=-1 ""
        commit   2-9 g gen=0 t0              -> 25
        beat     3   g id=m gen=0            -> 25
        sync     3   g id=m gen=0            -> 25
        leave    3   g m                     -> 0: 25
        "#,
    )
    .await;
}

#[tokio::test]
async fn members_that_have_been_given_an_id() {
    for version in [4, 5, 9] {
        let null = if version >= 7 { "null" } else { "\"\"" };
        Script::run(&format!(
            "
            join     {version} g as=a        -> 79 gen=-1 {null} new id
            beat     3 g id=a                -> 25
            beat     3 g id=a gen=0          -> 25
            sync     3 g id=a gen=0          -> 25
            commit   7 g id=a gen=0 t0       -> 25
            # It keeps nobody from deleting the group.
            describe 6 g                     -> 0 Empty
            leave    3 g a a                 -> 0: 0 25
            join     {version} g id=a        -> 25 gen=-1 {null}
            join     {version} g as=b        -> 79 gen=-1 {null} new id
            join     {version} g id=b        -> 0 gen=1 \"range\" leads 1
            join     {version} g id=b        -> 0 gen=1 \"range\" leads 1
            join     {version} g of=connect/c -> 23 gen=-1 {null}
            "
        ))
        .await;
    }
    Script::run(
        r#"
        join     5 g as=a                    -> 79 gen=-1 "" new id
        join     5 g id=a i=i                -> 25 gen=-1 ""
        join     5 g id=a                    -> 0 gen=1 "range" leads 1
        join     3 h                         -> 0 gen=1 "range" leads 1
        "#,
    )
    .await;
}

#[tokio::test]
async fn newer_instances_fence_older_ones() {
    Script::run(
        r#"
        join     5 g i=i as=a                -> 0 gen=1 "range" leads 1
        sync     3 g id=a i=i gen=1 part=p   -> 0 p
        # A leader that an older client is goes on as a follower; it must not assign.
        join     5 g i=i as=b                -> 0 gen=1 "range" follows 0
        sync     3 g id=b i=i gen=1          -> 0 p
        beat     3 g id=a i=i gen=1          -> 82
        beat     3 g id=a gen=1              -> 25
        sync     3 g id=a i=i gen=1          -> 82
        commit   7 g id=a i=i gen=1 t0       -> 82
        commit   7 g id=a i=i gen=0 t0       -> 82
        join     5 g id=a i=i                -> 82 gen=-1 ""
        leave    3 g a/i                     -> 0: 82
        beat     3 g id=b i=j gen=1          -> 25
        join     5 g id=b i=j                -> 25 gen=-1 ""
        sync     3 g id=b i=j gen=1          -> 25
        commit   7 g id=b i=j gen=1 t0       -> 25
        leave    3 g b/j ./j                 -> 0: 25 25
        beat     3 g i=i gen=1               -> 82
        commit   7 g i=i t0                  -> 82
        commit   7 g i=i gen=1 t0            -> 82
        beat     3 g id=b gen=1              -> 0
        commit   7 g id=b gen=1 t0           -> 0
        join     9 g i=i as=c                -> 0 gen=1 "range" leads 1 skip
        sync     4 g id=c i=i gen=1          -> 0 p
        join     9 g i=i of=consumer/other   -> 23 gen=-1 null
        leave    3 g ./i                     -> 0: 0
        leave    3 g ./i                     -> 0: 25
        describe 6 g                         -> 0 Empty
        "#,
    )
    .await;
}

#[tokio::test]
async fn protocols_that_do_not_fit() {
    Script::run(
        r#"
        join     3 g of=consumer/            -> 23 gen=-1 ""
        join     9 g of=consumer/            -> 23 gen=-1 null
        join     3 g of=/range               -> 23 gen=-1 ""
        join     3 g session=5999            -> 26 gen=-1 ""
        join     3 g session=-1              -> 26 gen=-1 ""
        join     3 g session=1800001         -> 26 gen=-1 ""
        # Kafka keeps an empty group of each of these.
        describe 6 g                         -> 69 Dead
        join     3 g as=a                    -> 0 gen=1 "range" leads 1
        join     3 g of=connect/c            -> 23 gen=-1 ""
        join     3 g of=consumer/other       -> 23 gen=-1 ""
        join     3 g id=a of=connect/c       -> 23 gen=-1 ""
        join     3 g id=a session=1          -> 26 gen=-1 ""
        # Kafka has no limit.
        join     3 g id=a count=257          -> 23 gen=-1 ""
        join     3 h count=257               -> 23 gen=-1 ""
        join     3 h count=256               -> 0 gen=1 "range" leads 1
        sync     5 g id=a gen=1              -> 23
        sync     5 g id=a gen=1 of=/range    -> 23
        sync     5 g id=a gen=1 of=connect/range  -> 23
        sync     5 g id=a gen=1 of=consumer/other -> 23
        sync     5 g id=a gen=4 of=consumer/other -> 22
        sync     5 g id=a gen=1 part=p of=consumer/range -> 0 p
        # Only the first assignment of a generation counts.
        sync     5 g id=a gen=1 part=q of=consumer/range -> 0 p
        "#,
    )
    .await;
}

#[tokio::test]
async fn one_member_from_join_to_deletion() {
    Script::run(
        r#"
        join     3 g as=a                    -> 0 gen=1 "range" leads 1
        describe 5 g                         -> 0 CompletingRebalance []
        beat     3 g id=a gen=0              -> 22
        beat     3 g id=a gen=2              -> 22
        commit   7 g id=a gen=1 t0           -> 27
        commit   7 g id=a gen=0 t0           -> 22
        commit   7 g t0                      -> 25
        commit   7 g id=a t0                 -> 22
        sync     3 g id=x gen=1              -> 25
        sync     3 g id=a gen=0              -> 22
        delete   2 g                         -> 68
        odelete  0 g t0 u0                   -> 0: 86 0 of 2
        sync     3 g id=a gen=1 part=p       -> 0 p
        describe 5 g                         -> 0 Stable [p]
        commit   7 g id=a gen=1 t0 u1        -> 0 0
        commit   2-9 g id=a gen=0 t0 nope0   -> 22 3
        commit   2-9 g id=x gen=1 t0         -> 25
        commit   7 g id=x t0                 -> 25
        commit   7 g t0                      -> 25
        odelete  0 g t0 t9 u0 u1 nope0       -> 0: 86 3 0 0 3 of 5
        fetch    7 g t0 u1                   -> t0=7 u1=-1
        delete   2 g h                       -> 68 69
        leave    1 g id=a                    -> 0
        describe 5 g                         -> 0 Empty
        beat     3 g id=a gen=2              -> 25
        sync     3 g id=a gen=2              -> 25
        join     3 g id=a                    -> 25 gen=-1 ""
        commit   7 g id=a gen=2 t0           -> 25
        commit   7 g t0                      -> 0
        commit   7 g id=x t1                 -> 0
        commit   7 g gen=0 t0                -> 25
        commit   7 g i=i t0                  -> 0
        leave    3 g a                       -> 0: 25
        odelete  0 g t0                      -> 0: 0 of 1
        odelete  0 g                         -> 0:  of 0
        odelete  0 g nothing-of=u            -> 0:  of 0
        # Who comes first says of which type the group is.
        join     3 g of=connect/c as=b       -> 0 gen=3 "c" leads 1
        sync     3 g id=b gen=3 part=q       -> 0 q
        odelete  0 g u0                      -> 68:  of 0
        leave    3 g b                       -> 0: 0
        fetch    9 g id=b gen=3              -> t1=7
        delete   2 g                         -> 0
        fetch    2-9 g                       ->
        describe 6 g                         -> 69 Dead
        "#,
    )
    .await;
}

#[tokio::test]
async fn members_leave_together_and_each_is_answered() {
    Script::run(
        r#"
        join     5 g i=i as=a                -> 0 gen=1 "range" leads 1
        sync     3 g id=a i=i gen=1          -> 0
        leave    3-5 g                       -> 0:
        leave    5 g x . ./j a/j x/i         -> 0: 25 25 25 25 82
        # A static member also leaves by its id.
        leave    3 g a                       -> 0: 0
        describe 5 g                         -> 0 Empty
        join     5 g i=i as=b                -> 0 gen=3 "range" leads 1
        leave    1 g id=b                    -> 0
        join     5 g i=i as=c                -> 0 gen=5 "range" leads 1
        leave    5 g ./i ./i                 -> 0: 0 25
        "#,
    )
    .await;
}

#[tokio::test]
async fn ids_that_nobody_comes_back_with_are_forgotten_after_their_session() {
    let settings = [("group.min.session.timeout.ms", "1")];
    let script = &mut Script::over(TestBroker::with_settings(&settings));
    assert!(script.line("join 4 g session=1").await.starts_with("79"));
    script.is_gone("g").await;
    assert_eq!(script.broker.cx.broker.coordinator.list(), []);
}

#[tokio::test]
async fn groups_that_nobody_uses_are_forgotten_and_no_others() {
    let settings = [("offsets.retention.check.interval.ms", "1")];
    let script = &mut Script::over(TestBroker::with_settings(&settings));
    script.broker.create_topic("t", 1).await;
    // One has offsets, one somebody who has just been given an id.
    assert_eq!(script.line("commit 7 offsets t0").await, "0");
    assert!(script.line("join 3 offsets as=o").await.starts_with("0 gen=1"));
    assert_eq!(script.line("leave 3 offsets o").await, "0: 0");
    assert!(script.line("join 4 pending as=p").await.starts_with("79"));
    assert!(script.line("join 3 unused as=u").await.starts_with("0 gen=1"));
    assert_eq!(script.line("leave 3 unused u").await, "0: 0");
    script.is_gone("unused").await;
    assert_eq!(script.line("describe 6 offsets").await, "0 Empty");
    assert!(script.line("join 4 pending id=p").await.starts_with("0 gen=1"));
}

#[tokio::test]
async fn members_beyond_the_memory_for_them_are_refused() {
    let settings = [("einmal.group.members.bytes.max", "4000")];
    let script = &mut Script::over(TestBroker::with_settings(&settings));
    assert_eq!(script.line("join 3 g as=a").await, r#"0 gen=1 "range" leads 1"#);
    let long = "x".repeat(4000);
    // A name, an instance, an assignment: whatever it is that would be kept.
    assert_eq!(script.line(&format!("join 5 h of=consumer/{long}")).await, r#"81 gen=-1 """#);
    assert_eq!(script.line(&format!("join 5 h i={long}")).await, r#"81 gen=-1 """#);
    assert_eq!(script.line("describe 6 h").await, "69 Dead");
    assert_eq!(script.line(&format!("sync 3 g id=a gen=1 part={long}")).await, "-1");
    assert_eq!(script.line("sync 3 g id=a gen=1 part=p").await, "0 p");
    // What is there goes on.
    assert_eq!(script.line("beat 3 g id=a gen=1").await, "0");
    assert_eq!(script.line("join 3 g id=a").await, r#"0 gen=2 "range" leads 1"#);
}

/// Told by what is said of a group that cannot be upgraded: what is wrong with the request stands before what is wrong with its members.
#[tokio::test]
async fn members_of_the_new_protocol_are_refused_before_a_group_is_upgraded_for_them() {
    let script = &mut Script::over(TestBroker::start());
    let join = |member: &str| {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(text("g").into())
            .with_member_id(text(member))
            .with_rebalance_timeout_ms(60_000)
            .with_subscribed_topic_names(Some(vec![topic_name("t")]))
            .with_topic_partitions(Some(Vec::new()))
    };
    assert_eq!(script.line("join 5 g i=i as=a").await, r#"0 gen=1 "range" leads 1"#);
    assert_eq!(script.line("sync 3 g id=a i=i gen=1 part=unreadable").await, "0 unreadable");
    let unclosed = join("m").with_subscribed_topic_regex(Some(text("(")));
    let names = (0..40).map(|at| topic_name(&format!("{at}{}", "x".repeat(30_000))));
    let large = join("m").with_subscribed_topic_names(Some(names.collect()));
    for (request, error) in [(&join("m"), 69), (&unclosed, 128), (&large, 42)] {
        assert_eq!(script.broker.call(1, request).await.error_code, error);
    }
    let full = &mut Script::over(TestBroker::with_settings(&[("group.consumer.max.size", "1")]));
    assert_eq!(full.line("join 5 g i=i as=a").await, r#"0 gen=1 "range" leads 1"#);
    assert_eq!(full.line("sync 3 g id=a i=i gen=1 part=unreadable").await, "0 unreadable");
    let returning = join("m").with_instance_id(Some(text("i")));
    for (request, error) in [(&join("m"), 81), (&returning, 69), (&join(&full.ids["a"]), 69)] {
        assert_eq!(full.broker.call(1, request).await.error_code, error);
    }
}
