//! A gateway that is steered while it serves: its configuration read again, told to drain, telling hooks.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use headwater::media::Track;
use hyper::StatusCode;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::gateway::gateway_with;
use integration_tests::operator::{ask, get};
use integration_tests::process::{GatewayProcess, built_gateway};
use integration_tests::publisher::Publisher;
use integration_tests::tls::server_and_certificate;
use integration_tests::transport::Transport;
use integration_tests::viewer::{End, PATIENCE, Recorder};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

async fn publish(rtmp: SocketAddr, stream: &str) -> Result<Publisher> {
    Publisher::start(rtmp, stream, Live::new(Clip::demo()?, Stamps::Video, 0)).await
}

async fn sees_more(viewer: &mut Recorder) -> Result<()> {
    let count = viewer.until(|_| true).await?.track(Track::Video).count();
    viewer.until(|seen| seen.track(Track::Video).count() >= count + 20).await?;
    Ok(())
}

/// The first line of a JSON log with this message, once there is one.
async fn logged(log: &Path, message: &str) -> Result<Value> {
    let looking = async {
        loop {
            let text = fs::read_to_string(log)?;
            for line in text.lines().filter(|line| line.ends_with('}')) {
                let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
                if line["message"] == message {
                    return anyhow::Ok(line);
                }
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, looking).await.with_context(|| format!("{message} is not logged"))?
}

#[tokio::test]
async fn a_reload_keeps_connections_and_says_what_it_comes_to() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, log) = (folder.path().join("h.yml"), folder.path().join("log"));
    fs::write(&file, "delivery:\n  segment_frames: 1\n")?;
    let errors = OpenOptions::new().create(true).append(true).open(&log)?;
    let gateway = GatewayProcess::start_with(&built_gateway().await?, folder.path(), |command| {
        command.arg("--config").arg(&file).args(["--set", "log.format=json"]).env("RUST_LOG", "info").stderr(errors);
    })
    .await?;
    let _publisher = publish(gateway.rtmp, "live/x").await?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/x").await?;
    sees_more(&mut viewer).await?;
    let publishing = logged(&log, "publishing").await?;
    assert_eq!((&publishing["span"]["transport"], &publishing["span"]["stream"]), (&json!("rtmp"), &json!("live/x")));
    assert!(publishing["span"]["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{publishing}");

    fs::write(&file, "delivery:\n  segment_frames: 2\nrtmp:\n  takeover: refuse\n")?;
    let reloaded = ask(gateway.admin, "POST", "/api/v1/reload").await?;
    let changes: Value = serde_json::from_slice(reloaded.body())?;
    assert_eq!(changes, json!({"applied": ["delivery.segment_frames"], "needs_restart": ["rtmp.takeover"]}));

    fs::write(&file, "delivery:\n  segment_frame: 2\n")?;
    let refused = ask(gateway.admin, "POST", "/api/v1/reload").await?;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let said: Value = serde_json::from_slice(refused.body())?;
    assert!(said["error"].as_str().is_some_and(|error| error.contains("h.yml:2") && error.contains("segment_frames")));

    fs::write(&log, "")?;
    fs::write(&file, "delivery:\n  segment_frames: 3\n")?;
    gateway.process.hang_up()?;
    let line = logged(&log, "configuration reloaded").await?;
    assert!(line["applied"].as_str().is_some_and(|applied| applied.contains("delivery.segment_frames")), "{line}");
    sees_more(&mut viewer).await
}

#[tokio::test]
async fn who_drains_is_not_ready_first_then_tells_its_viewers_and_ends() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut gateway = GatewayProcess::start_with(&built_gateway().await?, folder.path(), |command| {
        command.args(["--set", "limits.drain_notice=1s"]);
    })
    .await?;
    let _publisher = publish(gateway.rtmp, "live/x").await?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/x").await?;
    sees_more(&mut viewer).await?;
    assert_eq!(get(gateway.admin, "/api/v1/ready").await?, json!({"ready": true, "reason": null}));
    assert_eq!(ask(gateway.admin, "POST", "/api/v1/drain").await?.status(), StatusCode::ACCEPTED);
    let waiting = async {
        while ask(gateway.admin, "GET", "/api/v1/ready").await?.status() != StatusCode::SERVICE_UNAVAILABLE {}
        anyhow::Ok(())
    };
    timeout(PATIENCE, waiting).await??;
    assert_eq!(get(gateway.admin, "/api/v1/ready").await?, json!({"ready": false, "reason": "draining"}));
    assert_eq!(viewer.until(|_| true).await?.end, None);
    let seen = viewer.until(|seen| seen.end.is_some()).await?;
    assert_eq!(seen.end, Some(End::Closed(Some(1001))));
    assert_eq!(gateway.process.end().await?, Some(0));
    Ok(())
}

/// Answers POSTs, and gives out their bodies; or never answers.
async fn listener(answers: bool, tls: Option<TlsAcceptor>) -> Result<(String, mpsc::UnboundedReceiver<Value>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://localhost:{}/hook", listener.local_addr()?.port());
    let (told, events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            match &tls {
                Some(tls) => hear(tls.accept(socket).await?, &told, answers).await?,
                None => hear(socket, &told, answers).await?,
            }
        }
        anyhow::Ok(())
    });
    Ok((url, events))
}

async fn hear(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    told: &mpsc::UnboundedSender<Value>,
    answers: bool,
) -> Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"}") && socket.read_buf(&mut request).await? > 0 {}
    let text = String::from_utf8(request)?;
    assert!(text.starts_with("POST /hook HTTP/1.1\r\n") && text.contains("application/json"), "{text}");
    let (_, body) = text.split_once("\r\n\r\n").context("no body")?;
    told.send(serde_json::from_str(body)?)?;
    if !answers {
        std::future::pending::<()>().await;
    }
    socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
    Ok(socket.shutdown().await?)
}

#[tokio::test]
async fn hooks_are_told_what_happens_in_its_order() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let written = folder.path().join("written");
    let (url, mut events) = listener(true, None).await?;
    let script = format!("echo $HEADWATER_EVENT $HEADWATER_STREAM >> {}", written.display());
    let hooks = json!({"publish": url, "unpublish": url, "first_viewer": url, "last_viewer": ["sh", "-c", script]});
    let hooks = serde_json::from_value(hooks)?;
    let gateway = gateway_with(|config| config.hooks = hooks).await?;
    let publisher = publish(gateway.rtmp, "live/x").await?;
    let mut next = async || timeout(PATIENCE, events.recv()).await?.context("no more events");
    assert_eq!(next().await?, json!({"event": "publish", "stream": "live/x"}));
    let viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/x").await?;
    assert_eq!(next().await?, json!({"event": "first_viewer", "stream": "live/x"}));
    drop(viewer);
    gateway.has_viewers(0).await?;
    publisher.stop().await?;
    assert_eq!(next().await?, json!({"event": "unpublish", "stream": "live/x"}));
    assert_eq!(fs::read_to_string(written)?, "last_viewer live/x\n");
    Ok(())
}

#[tokio::test]
async fn a_hook_over_https_is_told_whom_this_system_trusts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (tls, certificate) = server_and_certificate()?;
    let trusted = folder.path().join("trusted.pem");
    fs::write(&trusted, certificate)?;
    let (url, mut events) = listener(true, Some(tls.into())).await?;
    let gateway = GatewayProcess::start_with(&built_gateway().await?, folder.path(), |command| {
        command.env("SSL_CERT_FILE", &trusted).args(["--set", &format!("hooks.publish={url}")]);
    })
    .await?;
    let _publisher = publish(gateway.rtmp, "live/x").await?;
    let told = timeout(PATIENCE, events.recv()).await?;
    assert_eq!(told, Some(json!({"event": "publish", "stream": "live/x"})));
    Ok(())
}

#[tokio::test]
async fn media_waits_for_no_hook() -> Result<()> {
    let (url, mut events) = listener(false, None).await?;
    let hooks = serde_json::from_value(json!({"publish": url, "first_viewer": url}))?;
    let gateway = gateway_with(|config| config.hooks = hooks).await?;
    let _publisher = publish(gateway.rtmp, "live/x").await?;
    timeout(PATIENCE, events.recv()).await?.context("no event")?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/x").await?;
    sees_more(&mut viewer).await
}

#[tokio::test]
async fn the_operator_s_page_and_what_it_is_made_of_are_answered() -> Result<()> {
    let gateway = gateway_with(|_| ()).await?;
    for (path, kind) in [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")] {
        let response = ask(gateway.admin, "GET", path).await?;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers()["content-type"].to_str()?.starts_with(kind));
        assert!(response.headers()["content-security-policy"].to_str()?.starts_with("default-src 'none'"));
    }
    Ok(())
}
