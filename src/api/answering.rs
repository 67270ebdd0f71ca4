//! Makes handlers of typed functions: decodes the request, and encodes the answer once it has been granted its memory.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use kafka_protocol::protocol::{Encodable, Request as TypedRequest};
use tokio::sync::watch;

use super::apis::{response_is_flexible, typed};
use super::fetch_memory::Part;
use super::turns::{Gone, Lane, SHORT_BYTES_MAX, Turn};
use super::{Answer, Broker, Context, Pending, aside};
use crate::wire::{Close, Request, RequestHeader, Segments, message};

/// Answers from this size on are granted memory before they are encoded, and give it back as they are sent.
pub(super) const LARGE_ANSWER_BYTES: usize = 64 << 10;

/// What each byte of a request may become in its answer, as structures: an element of two bytes is answered with its name, a code, a
/// text and the room for each.
const ECHO_MULTIPLE: usize = 128;

/// A request that is decoded on one thread and answered on any.
pub trait Asked: TypedRequest<Response: Send + Sync> + Send + 'static {}

impl<Req: TypedRequest<Response: Send + Sync> + Send + 'static> Asked for Req {}

/// A typed function that answers requests of one kind.
pub trait Handler<Req: Asked>: Send + 'static {
    /// The answer.
    fn answer(
        self,
        cx: Context,
        header: RequestHeader,
        request: Req,
    ) -> impl Future<Output = Result<Req::Response, Close>> + Send + 'static;
}

impl<Req, F, Fut> Handler<Req> for F
where
    Req: Asked,
    F: FnOnce(Context, RequestHeader, Req) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Req::Response, Close>> + Send + 'static,
{
    fn answer(
        self,
        cx: Context,
        header: RequestHeader,
        request: Req,
    ) -> impl Future<Output = Result<Req::Response, Close>> + Send + 'static {
        self(cx, header, request)
    }
}

/// Decodes the body, lets `handler` answer, encodes the answer. The connection's next request waits meanwhile. For requests whose
/// answers are no larger in memory than they are themselves, decoded; for others there is [`turned`].
pub fn serial<Req: Asked>(cx: Context, request: Request, handler: impl Handler<Req>) -> Answer {
    Answer::Serial(pending(cx, request, handler))
}

/// As [`serial`], for what changes nothing and is not worth its work once the client has gone.
pub fn cancellable<Req: Asked>(cx: Context, request: Request, handler: impl Handler<Req>) -> Answer {
    Answer::Cancellable(pending(cx, request, handler))
}

/// The same for what may wait for long ([`Answer::LongPoll`]).
pub fn long_poll<Req: Asked>(cx: Context, request: Request, handler: impl Handler<Req>) -> Answer {
    Answer::LongPoll(pending(cx, request, handler))
}

/// As [`serial`], for requests whose answers may be much larger than they are: waits for a turn in `lane` if one would be. Beside what
/// the request's length says, an answer is expected to take what `expected` tells, as structures, bytes.
pub fn turned<Req: Asked>(
    cx: Context,
    request: Request,
    lane: Lane,
    expected: fn(&Context, &RequestHeader, &Req) -> usize,
    handler: impl Handler<Req>,
) -> Answer {
    turned_as(cx, request, lane, expected, handler, |_, frame| frame)
}

/// As [`turned`], for requests of administrators whose answers hang on nothing but what they name.
pub fn echoed<Req: Asked>(cx: Context, request: Request, handler: impl Handler<Req>) -> Answer {
    turned(cx, request, Lane::Admin, |_, _, _| 0, handler)
}

/// As [`echoed`], for what changes something.
pub fn changing<Req: Asked>(cx: Context, request: Request, handler: impl Handler<Req>) -> Answer {
    turned(cx, request, Lane::Changes, |_, _, _| 0, handler)
}

/// As [`turned`], with the frame of the answer put into its last form by `finish`.
pub fn turned_as<Req: Asked>(
    cx: Context,
    request: Request,
    lane: Lane,
    expected: fn(&Context, &RequestHeader, &Req) -> usize,
    handler: impl Handler<Req>,
    finish: fn(&RequestHeader, Segments) -> Segments,
) -> Answer {
    let gone = Gone::default();
    let told = gone.clone();
    let pending = async move {
        let (broker, mut stopping) = (Arc::clone(&cx.broker), cx.stopping.clone());
        let echoed_bytes = request.body.len().saturating_mul(ECHO_MULTIPLE);
        // Where its length alone says so, before it is decoded.
        let early = match echoed_bytes > SHORT_BYTES_MAX {
            true => match turn(&broker, lane, echoed_bytes, given_up(&mut stopping, &told)).await? {
                None => return Ok(None),
                early => early,
            },
            false => None,
        };
        let (header, typed) = if early.is_some() { aside(|| typed(request)) } else { typed(request) }?;
        let turn = match early {
            Some(early) => Some(early),
            None => {
                let expected_bytes = echoed_bytes.saturating_add(expected(&cx, &header, &typed));
                turn(&broker, lane, expected_bytes, given_up(&mut stopping, &told)).await?
            }
        };
        let Some(turn) = turn else { return Ok(None) };
        let answering = async {
            let answer = handler.answer(cx, header.clone(), typed).await?;
            encoded(&broker, &header, answer, lane.part(), finish, given_up(&mut stopping, &told)).await
        };
        if !turn.is_long() {
            return answering.await;
        }
        // As many as there are long turns may be at work, and others have threads all the same.
        let mut answering = pin!(answering);
        poll_fn(|task| aside(|| answering.as_mut().poll(task))).await
    };
    Answer::Turned(Box::pin(pending), gone)
}

fn pending<Req: Asked>(cx: Context, request: Request, handler: impl Handler<Req>) -> Pending {
    Box::pin(async move {
        let (header, typed) = typed(request)?;
        let (broker, mut stopping) = (Arc::clone(&cx.broker), cx.stopping.clone());
        let answer = handler.answer(cx, header.clone(), typed).await?;
        encoded(&broker, &header, answer, Part::Clients, |_, frame| frame, stopped(&mut stopping)).await
    })
}

/// Why a request ends without an answer where it waits: none if nobody is there any more to take it, and then the connection goes on
/// with what its client sent behind it before it went.
type GivenUp = Option<Close>;

async fn stopped(stopping: &mut watch::Receiver<bool>) -> GivenUp {
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
    Some(Close::Ending)
}

/// Resolves once nobody needs an answer any more.
async fn given_up(stopping: &mut watch::Receiver<bool>, gone: &Gone) -> GivenUp {
    tokio::select! {
        why = stopped(stopping) => why,
        () = gone.told() => None,
    }
}

/// What `waiting` brings, or none or an error if the request is given up before.
async fn unless<T>(
    given_up: impl Future<Output = GivenUp>,
    waiting: impl Future<Output = T>,
) -> Result<Option<T>, Close> {
    tokio::select! {
        biased;
        brought = waiting => Ok(Some(brought)),
        why = given_up => why.map_or(Ok(None), Err),
    }
}

/// A turn, unless the request is given up before.
async fn turn(
    broker: &Broker,
    lane: Lane,
    expected_bytes: usize,
    given_up: impl Future<Output = GivenUp>,
) -> Result<Option<Turn>, Close> {
    unless(given_up, broker.turns.turn(lane, expected_bytes)).await
}

/// The frame of `answer`, with memory if it is large; none if it is given up before it has any. A request of a few bytes may ask for very
/// many, over and over, on connections that read none of them.
async fn encoded<M: Encodable>(
    broker: &Broker,
    header: &RequestHeader,
    answer: M,
    part: Part,
    finish: fn(&RequestHeader, Segments) -> Segments,
    given_up: impl Future<Output = GivenUp>,
) -> Result<Option<Segments>, Close> {
    let body_bytes = message::body_bytes(header, &answer)?;
    let encode = || {
        let frame = message::encode_sized(header, response_is_flexible(header), &answer, body_bytes)?;
        Ok(finish(header, frame))
    };
    if body_bytes < LARGE_ANSWER_BYTES {
        return encode().map(Some);
    }
    let granted = unless(given_up, broker.fetch_memory.grant_whole(part, body_bytes)).await?;
    let Some(mut grant) = granted else { return Ok(None) };
    let mut segments = encode()?;
    grant.leave_with(&mut segments);
    Ok(Some(segments))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
    use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
    use kafka_protocol::messages::{DescribeConfigsRequest, FetchRequest, HeartbeatRequest, MetadataRequest};

    use super::*;
    use crate::api::testing::{TestBroker, batch, text, topic_name};
    use crate::api::turns::LONG_TURNS;

    /// Of it 500,000 bytes are for each kind of answers.
    const MEMORY: &str = "4000000";

    /// Asks for the settings of so many topics that there are not.
    fn describe(count: usize) -> DescribeConfigsRequest {
        let resource = |index| {
            let name = text(&format!("no-such-topic-{index}"));
            DescribeConfigsResource::default().with_resource_type(2).with_resource_name(name)
        };
        DescribeConfigsRequest::default().with_resources((0..count).map(resource).collect())
    }

    fn long_turn(broker: &TestBroker) -> Option<Turn> {
        broker.cx.broker.turns.turn(Lane::Admin, usize::MAX).now_or_never()
    }

    #[tokio::test]
    async fn large_answers_wait_for_the_memory_of_those_that_nobody_takes() {
        let broker = TestBroker::with_settings(&[("einmal.fetch.memory.bytes", MEMORY)]);
        broker.create_topic("t", 10_000).await;
        let request = MetadataRequest::default().with_topics(None);
        let taken = broker.send(9, &request).await.expect("answered").expect("an answer");
        let bytes: usize = taken.iter().map(|segment| segment.len()).sum();
        assert_eq!(broker.cx.broker.fetch_memory.free_bytes(Part::Clients), 500_000 - bytes);
        assert!(bytes > 250_000, "two do not fit: {bytes}");
        let mut second = broker.send(9, &request);
        assert!(second.as_mut().now_or_never().is_none(), "no memory for it");
        broker.call(4, &HeartbeatRequest::default()).await;
        drop(taken);
        drop(second.await.expect("answered").expect("an answer"));
        assert_eq!(broker.cx.broker.fetch_memory.free_bytes(Part::Clients), 500_000);
    }

    #[tokio::test]
    async fn requests_for_much_wait_for_their_turn_and_those_for_little_do_not() {
        let broker = TestBroker::start();
        let turns: Vec<Turn> = (0..LONG_TURNS).map(|_| long_turn(&broker).expect("free")).collect();
        let mut waiting = broker.send(4, &describe(5_000));
        assert!(waiting.as_mut().now_or_never().is_none());
        for few in [1, 200] {
            assert_eq!(broker.call(4, &describe(few)).await.results.len(), few, "none or a short turn");
        }
        broker.call(9, &MetadataRequest::default().with_topics(None)).await;
        drop(turns);
        drop(waiting.await.expect("answered").expect("an answer"));
    }

    #[tokio::test]
    async fn a_turn_lasts_until_the_answer_has_its_memory_and_no_longer() {
        let broker = TestBroker::with_settings(&[("einmal.fetch.memory.bytes", MEMORY)]);
        let request = describe(5_000);
        let taken = broker.send(4, &request).await.expect("answered").expect("an answer");
        let bytes: usize = taken.iter().map(|segment| segment.len()).sum();
        assert!(bytes > 250_000, "two do not fit: {bytes}");
        let free: Vec<Turn> = (0..100).map_while(|_| long_turn(&broker)).collect();
        assert_eq!(free.len(), LONG_TURNS, "nobody needs to read it");
        drop(free);
        let mut waiting: Vec<_> = (0..LONG_TURNS).map(|_| broker.send(4, &request)).collect();
        for waiting in &mut waiting {
            assert!(waiting.as_mut().now_or_never().is_none(), "no memory for it");
        }
        assert!(long_turn(&broker).is_none());
        waiting.pop();
        assert!(long_turn(&broker).is_some(), "one was given up");
    }

    #[tokio::test]
    async fn who_waits_for_a_turn_or_for_memory_gives_up_when_its_client_has_gone() {
        let broker = TestBroker::with_settings(&[("einmal.fetch.memory.bytes", MEMORY)]);
        let request = describe(5_000);
        let taken = broker.send(4, &request).await.expect("answered").expect("an answer");
        let turns: Vec<Turn> = (1..LONG_TURNS).map(|_| long_turn(&broker).expect("free")).collect();
        // One has the last turn and waits for memory, one for a turn, and the last is told before it begins to.
        let mut asked: Vec<_> = (0..3).map(|_| broker.ask(4, &request)).collect();
        for (index, (pending, gone)) in asked.iter_mut().enumerate().rev() {
            if index == 2 {
                gone.tell();
            } else {
                assert!(pending.as_mut().now_or_never().is_none());
            }
        }
        for (index, (mut pending, gone)) in asked.into_iter().enumerate() {
            if index < 2 {
                gone.tell();
            }
            assert_eq!(pending.as_mut().now_or_never(), Some(Ok(None)), "{index}");
        }
        assert!(long_turn(&broker).is_some());
        drop((taken, turns));
    }

    #[tokio::test]
    async fn a_broker_that_stops_waits_for_no_turn() {
        let broker = TestBroker::start();
        let turns: Vec<Turn> = (0..LONG_TURNS).map(|_| long_turn(&broker).expect("free")).collect();
        let mut waiting = broker.send(4, &describe(5_000));
        assert!(waiting.as_mut().now_or_never().is_none());
        broker.stop();
        assert_eq!(waiting.now_or_never(), Some(Err(Close::Ending)));
        drop(turns);
    }

    #[tokio::test]
    async fn who_does_not_read_settings_keeps_nobody_from_finding_partitions_and_records() {
        let broker = TestBroker::with_settings(&[("einmal.fetch.memory.bytes", MEMORY)]);
        let topic = broker.create_topic("t", 3_000).await;
        broker.append(&topic, 0, batch(1, &["value"])).await;
        let taken = broker.send(4, &describe(5_000)).await.expect("answered").expect("an answer");
        let mut waiting = broker.send(4, &describe(5_000));
        assert!(waiting.as_mut().now_or_never().is_none(), "no memory for it");
        let metadata = broker.send(9, &MetadataRequest::default().with_topics(None)).await.expect("answered");
        let bytes: usize = metadata.expect("an answer").iter().map(|segment| segment.len()).sum();
        assert!(bytes > LARGE_ANSWER_BYTES, "{bytes}");
        let asked = FetchPartition::default().with_partition_max_bytes(1 << 20);
        let asked = FetchTopic::default().with_topic(topic_name("t")).with_partitions(vec![asked]);
        let fetched = broker.call(12, &FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![asked])).await;
        assert!(fetched.responses[0].partitions[0].records.as_ref().is_some_and(|records| !records.is_empty()));
        drop(taken);
        drop(waiting.await);
    }
}
