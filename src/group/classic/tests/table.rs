use super::harness::*;
use crate::group::classic::*;

fn shown(answer: Option<ErrorCode>) -> String {
    answer.map_or("parked".to_owned(), |error| error.0.to_string())
}

/// What a request of the table is answered: a code, or that it waits.
fn request(group: &mut TestGroup, request: &str) -> String {
    let generation = group.group.generation_id();
    match request {
        "join-new" => {
            let ticket = group.join(join_of("", "c"));
            shown(group.join_error(ticket))
        }
        "join-new-v4" => {
            let ticket = group.join(JoinRequest { requires_known_member_id: true, ..join_of("", "c") });
            shown(group.join_error(ticket))
        }
        "join-stranger" => {
            let ticket = group.join(join_of("x", ""));
            shown(group.join_error(ticket))
        }
        "join-leader" => {
            let ticket = group.join(join_of("a", ""));
            shown(group.join_error(ticket))
        }
        "join-follower" => {
            let ticket = group.join(join_of("b", ""));
            shown(group.join_error(ticket))
        }
        "join-changed" => {
            let changed = vec![("range".to_owned(), bytes::Bytes::from_static(b"other"))];
            let ticket = group.join(JoinRequest { protocols: changed, ..join_of("b", "") });
            shown(group.join_error(ticket))
        }
        "join-other-type" => {
            let ticket = group.join(JoinRequest { protocol_type: "connect".to_owned(), ..join_of("", "c") });
            shown(group.join_error(ticket))
        }
        "join-no-common" => {
            let other = vec![("sticky".to_owned(), bytes::Bytes::new())];
            let ticket = group.join(JoinRequest { protocols: other, ..join_of("", "c") });
            shown(group.join_error(ticket))
        }
        "join-short-session" => {
            let ticket = group.join(JoinRequest { session_timeout_ms: 5999, ..join_of("", "c") });
            shown(group.join_error(ticket))
        }
        "join-long-session" => {
            let ticket = group.join(JoinRequest { session_timeout_ms: 1_800_001, ..join_of("", "c") });
            shown(group.join_error(ticket))
        }
        "sync-leader" => {
            let ticket = group.sync("a", generation, &[("a", "1")]);
            shown(group.sync_error(ticket))
        }
        "sync-follower" => {
            let ticket = group.sync("b", generation, &[]);
            shown(group.sync_error(ticket))
        }
        "sync-stranger" => {
            let ticket = group.sync("x", generation, &[]);
            shown(group.sync_error(ticket))
        }
        "sync-old" => {
            let ticket = group.sync("b", generation - 1, &[]);
            shown(group.sync_error(ticket))
        }
        "heartbeat" => group.heartbeat("b", generation).0.to_string(),
        "heartbeat-old" => group.heartbeat("b", generation - 1).0.to_string(),
        "heartbeat-stranger" => group.heartbeat("x", generation).0.to_string(),
        "leave" => group.leave("b").0.to_string(),
        "leave-stranger" => group.leave("x").0.to_string(),
        "commit" => group.commit("b", generation).0.to_string(),
        "commit-old" => group.commit("b", generation - 1).0.to_string(),
        "commit-stranger" => group.commit("x", generation).0.to_string(),
        "commit-nobody" => group.commit("", -1).0.to_string(),
        "txn" => transactional(group, "b", generation),
        "txn-old" => transactional(group, "b", generation - 1),
        "txn-stranger" => transactional(group, "x", generation),
        "txn-nobody" => transactional(group, "", -1),
        "delete" => group.group.check_delete().err().map_or(0, |error| error.0).to_string(),
        other => panic!("no request {other}"),
    }
}

fn transactional(group: &TestGroup, member_id: &str, generation_id: i32) -> String {
    let committer = Committer { member_id, instance_id: None, generation_id };
    group.group.check_transactional_commit(committer).err().map_or(0, |error| error.0).to_string()
}

fn check(table: &str) {
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let [name, state, expected, after] =
            line.split_whitespace().collect::<Vec<_>>().try_into().expect("four columns");
        let mut group = TestGroup::in_state(state);
        assert_eq!(request(&mut group, name), expected, "{line}");
        let after = match after {
            "Preparing" => State::PreparingRebalance,
            "Completing" => State::CompletingRebalance,
            "Stable" => State::Stable,
            _ => State::Empty,
        };
        assert_eq!(group.group.state(), after, "{line}");
    }
}

#[test]
fn each_request_in_each_state() {
    check(
        "
        join-new            Empty       0       Completing
        join-new            Preparing   parked  Preparing
        join-new            Completing  parked  Preparing
        join-new            Stable      parked  Preparing
        join-new-v4         Empty       79      Empty
        join-new-v4         Preparing   79      Preparing
        join-new-v4         Completing  79      Completing
        join-new-v4         Stable      79      Stable
        join-stranger       Empty       25      Empty
        join-stranger       Preparing   25      Preparing
        join-stranger       Completing  25      Completing
        join-stranger       Stable      25      Stable
        join-leader         Empty       25      Empty
        join-leader         Preparing   0       Completing
        join-leader         Completing  0       Completing
        join-leader         Stable      parked  Preparing
        join-follower       Empty       25      Empty
        join-follower       Preparing   parked  Preparing
        join-follower       Completing  0       Completing
        join-follower       Stable      0       Stable
        join-changed        Preparing   parked  Preparing
        join-changed        Completing  parked  Preparing
        join-changed        Stable      parked  Preparing
        join-other-type     Empty       0       Completing
        join-other-type     Preparing   23      Preparing
        join-other-type     Completing  23      Completing
        join-other-type     Stable      23      Stable
        join-no-common      Empty       0       Completing
        join-no-common      Preparing   23      Preparing
        join-no-common      Completing  23      Completing
        join-no-common      Stable      23      Stable
        join-short-session  Empty       26      Empty
        join-short-session  Stable      26      Stable
        join-long-session   Preparing   26      Preparing
        join-long-session   Completing  26      Completing
        sync-leader         Empty       25      Empty
        sync-leader         Preparing   27      Preparing
        sync-leader         Completing  0       Stable
        sync-leader         Stable      0       Stable
        sync-follower       Empty       25      Empty
        sync-follower       Preparing   27      Preparing
        sync-follower       Completing  parked  Completing
        sync-follower       Stable      0       Stable
        sync-stranger       Preparing   25      Preparing
        sync-stranger       Completing  25      Completing
        sync-stranger       Stable      25      Stable
        sync-old            Preparing   22      Preparing
        sync-old            Completing  22      Completing
        sync-old            Stable      22      Stable
        heartbeat           Empty       25      Empty
        heartbeat           Preparing   27      Preparing
        heartbeat           Completing  0       Completing
        heartbeat           Stable      0       Stable
        heartbeat-old       Preparing   22      Preparing
        heartbeat-old       Completing  22      Completing
        heartbeat-old       Stable      22      Stable
        heartbeat-stranger  Preparing   25      Preparing
        heartbeat-stranger  Completing  25      Completing
        heartbeat-stranger  Stable      25      Stable
        leave               Empty       25      Empty
        leave               Preparing   0       Preparing
        leave               Completing  0       Preparing
        leave               Stable      0       Preparing
        leave-stranger      Preparing   25      Preparing
        leave-stranger      Completing  25      Completing
        leave-stranger      Stable      25      Stable
        commit              Empty       25      Empty
        commit              Preparing   0       Preparing
        commit              Completing  27      Completing
        commit              Stable      0       Stable
        commit-old          Preparing   22      Preparing
        commit-old          Completing  22      Completing
        commit-old          Stable      22      Stable
        commit-stranger     Empty       25      Empty
        commit-stranger     Preparing   25      Preparing
        commit-stranger     Completing  25      Completing
        commit-stranger     Stable      25      Stable
        commit-nobody       Empty       0       Empty
        commit-nobody       Preparing   25      Preparing
        commit-nobody       Completing  25      Completing
        commit-nobody       Stable      25      Stable
        txn                 Empty       25      Empty
        txn                 Preparing   0       Preparing
        txn                 Completing  0       Completing
        txn                 Stable      0       Stable
        txn-old             Preparing   22      Preparing
        txn-old             Completing  22      Completing
        txn-old             Stable      22      Stable
        txn-stranger        Empty       25      Empty
        txn-stranger        Preparing   25      Preparing
        txn-stranger        Completing  25      Completing
        txn-stranger        Stable      25      Stable
        txn-nobody          Empty       0       Empty
        txn-nobody          Preparing   0       Preparing
        txn-nobody          Completing  0       Completing
        txn-nobody          Stable      0       Stable
        delete              Empty       0       Empty
        delete              Preparing   68      Preparing
        delete              Completing  68      Completing
        delete              Stable      68      Stable
    ",
    );
}
