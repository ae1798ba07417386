//! Viewers that break RTWebSocket's rules or the conversation's, or keep them and mean harm, are answered or closed by name, cost
//! little memory, and are noticed by nobody else.

use std::time::Duration;

use anyhow::{Result, ensure};
use integration_tests::stage::{Case, Stage, Target, case};
use integration_tests::stranger::websocket::{
    BINARY, call, connect, connected, create_stream, frame, is_closed_for, is_served, message, open_control, play,
    upgraded, upgraded_deaf, with_stream,
};
use integration_tests::stranger::{Amf0Value, Flood, Stranger, app, string};
use tokio::time::{MissedTickBehavior, interval};

const PING: u8 = 0x01;
const ACK_WINDOW: u8 = 0x0a;
const OPEN: u8 = 0x10;
const OPEN_RETURN: u8 = 0x30;
const ABANDON: u8 = 0x1a;
const FLOW_CLOSE: u8 = 0x1c;
const DATA: u8 = 0x1d;
const DATA_MORE: u8 = 0x3d;
const ACK: u8 = 0x5a;
const CLOSE_ACK: u8 = 0x5c;
const EXCEPTION: u8 = 0x5e;

/// Sent after the upgrade; what it is closed for.
fn closed() -> Result<Vec<Case>> {
    let closed = |name, bytes: Vec<u8>, reason: &'static str| {
        case(name, move |target: Target| {
            let bytes = bytes.clone();
            async move {
                let mut stranger = upgraded(&target).await?;
                stranger.send(&bytes).await?;
                is_closed_for(&mut stranger, 1002, reason).await
            }
        })
    };
    let connected = connect()?;
    let after = |opening: &[u8], bytes: &[u8]| [opening, bytes].concat();
    let commanding = |bytes: &[u8]| after(&connected, &message(DATA, &[0], &[&[20, 0, 0, 0, 0][..], bytes].concat()));
    let opens: Vec<u8> = (1..=64).flat_map(|flow| message(OPEN, &[flow], b"TC\x04\0")).collect();
    let endless = message(DATA_MORE, &[0], &[0; 1000]).repeat(300);
    Ok(vec![
        closed("an integer cut short: 1002", frame(BINARY, &[OPEN, 0x80]), "truncated message of type 0x10"),
        closed("data on a flow never opened: 1002", message(DATA, &[9], b"?"), "data for flow 9, which is not open"),
        closed("a close of a flow never opened: 1002", message(FLOW_CLOSE, &[9], &[]), "close for flow 9"),
        closed("abandonment on a flow never opened: 1002", message(ABANDON, &[9], &[]), "abandonment for flow 9"),
        closed("an acknowledgement of no flow: 1002", message(ACK, &[9, 0, 0], &[]), "acknowledgement for flow 9"),
        closed(
            "an acknowledgement of a close of no flow: 1002",
            message(CLOSE_ACK, &[9], &[]),
            "close acknowledgement for",
        ),
        closed("a rejection of no flow: 1002", message(EXCEPTION, &[9, 0], b"no"), "exception for flow 9"),
        closed(
            "an acknowledgement of bytes never sent: 1002",
            after(&connected, &message(ACK, &[0, u64::MAX, 0], &[])),
            "an acknowledgement of bytes never sent on flow 0",
        ),
        closed(
            "a close of ours acknowledged that is open: 1002",
            after(&connected, &message(CLOSE_ACK, &[0], &[])),
            "close acknowledgement for flow 0",
        ),
        closed("a flow number used twice: 1002", open_control().repeat(2), "flow 0 is open already"),
        closed("65 flows: 1002", after(&connected, &opens), "more than 64 flows"),
        closed(
            "fragments of a message without end: 1002",
            after(&connected, &endless),
            "a message of more than 262144",
        ),
        closed(
            "a command before connect: 1002",
            after(&open_control(), &call(0, "createStream", 2, vec![])?),
            "a command before connect",
        ),
        closed(
            "connect twice: 1002",
            after(&connected, &call(0, "connect", 2, vec![app("live")])?),
            "connected already",
        ),
        closed(
            "connect to no application: 1002",
            after(&open_control(), &call(0, "connect", 1, vec![app("")])?),
            "connect names no application",
        ),
        closed("a command that is no AMF0: 1002", commanding(&[0xee; 40]), "viewer lost error=the peer misbehaved"),
        closed("a command cut short: 1002", commanding(b"\x02\0\x50create"), "viewer lost error=the peer misbehaved"),
        closed(
            "AMF0 nested 1000 deep: 1002",
            commanding(&[10, 0, 0, 0, 1].repeat(1000)),
            "viewer lost error=the peer misbehaved",
        ),
        closed(
            "an array that claims 2^32 values: 1002",
            commanding(&[10, 0xff, 0xff, 0xff, 0xff]),
            "viewer lost error=the peer misbehaved",
        ),
        closed(
            "a message without a whole header: 1002",
            after(&connected, &message(DATA, &[0], &[20, 0])),
            "truncated",
        ),
    ])
}

/// Sent after the upgrade; the viewer is served all the same.
fn served() -> Result<Vec<Case>> {
    let served = |name, opening: Vec<u8>, bytes: Vec<u8>| {
        let bytes = [opening, bytes].concat();
        case(name, move |target: Target| {
            let bytes = bytes.clone();
            async move {
                let mut stranger = upgraded(&target).await?;
                stranger.flood_and_read(&bytes, 1).await?;
                stranger.forget();
                is_served(&mut stranger).await
            }
        })
    };
    let nothing = Vec::new;
    let stream = |name: &str, argument| call(1, name, 0, vec![Amf0Value::Null, argument]);
    let unknown: Vec<u8> =
        (0x60..=0xff).flat_map(|kind| message(kind, &[1, 2, 3], b"?")).chain(frame(BINARY, &[])).collect();
    let open_and_close = [message(OPEN, &[5], b"?"), message(FLOW_CLOSE, &[5], &[])].concat();
    let flip = [play("nobody's")?, call(1, "closeStream", 0, vec![Amf0Value::Null])?].concat();
    let pause = [stream("pause", Amf0Value::Boolean(true))?, stream("pause", Amf0Value::Boolean(false))?].concat();
    let video = [stream("receiveVideo", Amf0Value::Boolean(false))?, stream("receiveVideo", Amf0Value::Boolean(true))?]
        .concat();
    Ok(vec![
        served("types nobody knows, and a message of nothing: ignored", nothing(), unknown),
        served(
            "an integer of 60 bytes: read",
            nothing(),
            frame(BINARY, &[&[ACK_WINDOW][..], &[0xff; 60], &[1]].concat()),
        ),
        served("acknowledgement windows of 0 and 2^64 - 1: taken", connect()?, {
            [message(ACK_WINDOW, &[0], &[]), message(ACK_WINDOW, &[u64::MAX], &[])].concat()
        }),
        served(
            "2^64 - 1 messages abandoned, 1000 times: counted",
            connect()?,
            message(ABANDON, &[0, u64::MAX], &[]).repeat(1000),
        ),
        served("an advertised window of 2^64 - 1: taken", connect()?, message(ACK, &[0, 0, u64::MAX], &[])),
        served("flow number 2^64 - 1: rejected as any", connect()?, message(OPEN, &[u64::MAX], b"TC\x04\0")),
        served("a flow that answers none of ours: rejected", connect()?, message(OPEN_RETURN, &[5, 77], b"TC\x04\x01")),
        served("a flow that is not TC: rejected", connect()?, message(OPEN, &[5], b"XX\x04\x01")),
        served("data on a rejected flow: dropped", connect()?, {
            [message(OPEN, &[5], b"XX"), message(DATA, &[5], &[0; 1000]).repeat(1000)].concat()
        }),
        served("10,000 flows opened and closed: each is acknowledged", connect()?, open_and_close.repeat(10_000)),
        served(
            "100,000 empty fragments of one message: put together",
            connect()?,
            message(DATA_MORE, &[0], &[]).repeat(100_000),
        ),
        served("10,000 pings: answered", nothing(), message(PING, &[], b"?").repeat(10_000)),
        served("frames from a viewer: ignored", connect()?, message(DATA, &[0], &[9; 60_000]).repeat(100)),
        served("pause and go on 1000 times", create_stream()?, [play("calm")?, pause.repeat(1000)].concat()),
        served("no video and video 1000 times", create_stream()?, [play("calm")?, video.repeat(1000)].concat()),
        served("a flood of deleteStream: answered", connect()?, {
            call(0, "deleteStream", 0, vec![Amf0Value::Null, Amf0Value::Number(4e9)])?.repeat(1000)
        }),
        case("our media flows rejected: they end, the viewer is served", rejecting),
        case("our control flow rejected: closed with 1000", async |target| {
            let mut stranger = connected(&target).await?;
            stranger.send(&message(EXCEPTION, &[0, 0], &[])).await?;
            is_closed_for(&mut stranger, 1000, "viewer left").await
        }),
        case(
            "play and closeStream 5000 times, nothing acknowledged: closed for what it does not read",
            move |target| {
                let flip = flip.repeat(5000);
                async move {
                    let mut stranger = with_stream(&target).await?;
                    stranger.send(&flip).await?;
                    stranger.is_cut_for("answers are not read").await
                }
            },
        )
        .within_mb(8),
    ])
}

fn conversations() -> Vec<Case> {
    vec![
        case("10,000 streams made: refused from the ninth on, closed for what it does not read", async |target| {
            let mut stranger = connected(&target).await?;
            let flood = call(0, "createStream", 2, vec![Amf0Value::Null])?.repeat(10_000);
            stranger.send(&flood).await?;
            stranger.is_told("Too many streams").await?;
            stranger.is_cut_for("answers are not read").await
        }),
        case("100 streams made and 60 played at once: eight are", async |target| {
            let mut stranger = connected(&target).await?;
            stranger.send(&call(0, "createStream", 2, vec![Amf0Value::Null])?.repeat(100)).await?;
            stranger.is_told("Too many streams").await?;
            // The session takes 64 flows at a time.
            for stream in 1..=60 {
                let open = message(OPEN_RETURN, &[stream, 0], &[&b"TC\x04"[..], &[stream as u8]].concat());
                let play = call(stream, "play", 0, vec![Amf0Value::Null, string("nobody's")])?;
                stranger.send(&open).await?;
                stranger.send(&play).await?;
            }
            for _ in 0..8 {
                stranger.is_told("NetStream.Play.Start").await?;
            }
            is_served(&mut stranger).await
        }),
        case("play of a name that no stream can have: refused", async |target| {
            let mut stranger = with_stream(&target).await?;
            for name in ["", "../calm", "x\r\n\x1b[2J", &"x".repeat(300)] {
                stranger.send(&play(name)?).await?;
                stranger.is_told("NetStream.Play.Failed").await?;
            }
            is_served(&mut stranger).await
        }),
        case("a viewer that never acknowledges: gets what may be in flight, no more", async |target| {
            let mut stranger = with_stream(&target).await?;
            stranger.send(&play("calm")?).await?;
            stranger.is_told("NetStream.Play.Start").await?;
            stranger.forget();
            target.stream_goes_on(90).await?;
            let got = is_served_within(&mut stranger).await?;
            ensure!(got < 100_000, "{got} bytes");
            Ok(())
        }),
        case("a viewer that opens no window: gets no frame once it has said so", async |target| {
            let mut stranger = with_stream(&target).await?;
            stranger.send(&play("calm")?).await?;
            stranger.is_told("NetStream.Play.Start").await?;
            let closed: Vec<u8> = (0..5).flat_map(|flow| message(ACK, &[flow, 0, 0], &[])).collect();
            stranger.is_told(b"TC\x04\x01").await?;
            stranger.send(&closed[..message(ACK, &[0, 0, 0], &[]).len() * 2]).await?;
            target.stream_goes_on(90).await?;
            let got = is_served_within(&mut stranger).await?;
            ensure!(got < 300_000, "{got} bytes");
            Ok(())
        }),
    ]
}

/// From peers that read nothing.
fn floods() -> Vec<Case> {
    vec![
        case("pings without end, no answer read: read no more, cut", async |target| {
            let mut stranger = upgraded_deaf(&target).await?;
            ensure!(stranger.flood(&message(PING, &[], &[]), 2_000_000).await != Flood::Taken, "it takes them all");
            stranger.is_logged("the peer does not answer").await
        }),
        case("flows opened and closed without end, no answer read: read no more, cut", async |target| {
            let mut stranger = upgraded_deaf(&target).await?;
            let flip = [message(OPEN, &[5], b"?"), message(FLOW_CLOSE, &[5], &[])].concat();
            ensure!(stranger.flood(&flip, 1_000_000).await != Flood::Taken, "it takes them all");
            stranger.is_logged("the peer does not answer").await
        }),
        case("streams made without end, no answer read: cut for it", async |target| {
            let mut stranger = upgraded_deaf(&target).await?;
            stranger.send(&connect()?).await?;
            let create = call(0, "createStream", 2, vec![Amf0Value::Null])?;
            ensure!(stranger.flood(&create, 1_000_000).await != Flood::Taken, "it takes them all");
            stranger.is_logged("answers are not read").await
        }),
    ]
}

fn impatient() -> Vec<Case> {
    vec![
        case("a viewer that reads a byte in 50 ms and says nothing: cut", async |target| {
            let mut stranger = upgraded_deaf(&target).await?;
            stranger.send(&[create_stream()?, play("calm")?].concat()).await?;
            let mut tick = interval(Duration::from_millis(50));
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let address = stranger.address();
            let read = async {
                while stranger.read_one().await?.is_some() {
                    tick.tick().await;
                }
                anyhow::bail!("it was given everything")
            };
            tokio::select! {
                read = read => read,
                said = target.log.says(address, "the peer does not answer") => said,
            }
        }),
        case("200 viewers that play and read nothing: cut", async |target| {
            let mut deaf = Vec::new();
            for _ in 0..200 {
                let mut stranger = upgraded_deaf(&target).await?;
                stranger.send(&[create_stream()?, play("calm")?].concat()).await?;
                deaf.push(stranger);
            }
            for stranger in &mut deaf {
                stranger.is_logged("the peer does not answer").await?;
            }
            Ok(())
        })
        .within_mb(48),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_that_mean_harm_are_answered_or_closed_and_nobody_else_notices() -> Result<()> {
    let stage = Stage::open().await?;
    stage.one_by_one(closed()?.into_iter().chain(served()?).chain(conversations()).chain(floods())).await?;
    stage.all_at_once(&impatient()).await?;
    stage.close().await
}

/// Rejects each flow that carries its stream, as it comes.
async fn rejecting(target: Target) -> Result<()> {
    let mut stranger = with_stream(&target).await?;
    stranger.send(&play("calm")?).await?;
    stranger.is_told("NetStream.Play.Start").await?;
    // The control flow is 0; data, video and audio follow.
    stranger.is_told(b"TC\x04\x01").await?;
    for flow in 1..3 {
        stranger.send(&message(EXCEPTION, &[flow, 0], b"no")).await?;
    }
    is_served(&mut stranger).await
}

/// Checks that it is still served, and counts what comes until then.
async fn is_served_within(stranger: &mut Stranger) -> Result<usize> {
    let before = stranger.count();
    is_served(stranger).await?;
    Ok(stranger.count() - before)
}
