//! HTTP/3 and WebTransport as a client sees them that speaks them byte by byte, and one that is another's work.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater::media::Track;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::compare::{decodable_from_the_start, unbroken};
use integration_tests::gateway::{Running, gateway, gateway_with};
use integration_tests::publisher::Publisher;
use integration_tests::stranger::http3::{
    CLOSE_SESSION, DATA, GREASE, Http3, Session, connecting, frame, read_frame, read_varint, session_code, varint,
};
use integration_tests::transport::Transport;
use integration_tests::viewer::Recorder;
use quinn::VarInt;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
/// HTTP/3's codes.
const NO_ERROR: u64 = 0x100;
const REQUEST_REJECTED: u64 = 0x10b;

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A session that a page has begun on the connection's second request.
async fn session(gateway: &Running) -> Result<(Http3, Session)> {
    let client = Http3::connect(gateway.webtransport).await?;
    ensure!(has(&client.get("/api/v1/streams").await?, r#"{"streams":["#));
    let session = client.session("/wt/live").await?;
    ensure!(session.id == 4, "it is on stream {}", session.id);
    Ok((client, session))
}

/// Opens the control lane and the control flow, which the gateway answers on lanes of its own.
async fn say_hello(client: &Http3, session: &Session) -> Result<quinn::SendStream> {
    client.lane(session.id, b"\x00\x05\x10\x00TC\x04\x00").await
}

#[tokio::test]
async fn pages_come_before_and_beside_a_session() -> Result<()> {
    let gateway = gateway().await?;
    let (client, _session) = session(&gateway).await?;
    let page = client.get("/player/index.js").await?;
    ensure!(has(&page, "etag") && has(&page, "text/javascript"), "{}", String::from_utf8_lossy(&page));
    ensure!(has(&client.get("/no").await?, "404"));
    gateway.stop().await
}

#[tokio::test]
async fn an_answer_without_its_body_tells_the_body_s_length_or_none() -> Result<()> {
    let gateway = gateway().await?;
    let client = Http3::connect(gateway.webtransport).await?;
    let ask = [(":method", "HEAD"), (":scheme", "https"), (":authority", "localhost"), (":path", "/no")];
    let answer = client.answer(&ask).await?;
    ensure!(has(&answer, "content-length\x0210"), "{}", String::from_utf8_lossy(&answer));
    let known = [(":method", "GET"), ask[1], ask[2], (":path", "/player/index.js"), ("if-none-match", "*")];
    let answer = client.answer(&known).await?;
    ensure!(has(&answer, "304") && !has(&answer, "content-length"), "{}", String::from_utf8_lossy(&answer));
    gateway.stop().await
}

#[tokio::test]
async fn lanes_name_the_session_by_its_whole_stream_number() -> Result<()> {
    let gateway = gateway().await?;
    let (client, session) = session(&gateway).await?;
    let _control = say_hello(&client, &session).await?;
    // A session on stream 4 that was named 1 would give lanes to nobody.
    let mut lane = client.accept_lane(4).await?;
    let mut first = [9];
    timeout(PATIENCE, lane.read_exact(&mut first)).await??;
    assert_eq!(first, [0], "a control lane");
    gateway.stop().await
}

#[tokio::test]
async fn datagrams_are_ignored() -> Result<()> {
    let gateway = gateway().await?;
    let (client, session) = session(&gateway).await?;
    for _ in 0..1000 {
        for datagram in [&b"\x01of the session"[..], b"\x00of none", b"", &[0xff; 1000]] {
            client.connection.send_datagram(datagram.to_vec().into())?;
        }
    }
    let _control = say_hello(&client, &session).await?;
    client.accept_lane(session.id).await?;
    gateway.stop().await
}

#[tokio::test]
async fn codes_of_lanes_lie_in_the_range_of_sessions() -> Result<()> {
    let gateway = gateway().await?;
    let (client, session) = session(&gateway).await?;
    let unknown_kind = client.lane(session.id, &[0x33]).await?;
    let stopped = timeout(PATIENCE, unknown_kind.stopped()).await.context("not stopped")??;
    assert_eq!(stopped.map(VarInt::into_inner), Some(session_code(3)), "rejected");
    gateway.stop().await
}

#[tokio::test]
async fn the_end_is_told_in_words_before_the_connection_is_closed() -> Result<()> {
    let gateway = gateway().await?;
    let (client, mut session) = session(&gateway).await?;
    let _control = say_hello(&client, &session).await?;
    let stopping = tokio::spawn(gateway.stop());
    let (kind, data) = timeout(PATIENCE, read_frame(&mut session.recv)).await??;
    assert_eq!(kind, DATA);
    assert_eq!(data[..2], [0x68, 0x43], "the capsule that ends a session");
    assert_eq!(data[3..7], 1001u32.to_be_bytes());
    assert_eq!(&data[7..], b"going away");
    assert_eq!(session.recv.read_to_end(0).await?, b"", "then the stream's end");
    session.send.finish()?;
    assert_eq!(client.is_closed().await?, NO_ERROR, "then the connection's");
    stopping.await?
}

#[tokio::test]
async fn both_drafts_are_offered_and_the_one_that_is_spoken_is_named() -> Result<()> {
    let gateway = gateway().await?;
    let client = Http3::connect(gateway.webtransport).await?;
    let (kind, mut control) = client.accept().await?;
    assert_eq!(kind, 0);
    assert_eq!(timeout(PATIENCE, read_varint(&mut control)).await??, 4, "settings");
    let mut settings = vec![0; read_varint(&mut control).await? as usize];
    control.read_exact(&mut settings).await?;
    for setting in [0x2b60_3742u64, 0x2b60_3743, 0xc671_706a] {
        let mut one =
            if setting < 1 << 30 { ((setting as u32) | 0x8000_0000).to_be_bytes().to_vec() } else { varint(setting) };
        one.push(1);
        assert!(settings.windows(one.len()).any(|window| window == one), "{setting:#x} is 1");
    }
    let session = client.session("/wt/live").await?;
    assert!(has(&session.answer, "sec-webtransport-http3-draft") && has(&session.answer, "draft02"));
    gateway.stop().await
}

#[tokio::test]
async fn a_second_session_is_refused_and_the_first_goes_on() -> Result<()> {
    let gateway = gateway().await?;
    let (client, session) = session(&gateway).await?;
    let (_send, mut recv) = client.request(&connecting("/wt/live")).await?;
    let refused = timeout(PATIENCE, recv.read_to_end(100)).await?.unwrap_err();
    let quinn::ReadToEndError::Read(quinn::ReadError::Reset(code)) = refused else { panic!("{refused:?}") };
    assert_eq!(code.into_inner(), REQUEST_REJECTED);
    let _control = say_hello(&client, &session).await?;
    client.accept_lane(session.id).await?;
    gateway.stop().await
}

#[tokio::test]
async fn sessions_elsewhere_are_not_found() -> Result<()> {
    let gateway = gateway().await?;
    let client = Http3::connect(gateway.webtransport).await?;
    let answer = client.session("/live").await?.answer;
    assert!(has(&answer, "404"), "{}", String::from_utf8_lossy(&answer));
    gateway.stop().await
}

#[tokio::test]
async fn streams_both_ways_of_a_session_are_refused() -> Result<()> {
    let gateway = gateway().await?;
    let (client, session) = session(&gateway).await?;
    let (mut send, mut recv) = client.connection.open_bi().await?;
    send.write_all(&[&varint(0x41)[..], &varint(session.id), b"hello"].concat()).await?;
    let refused = timeout(PATIENCE, recv.read_to_end(100)).await?.unwrap_err();
    let quinn::ReadToEndError::Read(quinn::ReadError::Reset(code)) = refused else { panic!("{refused:?}") };
    assert_eq!(code.into_inner(), session_code(3));
    let _control = say_hello(&client, &session).await?;
    client.accept_lane(session.id).await?;
    gateway.stop().await
}

#[tokio::test]
async fn a_client_that_ends_its_session_in_words_is_let_go_at_once() -> Result<()> {
    let gateway = gateway().await?;
    let (client, mut session) = session(&gateway).await?;
    let close = frame(CLOSE_SESSION, &[&7u32.to_be_bytes()[..], b"bye"].concat());
    let capsules = [frame(0x17, b"grease"), close].concat();
    session.send.write_all(&[frame(GREASE, b"grease"), frame(DATA, &capsules)].concat()).await?;
    assert_eq!(client.is_closed().await?, NO_ERROR);
    gateway.stop().await
}

#[tokio::test]
async fn a_client_that_ends_its_sessions_stream_is_let_go_at_once() -> Result<()> {
    let gateway = gateway().await?;
    let (client, mut session) = session(&gateway).await?;
    session.send.finish()?;
    assert_eq!(client.is_closed().await?, NO_ERROR);
    gateway.stop().await
}

#[tokio::test]
async fn a_session_without_end_of_capsules_is_closed() -> Result<()> {
    let gateway = gateway().await?;
    let (client, mut session) = session(&gateway).await?;
    let endless = [varint(DATA), varint(1 << 60), varint(0x17), varint(1 << 59)].concat();
    session.send.write_all(&endless).await?;
    let (_, end) = timeout(PATIENCE, read_frame(&mut session.recv)).await??;
    assert_eq!(end[3..7], 1002u32.to_be_bytes(), "{end:02x?}");
    session.send.finish()?;
    assert_eq!(client.is_closed().await?, NO_ERROR);
    gateway.stop().await
}

async fn play(gateway: &Running) -> Result<(Publisher, Recorder)> {
    let publisher = Publisher::start(gateway.rtmp, "live/leave", Live::new(Clip::demo()?, Stamps::Video, 0)).await?;
    let mut viewer = Recorder::play(gateway.webtransport, Transport::WebTransport, "live/leave").await?;
    viewer.until(|seen| seen.track(Track::Video).count() >= 30).await?;
    gateway.has_viewers(1).await?;
    Ok((publisher, viewer))
}

#[tokio::test]
async fn another_stacks_client_plays_and_is_gone_when_it_closes_the_connection() -> Result<()> {
    let gateway = gateway().await?;
    let (publisher, viewer) = play(&gateway).await?;
    let sent = publisher.log().all();
    let seen = viewer.leave().await?;
    decodable_from_the_start(&seen)?;
    assert_eq!(seen.gaps, []);
    unbroken(&sent, &seen, Track::Video)?;
    unbroken(&sent, &seen, Track::Audio)?;
    gateway.has_viewers(0).await?;
    publisher.stop().await?;
    gateway.stop().await
}

#[tokio::test]
async fn a_viewer_that_vanishes_is_gone_after_the_idle_limit() -> Result<()> {
    let gateway = gateway_with(|config| {
        config.quic.connection.idle_timeout = Duration::from_secs(1);
        config.quic.connection.keep_alive_interval = Duration::from_millis(300);
    })
    .await?;
    let elsewhere = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let server = gateway.webtransport;
    let publisher = Publisher::start(gateway.rtmp, "live/leave", Live::new(Clip::demo()?, Stamps::Video, 0)).await?;
    let viewer = elsewhere.spawn(async move {
        let mut viewer = Recorder::play(server, Transport::WebTransport, "live/leave").await?;
        viewer.until(|_| false).await.map(drop)
    });
    gateway.has_viewers(1).await?;
    // Nothing of it runs any more, so that nothing says goodbye.
    std::mem::forget(viewer);
    elsewhere.shutdown_background();
    gateway.has_viewers(0).await?;
    publisher.stop().await?;
    gateway.stop().await
}
