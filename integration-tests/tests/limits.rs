//! How much there may be, who is asked about it, and what those who are well notice of the others: nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytesize::ByteSize;
use headwater::authority::{Action, Key, Rule, Secret};
use headwater::media::Track;
use integration_tests::certificate::CertificateFiles;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::gateway::{Running, gateway, gateway_with};
use integration_tests::pages;
use integration_tests::publisher::Publisher;
use integration_tests::tlv;
use integration_tests::transport::Transport;
use integration_tests::viewer::{End, Recorder, Seen, Viewer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet, yield_now};
use tokio::time::{interval, timeout};

const PATIENCE: Duration = Duration::from_secs(30);
const STREAM: &str = "live/film";

fn live() -> Result<Live> {
    Ok(Live::new(Clip::demo()?, Stamps::Video, 0))
}

/// The first status that says how a viewer's `play` or a publisher's `publish` has ended, and how the connection has.
async fn fate(mut viewer: Viewer) -> Result<(String, Option<End>)> {
    let mut last = String::new();
    let fate = async {
        loop {
            match viewer.next().await? {
                Seen::Status(code) if code.ends_with(".Start") => return Ok((code, None)),
                Seen::Status(code) => last = code,
                Seen::Ended(end) => return Ok((last, Some(end))),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, fate).await.context("no answer")?
}

/// The head of the answer to a request for WebSocket.
async fn upgrade(server: SocketAddr, path: &str, origin: Option<&str>) -> Result<String> {
    let mut socket = TcpStream::connect(server).await?;
    let origin = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{origin}\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        ensure!(timeout(PATIENCE, socket.read_buf(&mut head)).await?? > 0, "no answer");
    }
    Ok(String::from_utf8(head)?)
}

/// Waits until somebody views [`STREAM`].
async fn is_viewed(gateway: &Running) -> Result<()> {
    let viewed = async {
        while !gateway.authority.sessions().iter().any(|session| session.uses.iter().any(|u| &*u.path == STREAM)) {
            yield_now().await;
        }
    };
    timeout(PATIENCE, viewed).await.context("nobody views it")
}

#[tokio::test]
async fn who_finds_no_room_is_told_when_to_come_again_and_who_is_in_stays() -> Result<()> {
    let gateway = gateway_with(|config| config.limits.path.viewers = Some(1)).await?;
    let _publisher = Publisher::start(gateway.rtmp, STREAM, live()?).await?;
    let mut first = Recorder::play(gateway.websocket, Transport::Ws, STREAM).await?;
    first.until(|seen| seen.track(Track::Video).count() > 0).await?;
    for transport in [Transport::Ws, Transport::Quic, Transport::WebTransport] {
        let second = Viewer::play(gateway.address(transport), transport, STREAM).await?;
        let (status, end) = fate(second).await?;
        ensure!(status == "NetStream.Play.Failed", "{transport}: {status}");
        ensure!(end == Some(End::Closed(Some(1013))), "{transport}: {end:?}");
    }
    let seen = first.record.frames.len();
    first.until(|record| record.frames.len() > seen + 20).await?;
    ensure!(first.record.gaps.is_empty());
    gateway.stop().await
}

#[tokio::test]
async fn a_full_gateway_answers_requests_with_503_and_a_time() -> Result<()> {
    let gateway = gateway_with(|config| config.limits.node.viewers = Some(1)).await?;
    let _first = tlv::Viewer::play(gateway.websocket, tlv::Dialect::Acknowledged, STREAM).await?;
    // The first has its answer before it plays.
    is_viewed(&gateway).await?;
    for path in ["/live", "/ws/live/film"] {
        let head = upgrade(gateway.websocket, path, None).await?;
        ensure!(head.starts_with("HTTP/1.1 503 ") && head.contains("retry-after: 5"), "{path}: {head}");
    }
    gateway.stop().await
}

#[tokio::test]
async fn a_tenant_that_takes_all_it_may_leaves_others_theirs() -> Result<()> {
    let gateway = gateway_with(|config| config.limits.tenant.egress = Some(ByteSize::kib(1))).await?;
    // What it will take is not known before there is some of it.
    let mut first = Recorder::play(gateway.websocket, Transport::Ws, "crowd/film").await?;
    let _crowded = Publisher::start(gateway.rtmp, "crowd/film", live()?).await?;
    first.until(|seen| seen.track(Track::Video).count() > 30).await?;
    let second = Viewer::play(gateway.websocket, Transport::Ws, "crowd/film").await?;
    ensure!(fate(second).await?.1 == Some(End::Closed(Some(1013))));
    let other = Viewer::play(gateway.websocket, Transport::Ws, "quiet/film").await?;
    ensure!(fate(other).await?.0 == "NetStream.Play.Start");
    gateway.stop().await
}

#[tokio::test]
async fn pages_of_other_origins_may_not_play() -> Result<()> {
    let gateway = gateway_with(|config| config.authority.origins = vec!["https://shop.example".into()]).await?;
    for (origin, status) in [
        (Some("https://evil.example"), 403),
        (Some("https://shop.example"), 101),
        (Some("http://localhost"), 101),
        (None, 101),
    ] {
        let head = upgrade(gateway.websocket, "/live", origin).await?;
        ensure!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{origin:?}: {head}");
    }
    gateway.stop().await
}

/// A hook that lets in whoever says please, and counts.
async fn hook() -> Result<(String, JoinHandle<Result<usize>>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}/may?x", listener.local_addr()?);
    let serving = tokio::spawn(async move {
        let mut count = 0;
        loop {
            let Ok(accepted) = timeout(Duration::from_secs(2), listener.accept()).await else { return Ok(count) };
            let mut socket = accepted?.0;
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                ensure!(socket.read_buf(&mut request).await? > 0, "no question");
            }
            count += 1;
            let request = String::from_utf8(request)?;
            ensure!(request.starts_with("POST /may?x HTTP/1.1\r\n"), "{request}");
            ensure!(request.contains(r#""path":"live/film","address":"127.0.0.1""#), "{request}");
            let answer = match () {
                () if request.contains(r#""token":"hunter2-please""#) => {
                    "200 OK\r\ncontent-length: 18\r\n\r\n{\"expires_in\": 60}"
                }
                () if request.contains(r#""token":"hunter2-broken""#) => "500 Oh\r\ncontent-length: 0\r\n\r\n",
                () => "403 No\r\ncontent-length: 0\r\n\r\n",
            };
            socket.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await?;
        }
    });
    Ok((url, serving))
}

#[tokio::test]
async fn the_hook_is_asked_once_and_whatever_is_no_yes_refuses() -> Result<()> {
    let (url, serving) = hook().await?;
    let gateway = gateway_with(|config| {
        (config.authority.publish, config.authority.view) = (Rule::Closed, Rule::Closed);
        config.authority.hook.url = url.parse().ok();
    })
    .await?;
    for (token, is_in) in [
        ("hunter2-please", true),
        ("hunter2-please", true),
        ("hunter2-thanks", false),
        ("hunter2-thanks", false),
        ("hunter2-broken", false),
    ] {
        let stream = format!("{STREAM}?token={token}");
        let viewer = Viewer::play(gateway.quic, Transport::Quic, &stream).await?;
        let answer = timeout(PATIENCE, first_status(viewer)).await??;
        let expected = if is_in { "NetStream.Play.Start" } else { "NetStream.Play.Failed" };
        ensure!(answer == expected, "{token}: {answer}");
    }
    ensure!(Publisher::start(gateway.rtmp, &format!("{STREAM}?token=hunter2-please"), live()?).await.is_ok());
    ensure!(Publisher::start(gateway.rtmp, STREAM, live()?).await.is_err());
    let asked = serving.await??;
    ensure!(asked == 5, "asked {asked} times");
    gateway.stop().await
}

async fn first_status(mut viewer: Viewer) -> Result<String> {
    loop {
        match viewer.next().await? {
            Seen::Status(code) if code.ends_with(".Reset") => {}
            Seen::Status(code) => return Ok(code),
            Seen::Ended(end) => bail!("ended: {end:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_hook_that_is_gone_refuses() -> Result<()> {
    let gateway = gateway_with(|config| {
        config.authority.publish = Rule::Closed;
        config.authority.hook.url = "http://127.0.0.1:9/".parse().ok();
    })
    .await?;
    ensure!(Publisher::start(gateway.rtmp, STREAM, live()?).await.is_err());
    gateway.stop().await
}

#[tokio::test]
async fn whoever_is_kicked_is_told_and_gone_at_once() -> Result<()> {
    let gateway = gateway().await?;
    let mut viewer = Viewer::play(gateway.webtransport, Transport::WebTransport, STREAM).await?;
    is_viewed(&gateway).await?;
    let start = Instant::now();
    ensure!(gateway.authority.kick_from(STREAM, Action::View) == 1, "nobody was kicked");
    let end = loop {
        if let Seen::Ended(end) = timeout(PATIENCE, viewer.next()).await?? {
            break end;
        }
    };
    ensure!(end == End::Closed(Some(1008)), "{end:?}");
    ensure!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    gateway.stop().await
}

#[tokio::test]
async fn who_guesses_is_kept_out_and_healthy_viewers_notice_nothing() -> Result<()> {
    let gateway = gateway_with(|config| {
        config.authority.publish = Rule::Closed;
        config.authority.keys = vec![Key {
            name: "studio".into(),
            secret: Secret::new("hunter2-studio".into()),
            paths: Vec::from_iter("live/*".parse()),
            actions: vec![Action::Publish],
            addresses: Vec::new(),
        }];
        config.limits.address.denials_per_minute = Some(20);
    })
    .await?;
    let _publisher = Publisher::start(gateway.rtmp, &format!("{STREAM}?token=hunter2-studio"), live()?).await?;
    let healthy = watch(&gateway, 100).await?;
    let mut kept_out = 0;
    for number in 0..60 {
        // From another address than the healthy viewers'.
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into())?;
        let socket = socket.connect(gateway.rtmp).await?;
        match Publisher::start_over(socket, gateway.rtmp, &format!("live/x?token=hunter2-{number}"), live()?).await {
            Ok(_) => bail!("guess {number} was let in"),
            Err(error) if error.to_string().contains("it said") => {}
            Err(_) => kept_out += 1,
        }
    }
    ensure!(kept_out >= 30, "only {kept_out} guesses were kept out");
    all_well(healthy).await?;
    gateway.stop().await
}

/// A viewer of [`STREAM`] over each transport, who is well if so many pictures come without a gap.
async fn watch(gateway: &Running, pictures: usize) -> Result<JoinSet<Result<()>>> {
    let mut viewers = JoinSet::new();
    for transport in Transport::ALL {
        let mut viewer = Recorder::play(gateway.address(transport), transport, STREAM).await?;
        viewers.spawn(async move {
            viewer.until(|seen| seen.track(Track::Video).count() > pictures).await?;
            ensure!(viewer.record.gaps.is_empty(), "{transport}: {:?}", viewer.record.gaps);
            Ok(())
        });
    }
    Ok(viewers)
}

async fn all_well(mut viewers: JoinSet<Result<()>>) -> Result<()> {
    while let Some(watched) = viewers.join_next().await {
        watched??;
    }
    Ok(())
}

/// The certificate that a newcomer is shown.
async fn served(server: SocketAddr) -> Result<Vec<u8>> {
    let socket = pages::connect(server, &[b"http/1.1"]).await?;
    let chain = socket.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(chain.first().context("no certificate")?.to_vec())
}

#[tokio::test]
async fn certificates_are_replaced_again_and_again_and_nobody_drops() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let files = CertificateFiles::make(folder.path())?;
    let gateway = gateway_with(|config| config.tls = files.config()).await?;
    let _publisher = Publisher::start(gateway.rtmp, STREAM, live()?).await?;
    let viewers = watch(&gateway, 200).await?;
    let first = served(gateway.unified).await?;
    let replacing = async {
        let mut each = interval(Duration::from_secs(1));
        loop {
            each.tick().await;
            if let Err(error) = files.replace() {
                return error;
            }
        }
    };
    let watching = async {
        all_well(viewers).await?;
        // Newcomers are met with whatever is in use.
        for transport in [Transport::Wss, Transport::Quic, Transport::WebTransport] {
            Recorder::play(gateway.address(transport), transport, STREAM).await?.leave().await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::select! {
        watched = watching => watched?,
        error = replacing => return Err(error),
    }
    ensure!(served(gateway.unified).await? != first, "nothing was replaced");
    gateway.stop().await
}
