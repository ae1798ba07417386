//! A session behind a WebSocket, spoken to by an independent client over a pipe in memory.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::task::coop;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::pipe_link::PipeLink;
use super::websocket::{Config, WebSocket};
use crate::clock::Clock;
use crate::session::link::{CloseReason, Link, LinkError};
use crate::session::{self, Deadline, Event, GroupId, Priority};
use crate::wire::frame::Frame;

type Client = WebSocketStream<DuplexStream>;

/// A link and its client, with `buffer` bytes between them each way.
async fn connected(buffer: usize) -> (PipeLink<WebSocket<DuplexStream>>, Client) {
    let (ours, theirs) = duplex(buffer);
    let socket = WebSocket::new(ours, &Config::default(), &[]);
    let client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
    (PipeLink::new(socket, session::Config::default(), Clock), client)
}

fn message(payload: Vec<u8>) -> session::Message {
    session::Message {
        payload: payload.into(),
        group: GroupId(0),
        needs_previous: false,
        deadline: Deadline::default(),
    }
}

async fn receive(client: &mut Client) -> Frame {
    loop {
        let message = client.next().await.expect("open").expect("well-formed");
        if let Message::Binary(bytes) = message {
            return Frame::decode(bytes).unwrap().unwrap();
        }
    }
}

async fn send(client: &mut Client, frame: Frame) {
    client.send(Message::Binary(frame.encode().to_bytes())).await.unwrap();
}

/// What the client is told when the link is closed.
async fn goodbye(link: PipeLink<WebSocket<DuplexStream>>, client: &mut Client, reason: CloseReason) -> CloseCode {
    let reading = async {
        while let Some(Ok(message)) = client.next().await {
            if let Message::Close(Some(frame)) = message {
                return frame.code;
            }
        }
        panic!("closed without a goodbye");
    };
    tokio::join!(link.close(reason), reading).1
}

#[tokio::test]
async fn what_the_client_sends_becomes_events() {
    let (mut link, mut client) = connected(1 << 16).await;
    send(&mut client, Frame::Open { flow: 3, answers: None, metadata: "TC".into() }).await;
    send(&mut client, Frame::Data { flow: 3, last: true, payload: "hello".into() }).await;
    let Event::Opened { flow, metadata, .. } = link.next().await.unwrap() else { panic!("opened") };
    assert_eq!(metadata, "TC");
    link.flows().accept(flow, 1 << 20);
    assert_eq!(link.next().await.unwrap(), Event::Message { flow, payload: "hello".into() });
}

#[tokio::test]
async fn a_large_message_arrives_whole_through_a_narrow_pipe() {
    let (mut link, mut client) = connected(1000).await;
    let flow = link.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
    let payload: Vec<u8> = (0..50_000_u32).map(|i| i as u8).collect();
    link.flows().write(flow, message(payload.clone())).unwrap();
    let reading = async {
        let mut received = Vec::new();
        loop {
            match receive(&mut client).await {
                Frame::Data { last, payload, .. } => {
                    received.extend_from_slice(&payload);
                    if last {
                        return received;
                    }
                }
                Frame::Open { .. } | Frame::AckWindow(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    };
    tokio::select! {
        received = reading => assert_eq!(received, payload),
        event = link.next() => panic!("unexpected {event:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_stalled_client_has_not_taken_stays_with_the_session() {
    let (mut link, _client) = connected(1000).await;
    let flow = link.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
    for _ in 0..60 {
        link.flows().write(flow, message(vec![0; 1000])).unwrap();
    }
    timeout(Duration::from_secs(1), link.next()).await.expect_err("nothing comes");
    let left = link.flows().queued();
    assert!((20_000..60_000).contains(&left), "{left}");
}

#[tokio::test]
async fn pings_are_answered_and_text_is_ignored() {
    let (mut link, mut client) = connected(1 << 16).await;
    client.send(Message::text("hello?")).await.unwrap();
    client.send(Message::Ping("probe".into())).await.unwrap();
    tokio::select! {
        answer = client.next() => assert_eq!(answer.unwrap().unwrap(), Message::Pong("probe".into())),
        event = link.next() => panic!("unexpected {event:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_that_answers_pings_is_kept() {
    let (mut link, mut client) = connected(1 << 16).await;
    let answering = async { while client.next().await.is_some() {} };
    tokio::select! {
        () = answering => panic!("closed"),
        event = link.next() => panic!("unexpected {event:?}"),
        () = tokio::time::sleep(Duration::from_secs(600)) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_gone_without_a_word_is_given_up() {
    let (mut link, _client) = connected(1 << 16).await;
    let since = tokio::time::Instant::now();
    assert!(matches!(link.next().await, Err(LinkError::TimedOut)));
    assert_eq!(since.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_client_silent_after_a_flood_is_given_up() {
    let (mut link, _client) = connected(1 << 16).await;
    let given_up = async {
        // The flood takes all of its task's turn: tokio's own futures are not ready again before the next.
        while coop::has_budget_remaining() {
            coop::consume_budget().await;
        }
        link.next().await
    };
    let since = tokio::time::Instant::now();
    // Its end would wake the link as well, but late.
    let given_up = timeout(Duration::from_secs(600), given_up).await;
    assert!(matches!(given_up, Ok(Err(LinkError::TimedOut))), "{given_up:?}");
    assert_eq!(since.elapsed().as_secs(), 60);
}

#[tokio::test]
async fn a_clients_close_is_answered_and_ends_the_link() {
    let (mut link, mut client) = connected(1 << 16).await;
    client.close(None).await.unwrap();
    assert!(matches!(link.next().await, Err(LinkError::Closed)));
    assert!(matches!(client.next().await, Some(Ok(Message::Close(_)))));
}

#[tokio::test]
async fn a_socket_that_ends_ends_the_link() {
    let (mut link, client) = connected(1 << 16).await;
    drop(client);
    assert!(matches!(link.next().await, Err(LinkError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_carries_its_reason_behind_what_was_queued() {
    let (mut link, mut client) = connected(1 << 16).await;
    let flow = link.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
    link.flows().write(flow, message(b"last words".to_vec())).unwrap();
    let reading = async {
        let mut binary = 0;
        while let Some(Ok(message)) = client.next().await {
            match message {
                Message::Close(Some(frame)) => return (frame.code, binary),
                Message::Binary(_) => binary += 1,
                other => panic!("unexpected {other:?}"),
            }
        }
        panic!("closed without a goodbye");
    };
    let ((), (code, binary)) = tokio::join!(link.close(CloseReason::GoingAway), reading);
    assert_eq!((code, binary), (CloseCode::Away, 3), "open, data and the acknowledgement window");
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_told() {
    let (mut link, mut client) = connected(1 << 16).await;
    send(&mut client, Frame::Close { flow: 9 }).await;
    let Err(LinkError::Misbehaved(what)) = link.next().await else { panic!("refused") };
    assert_eq!(what, "close for flow 9, which is not open");
    assert_eq!(goodbye(link, &mut client, CloseReason::Misbehaved).await, CloseCode::Protocol);
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_before_it_has_come() {
    let (mut link, mut client) = connected(1 << 16).await;
    // A masked binary frame that claims 1 GiB.
    let header = [0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4];
    client.get_mut().write_all(&header).await.unwrap();
    assert!(matches!(link.next().await, Err(LinkError::Misbehaved(_))));
    assert_eq!(goodbye(link, &mut client, CloseReason::Misbehaved).await, CloseCode::Protocol);
}

#[tokio::test]
async fn the_goodbye_of_a_client_that_pings_and_does_not_read_is_not_lost() {
    let (mut link, mut client) = connected(1 << 16).await;
    // Masked with zeros.
    let ping = [&[0x89, 0xfd, 0, 0, 0, 0][..], &[b'!'; 125]].concat();
    let flood = async { while client.get_mut().write_all(&ping).await.is_ok() {} };
    tokio::select! {
        () = flood => panic!("let go"),
        event = link.next() => panic!("unexpected {event:?}"),
        () = async { for _ in 0..1000 { tokio::task::yield_now().await } } => {}
    }
    assert_eq!(goodbye(link, &mut client, CloseReason::GoingAway).await, CloseCode::Away);
}

#[tokio::test]
async fn bytes_read_behind_the_handshake_are_not_lost() {
    let (ours, _theirs) = duplex(1000);
    let masked_open = [0x82, 0x82, 0, 0, 0, 0, 0x10, 0x07];
    let socket = WebSocket::new(ours, &Config::default(), &masked_open);
    let mut link = PipeLink::new(socket, session::Config::default(), Clock);
    assert!(matches!(link.next().await, Ok(Event::Opened { .. })));
}

#[tokio::test]
async fn next_can_be_cancelled_anywhere() {
    let (mut link, mut client) = connected(64).await;
    let flow = link.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
    link.flows().write(flow, message(vec![7; 5000])).unwrap();
    let mut received = 0;
    while received < 5000 {
        tokio::select! {
            biased;
            frame = receive(&mut client) => if let Frame::Data { payload, .. } = frame {
                received += payload.len();
            },
            event = async { tokio::select! { biased; event = link.next() => Some(event), () = tokio::task::yield_now() => None } } => {
                assert!(event.is_none());
            }
        }
    }
    assert_eq!(received, 5000);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_is_due_to_a_client_that_does_not_read_costs_no_time() {
    let (mut link, mut client) = connected(1000).await;
    send(&mut client, Frame::Open { flow: 0, answers: None, metadata: Bytes::new() }).await;
    let Event::Opened { flow, .. } = link.next().await.unwrap() else { panic!("opened") };
    link.flows().accept(flow, 1 << 20);
    // The first acknowledgement goes out and is never read, and what fills the pipe behind it neither.
    let ours = link.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
    link.flows().write(ours, message(vec![0; 5000])).unwrap();
    timeout(Duration::from_millis(10), link.next()).await.expect_err("nothing comes");
    send(&mut client, Frame::Data { flow: 0, last: true, payload: "hello".into() }).await;
    assert!(matches!(link.next().await, Ok(Event::Message { .. })));
    let mut polls = 0;
    let mut next = std::pin::pin!(link.next());
    let counted = std::future::poll_fn(|context| {
        polls += 1;
        assert!(polls < 10, "it spins");
        next.as_mut().poll(context)
    });
    timeout(Duration::from_secs(10), counted).await.expect_err("nothing comes");
}
