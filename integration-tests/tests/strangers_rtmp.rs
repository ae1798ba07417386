//! Whoever attacks the port for publishers is answered or cut by name, costs little memory, and is noticed by nobody else.

use std::time::Duration;

use anyhow::{Result, ensure};
use integration_tests::stage::{Case, Stage, Target, case};
use integration_tests::stranger::rtmp::{
    ABORT, AGGREGATE, AUDIO, COMMAND, DATA, SET_CHUNK_SIZE, USER_CONTROL, VIDEO, WINDOW_SIZE, call, connected, header,
    hello, is_served, message, publish, publishing, shake, shaken,
};
use integration_tests::stranger::{Amf0Value, Flood, Stranger, amf, app, command, string};
use tokio::time::{MissedTickBehavior, interval};

/// One byte each.
const SLOW: Duration = Duration::from_millis(50);

fn impatient() -> Vec<Case> {
    vec![
        case("half a handshake, then nothing: cut for no handshake in time", |target| {
            silent(target, hello()[..700].to_vec(), "no handshake in time")
        }),
        case("nothing at all: cut for no handshake in time", |target| {
            silent(target, Vec::new(), "no handshake in time")
        }),
        case("a handshake byte by byte: cut for no handshake in time", slow_handshake),
        case("a handshake and nothing more: cut for no publish command in time", async |target| {
            shaken(&target).await?.is_cut_for("no publish command in time").await
        }),
        case("a command byte by byte: cut for no publish command in time", slow_command),
        case("frames without publish: dropped, cut for no publish command in time", async |target| {
            let mut stranger = connected(&target).await?;
            let frames = [message(AUDIO, 1, &[0xaf, 1, 0]), message(VIDEO, 1, &[0x17; 2000])].concat();
            ensure!(stranger.flood(&frames, 2000).await == Flood::Taken);
            is_served(&mut stranger).await?;
            stranger.is_cut_for("no publish command in time").await
        }),
        case("calls without end, no answer read: cut for no publish command in time", async |target| {
            let mut stranger = Stranger::connect_deaf(target.rtmp, &target.log).await?;
            shake(&mut stranger).await?;
            stranger.send(&call(0, "connect", 1, vec![app("live")])?).await?;
            let calls = call(0, "createStream", 2, vec![Amf0Value::Null])?;
            ensure!(stranger.flood(&calls, 300_000).await != Flood::Taken, "it takes them all");
            stranger.is_logged("no publish command in time").await
        }),
    ]
}

fn unspoken() -> Vec<Case> {
    let cut = |name, bytes: &'static [u8], reason: &'static str| {
        case(name, move |target: Target| async move {
            let mut stranger = Stranger::connect(target.rtmp, &target.log).await?;
            stranger.send(bytes).await?;
            stranger.is_cut_for(reason).await
        })
    };
    vec![
        cut("another version: cut for the handshake", &[6; 1537], "misbehaved: handshake"),
        cut("HTTP: cut for the handshake", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "misbehaved: handshake"),
        cut("a TLS hello: cut for the handshake", &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], "misbehaved: handshake"),
    ]
}

/// What is sent behind the handshake, and what it is cut for.
fn cut_behind_the_handshake() -> Vec<Case> {
    let cut = |name, bytes: Vec<u8>, reason: &'static str| {
        case(name, move |target: Target| {
            let bytes = bytes.clone();
            async move {
                let mut stranger = shaken(&target).await?;
                stranger.send(&bytes).await?;
                stranger.is_cut_for(reason).await
            }
        })
    };
    let commanding = |body: &[u8]| message(COMMAND, 0, body);
    vec![
        cut("a message that claims 16 MB: cut", header(3, VIDEO, 1, 0xff_ffff), "exceeds the limit of 4194304"),
        cut("a chunk size of 0: cut", message(SET_CHUNK_SIZE, 0, &[0; 4]), "chunk size 0 is out of range"),
        cut("a chunk size of 2^31: cut", message(SET_CHUNK_SIZE, 0, &[0x80, 0, 0, 0]), "2147483648 is out of range"),
        cut("half a chunk size: cut", message(SET_CHUNK_SIZE, 0, &[0; 2]), "truncated chunk size"),
        cut("half an abort: cut", message(ABORT, 0, &[0; 3]), "truncated abort"),
        cut("half a window size: cut", message(WINDOW_SIZE, 0, &[0; 3]), "truncated window size"),
        cut("half a ping: cut", message(USER_CONTROL, 0, &[0, 6, 1]), "truncated user control message"),
        cut("a chunk stream that begins compressed: cut", vec![0xc0 | 9], "starts with a compressed header"),
        cut("a 33rd chunk stream: cut", chunk_streams(33), "more than 32 chunk streams"),
        cut("an empty command: cut", commanding(&[]), "a command doesn't start as it must"),
        cut("a command of one value: cut", commanding(b"\x02\0\x07connect"), "a command doesn't start as it must"),
        cut("a command of numbers: cut", commanding(&[0; 18]), "a command doesn't start as it must"),
        cut("AMF0 nested 1000 deep: cut", commanding(&[10, 0, 0, 0, 1].repeat(1000)), "misbehaved: command: "),
        cut(
            "an array that claims 2^32 values: cut",
            commanding(&[10, 0xff, 0xff, 0xff, 0xff]),
            "misbehaved: command: ",
        ),
        cut("an object without end: cut", commanding(b"\x03\0\x01a\x05\0\x01b"), "misbehaved: command: "),
        cut("text longer than its message: cut", commanding(b"\x0c\xff\xff\xff\xffabc"), "misbehaved: command: "),
        cut("100,000 values: cut", commanding(&[5; 100_000]), "misbehaved: command: "),
    ]
}

fn conversations() -> Vec<Case> {
    vec![
        case("publish before connect: cut", async |target| {
            let mut stranger = shaken(&target).await?;
            stranger.send(&publish("x")?).await?;
            stranger.is_cut_for("command publish out of order").await
        }),
        case("a second connect: cut", async |target| {
            let mut stranger = connected(&target).await?;
            stranger.send(&call(0, "connect", 9, vec![app("live")])?).await?;
            stranger.is_cut_for("command connect out of order").await
        }),
        case("32 chunk streams, interleaved byte by byte: all are read", interleaved),
        case("messages begun and never ended on four chunk streams: cut at 8 MiB", unfinished).within_mb(24),
        case("a connect in chunks of one byte: answered", async |target| {
            let mut stranger = shaken(&target).await?;
            stranger.send(&message(SET_CHUNK_SIZE, 0, &1u32.to_be_bytes())).await?;
            let body = command("connect", 1, vec![app("live")])?;
            let chunks: Vec<u8> = body.iter().flat_map(|byte| [0xc3, *byte]).skip(1).collect();
            stranger.send(&[header(3, COMMAND, 0, body.len() as u32), chunks].concat()).await?;
            stranger.is_told("NetConnection.Connect.Success").await
        }),
        case("an abort of an unknown chunk stream: ignored", |target| ignored(target, message(ABORT, 0, &[9; 4]))),
        case("message types nobody knows: ignored", |target| {
            ignored(target, (23..=255).flat_map(|kind| message(kind, 1, &[kind; 40])).collect())
        }),
        case("100,000 messages of no length: ignored", |target| {
            ignored(target, [message(DATA, 1, &[]), vec![0xc3; 100_000]].concat())
        }),
        case("a window of 0 bytes: every read is acknowledged, nothing else", |target| {
            ignored(target, message(WINDOW_SIZE, 0, &[0; 4]))
        }),
        case("1000 streams deleted that were never made: ignored", async |target| {
            let number = Amf0Value::Number(77.0);
            ignored(target, call(0, "deleteStream", 0, vec![Amf0Value::Null, number])?.repeat(1000)).await
        }),
        case("10,000 streams made: refused from the ninth on", async |target| {
            let mut stranger = connected(&target).await?;
            stranger.flood_and_read(&call(0, "createStream", 2, vec![Amf0Value::Null])?, 10_000).await?;
            stranger.is_told("too many streams").await?;
            stranger.forget();
            is_served(&mut stranger).await
        }),
        case("10,000 calls of an unknown method: refused", async |target| {
            let mut stranger = connected(&target).await?;
            stranger.flood_and_read(&call(0, "reboot", 2, vec![Amf0Value::Null])?, 10_000).await?;
            stranger.is_told("no such method").await?;
            stranger.forget();
            is_served(&mut stranger).await
        }),
        case("play on the publishers' port: refused", async |target| {
            let mut stranger = connected(&target).await?;
            stranger.send(&call(1, "play", 0, vec![Amf0Value::Null, string("calm")])?).await?;
            stranger.is_told("NetStream.Play.Failed").await?;
            is_served(&mut stranger).await
        }),
        case("publish on a stream never made: refused", |target| refused(target, false, "x".to_owned())),
        case("publish of no name: refused", |target| refused(target, true, String::new())),
        case("publish of a name of 60,000 bytes: refused", |target| refused(target, true, "x".repeat(60_000))),
        case("publish of a name with control characters: refused", |target| {
            refused(target, true, "x\r\n\x1b[2J".to_owned())
        }),
        case("publish of a name that leads upwards: refused", |target| refused(target, true, "../calm".to_owned())),
        case("a second publish: refused, the first goes on", async |target| {
            let mut stranger = publishing(&target, "twice").await?;
            stranger.send(&publish("other")?).await?;
            stranger.is_told("NetStream.Publish.BadName").await?;
            is_served(&mut stranger).await
        }),
        // So often that what is kept of each would be more than what the allocator keeps of all: 6 MB for each thread.
        case(
            "publish and closeStream 12,000 times: each is answered, no more than 2 kB is kept of it",
            async |target| {
                let mut stranger = publishing(&target, "flip").await?;
                let flip = [call(1, "closeStream", 0, vec![Amf0Value::Null])?, publish("flip")?].concat();
                for _ in 0..12 {
                    stranger.flood_and_read(&flip, 1000).await?;
                    for _ in 0..1000 {
                        stranger.is_told("NetStream.Unpublish.Success").await?;
                        stranger.is_told("NetStream.Publish.Start").await?;
                    }
                }
                is_served(&mut stranger).await
            },
        )
        .within_mb(24),
        case("100 publishers gone in the middle of a frame: their streams end", async |target| {
            for number in 0..100 {
                let mut stranger = publishing(&target, &format!("gone{number}")).await?;
                stranger.send(&message(VIDEO, 1, &[0x17; 9000])[..5000]).await?;
                stranger.finish().await?;
                stranger.is_cut().await?;
            }
            Ok(())
        }),
    ]
}

/// What a publisher sends as media.
fn media() -> Result<Vec<Case>> {
    let dropped = |name, bytes: Vec<u8>| {
        case(name, move |target: Target| {
            let bytes = bytes.clone();
            async move {
                let mut stranger = publishing(&target, "strange").await?;
                stranger.send(&bytes).await?;
                is_served(&mut stranger).await
            }
        })
    };
    let rejected = |name, kind: u8, body: &'static [u8]| {
        case(name, move |target: Target| async move {
            let mut stranger = publishing(&target, "strange").await?;
            stranger.send(&message(kind, 1, body)).await?;
            stranger.is_told("NetStream.Publish.Rejected").await?;
            stranger.finish().await?;
            stranger.is_cut_for("can't be carried").await
        })
    };
    let set_data_frame = amf(&[string("@setDataFrame")])?;
    let long = amf(&[string("onMetaData"), string(&"x".repeat(60_000)), string(&"y".repeat(60_000))])?;
    let cut_short = (0..8).flat_map(|len| [message(VIDEO, 1, &[0x17; 8][..len]), message(AUDIO, 1, &[0xaf; 8][..len])]);
    Ok(vec![
        dropped("a lone @setDataFrame: dropped", message(DATA, 1, &set_data_frame)),
        dropped("metadata that is not AMF0: dropped", message(DATA, 1, &[0xee; 3000])),
        dropped("100 times 120 kB of metadata: dropped", message(DATA, 1, &long).repeat(100)),
        dropped("frames cut short at every length: dropped", cut_short.flatten().collect()),
        dropped("frames before any configuration: taken", early_frames()),
        dropped("an aggregate whose parts lie about their length: dropped", lying_aggregate(0xff_ffff)),
        dropped("an aggregate in an aggregate: dropped", {
            message(AGGREGATE, 1, &[&[AGGREGATE, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 4]].concat())
        }),
        dropped("an aggregate of 10,000 empty parts: taken", lying_aggregate(0)),
        dropped("times that jump to and fro: taken", jumping_times()),
        rejected("a video codec that is not carried: refused and cut", VIDEO, &[0x22, 0, 0, 0, 0, 0]),
        rejected("a sound codec that is not carried: refused and cut", AUDIO, &[0xb2, 0, 0, 0, 0, 0]),
        case("frames as fast as they are taken, 64 MB of them: the cache keeps 16 MiB", async |target| {
            let mut stranger = publishing(&target, "fat").await?;
            let key = [&[0x17, 1, 0, 0, 0, 0, 0x0f, 0xff, 0xf6, 0x65][..], &[1; 0x0f_fff6 - 1]].concat();
            ensure!(stranger.flood(&message(VIDEO, 1, &key), 64).await == Flood::Taken);
            is_served(&mut stranger).await
        })
        .within_mb(32),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_on_the_publishers_port_are_answered_or_cut_and_nobody_else_notices() -> Result<()> {
    let stage = Stage::open().await?;
    let cases = unspoken().into_iter().chain(cut_behind_the_handshake()).chain(conversations()).chain(media()?);
    stage.one_by_one(cases).await?;
    stage.all_at_once(&impatient()).await?;
    stage.close().await
}

async fn silent(target: Target, bytes: Vec<u8>, reason: &str) -> Result<()> {
    let mut stranger = Stranger::connect(target.rtmp, &target.log).await?;
    stranger.send(&bytes).await?;
    stranger.is_cut_for(reason).await
}

async fn slow_handshake(target: Target) -> Result<()> {
    let mut stranger = Stranger::connect(target.rtmp, &target.log).await?;
    let logged = target.log.clone();
    byte_by_byte(&mut stranger, &hello(), &logged, "no handshake in time").await
}

async fn slow_command(target: Target) -> Result<()> {
    let mut stranger = shaken(&target).await?;
    let endless = message(COMMAND, 0, &[0; 10_000]);
    let logged = target.log.clone();
    byte_by_byte(&mut stranger, &endless, &logged, "no publish command in time").await
}

/// Sends slowly until the log says that it was cut for `reason`.
async fn byte_by_byte(
    stranger: &mut Stranger,
    bytes: &[u8],
    log: &integration_tests::stage::Log,
    reason: &str,
) -> Result<()> {
    let (address, mut tick) = (stranger.address(), interval(SLOW));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let send = async {
        for byte in bytes {
            tick.tick().await;
            stranger.send(&[*byte]).await?;
        }
        anyhow::bail!("it takes them all")
    };
    tokio::select! {
        sent = send => sent,
        said = log.says(address, reason) => said,
    }
}

/// Checks that what is sent once connected leads to nothing.
async fn ignored(target: Target, bytes: Vec<u8>) -> Result<()> {
    let mut stranger = connected(&target).await?;
    stranger.send(&bytes).await?;
    is_served(&mut stranger).await
}

async fn refused(target: Target, made: bool, name: String) -> Result<()> {
    let mut stranger = connected(&target).await?;
    if made {
        stranger.send(&call(0, "createStream", 2, vec![Amf0Value::Null])?).await?;
    }
    stranger.send(&publish(&name)?).await?;
    stranger.is_told("NetStream.Publish.BadName").await?;
    is_served(&mut stranger).await
}

/// One message on each of this many chunk streams, all of them begun before any goes on. Number 3 is in use already.
fn chunk_streams(count: u8) -> Vec<u8> {
    (3..3 + count).flat_map(|chunks| [header(chunks, 99, 0, 1), vec![0]].concat()).collect()
}

async fn interleaved(target: Target) -> Result<()> {
    let mut stranger = shaken(&target).await?;
    let connect = command("connect", 1, vec![app("live")])?;
    stranger.send(&message(SET_CHUNK_SIZE, 0, &1u32.to_be_bytes())).await?;
    // The last of 32 carries the command.
    let last = 3 + 31;
    let mut bytes = Vec::new();
    for (index, byte) in connect.iter().enumerate() {
        for chunks in 3..=last {
            let kind = if chunks == last { COMMAND } else { 99 };
            match index {
                0 => bytes.extend(header(chunks, kind, 0, connect.len() as u32)),
                _ => bytes.push(0xc0 | chunks),
            }
            bytes.push(*byte);
        }
    }
    stranger.send(&bytes).await?;
    stranger.is_told("NetConnection.Connect.Success").await
}

async fn unfinished(target: Target) -> Result<()> {
    const LEN: u32 = 4 << 20;
    let mut stranger = shaken(&target).await?;
    stranger.send(&message(SET_CHUNK_SIZE, 0, &(LEN - 1).to_be_bytes())).await?;
    for chunks in 4..8 {
        stranger.send(&header(chunks, VIDEO, 1, LEN)).await?;
        stranger.flood(&[0; 1 << 10], (LEN as usize - 1) >> 10).await;
        stranger.send(&[0; 1023]).await?;
    }
    stranger.is_cut_for("more than 8388608 bytes in unfinished messages").await
}

fn early_frames() -> Vec<u8> {
    let sound = message(AUDIO, 1, &[0xaf, 1, 0x21, 0x10]);
    let picture = message(VIDEO, 1, &[0x27, 1, 0, 0, 0, 0, 0, 0, 1, 0x41]);
    let end = message(VIDEO, 1, &[0x17, 2, 0, 0, 0]);
    [sound, picture, end].concat().repeat(100)
}

/// 10,000 parts without a body, each said to be `len` bytes long.
fn lying_aggregate(len: u32) -> Vec<u8> {
    let part = [&[AUDIO][..], &len.to_be_bytes()[1..], &[0; 7], &[0, 0, 0, 11]].concat();
    message(AGGREGATE, 1, &part.repeat(10_000))
}

fn jumping_times() -> Vec<u8> {
    let at = |time: [u8; 3]| {
        let mut frame = message(VIDEO, 1, &[0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65]);
        frame[1..4].copy_from_slice(&time);
        frame
    };
    [at([0x7f; 3]), at([0; 3]), at([0xff, 0xff, 0xfe]), at([0, 0, 1])].concat().repeat(250)
}
