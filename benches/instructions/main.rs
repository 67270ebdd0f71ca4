//! The hot paths of Produce and Fetch over fixed inputs, for callgrind to count their instructions; `scripts/instructions` runs
//! it and compares.
//!
//! Three parts are counted: the connection (frame, header, decoding, checks, planning, encoding), the engine's writer (decision and
//! staging of one group, on whichever thread) and its syncer (publication and answers). Callgrind counts inside three
//! functions only, `measured_*` here and two of the engine's, from [`begin_counting`] to [`end_counting`]. All are found by their
//! names, so that the program itself knows nothing of valgrind.
//!
//! Nothing counted depends on the clock, on chance or on how threads are scheduled: the engine's environment and store are
//! replaced, its sync waits until the connection waits, and its groups hold one command each. What is left are the seeds of the
//! standard hash maps, far below one part in a hundred.

mod broker;
mod requests;
mod store;

use std::hint::black_box;

use broker::{BenchBroker, Connection};

// As in the broker itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Times that a path is taken before it is counted: caches of the code's own are warm then.
const WARM_UP: usize = 3;
/// Times that it is counted.
const TIMES: usize = 20;

/// What is counted: a name, and what is done once.
type Path = (&'static str, Box<dyn FnMut(&mut Connection)>);

fn paths(connection: &mut Connection) -> Vec<Path> {
    let one = connection.create_topic("one", 1);
    let many = connection.create_topic("many", 100);
    let produce_one = requests::produce(&one, 1, 16, 1024);
    let produce_many = requests::produce(&many, 100, 1, 1024);
    let idempotent = connection.create_topic("idempotent", 1);
    let mut sequence = 0;
    let ids = connection.create_topic_with("ids", 1, &[("message.dedup.mode", "window")]);
    let ids_off = connection.create_topic("ids-off", 1);
    let (mut with_ids, mut without) = (0, 0);
    let fetch_one = requests::fetch(&one, 1, 0, -1, 1 << 20);
    let fetch_committed = requests::fetch_committed(&one, 1 << 20);
    let mut epoch = 0;
    vec![
        // One batch of 16 records of 1 KiB.
        ("produce_one", Box::new(move |connection| connection.produce(produce_one.clone()))),
        // The same of an idempotent producer.
        (
            "produce_idempotent",
            Box::new(move |connection| {
                connection.produce(requests::produce_idempotent(&idempotent, sequence));
                sequence += requests::RECORDS;
            }),
        ),
        // A hundred records of 200 bytes with a message id each.
        (
            "produce_ids",
            Box::new(move |connection| {
                connection.produce(requests::produce_ids(&ids, with_ids));
                with_ids += 1;
            }),
        ),
        // The same to a topic that does not look at them.
        (
            "produce_ids_off",
            Box::new(move |connection| {
                connection.produce(requests::produce_ids(&ids_off, without));
                without += 1;
            }),
        ),
        // A hundred batches of one record each, to as many partitions.
        ("produce_many", Box::new(move |connection| connection.produce(produce_many.clone()))),
        // All batches of one partition up to 1 MiB.
        ("fetch_one", Box::new(move |connection| drop(connection.fetch(fetch_one.clone())))),
        // A session of a hundred partitions of which ten have something new.
        (
            "fetch_session",
            Box::new(move |connection| {
                let session_id = connection.session_id;
                let request = match epoch {
                    0 => requests::fetch_session_begin(&many, 100, 10),
                    _ => requests::fetch(&many, 10, session_id, epoch, 4096),
                };
                let answer = connection.fetch(request);
                connection.session_id = requests::session_id(&answer);
                epoch += 1;
            }),
        ),
        // As fetch_one, by a reader of committed records: nothing is open or aborted, so it should cost the same.
        ("fetch_committed", Box::new(move |connection| drop(connection.fetch(fetch_committed.clone())))),
    ]
}

fn main() {
    if std::env::args().any(|argument| argument == "--build") {
        println!("{}", if cfg!(debug_assertions) { "checked" } else { "release" });
        return;
    }
    let broker = BenchBroker::start();
    let mut connection = broker.connect();
    for (name, mut path) in paths(&mut connection) {
        for _ in 0..WARM_UP {
            path(&mut connection);
        }
        begin_counting();
        for _ in 0..TIMES {
            path(&mut connection);
        }
        end_counting();
        // The order of callgrind's dumps.
        println!("{name} {TIMES}");
    }
}

/// Callgrind sets its counts to zero here. Different from [`end_counting`], lest the compiler make one function of both.
#[inline(never)]
fn begin_counting() {
    black_box("begin");
}

/// Callgrind writes its counts out here.
#[inline(never)]
fn end_counting() {
    black_box("end");
}
