//! Every way in, with every kind of credential: who may goes in, who may not is told so, who may no longer is gone within a
//! second; and nothing that the gateway says holds a credential.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use headwater::authority::{Action, Algorithm, Claims, Key, Rule, Secret, Signer, TokenKey};
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::gateway::{Running, gateway_with};
use integration_tests::pages::over_http1;
use integration_tests::publisher::Publisher;
use integration_tests::tlv;
use integration_tests::transport::Transport;
use integration_tests::viewer::{End, Seen, Viewer};
use tokio::time::{Instant, timeout};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

const SHARED: &str = "hunter2-0123456789abcdef-shared-by-gateway-and-shop";
const STUDIO: &str = "hunter2-that-stays-the-same";
/// How long whoever is revoked may stay, the limit being a second.
const CUT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// A way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entrance {
    Rtmp,
    Rtmps,
    Publish(Transport),
    /// The credential is behind the stream's name.
    Play(Transport),
    /// The credential is behind the address that is connected to, and that `connect` names.
    Connect(Transport),
    WithoutFlows(tlv::Dialect),
}

/// What is brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    None,
    Wrong,
    Expired,
    WrongPath,
    WrongAction,
    WrongAddress,
    Revoked,
    Right,
    RevokedMeanwhile,
}

/// Somebody who got in.
enum Admitted {
    Publisher(Publisher),
    Viewer(Box<Viewer>),
    WithoutFlows(Box<tlv::Viewer>),
}

impl Entrance {
    const ALL: [Self; 14] = [
        Self::Rtmp,
        Self::Rtmps,
        Self::Publish(Transport::Wss),
        Self::Publish(Transport::Quic),
        Self::Publish(Transport::WebTransport),
        Self::Play(Transport::Ws),
        Self::Play(Transport::Wss),
        Self::Play(Transport::Quic),
        Self::Play(Transport::WebTransport),
        Self::Connect(Transport::Wss),
        Self::Connect(Transport::Quic),
        Self::Connect(Transport::WebTransport),
        Self::WithoutFlows(tlv::Dialect::Acknowledged),
        Self::WithoutFlows(tlv::Dialect::Stream),
    ];

    fn action(self) -> Action {
        match self {
            Self::Rtmp | Self::Rtmps | Self::Publish(_) => Action::Publish,
            Self::Play(_) | Self::Connect(_) | Self::WithoutFlows(_) => Action::View,
        }
    }

    /// Goes in; `None` if it is refused.
    async fn enter(self, gateway: &Running, token: Option<&Secret>, number: usize) -> Result<Option<Admitted>> {
        let query = token.map(|token| format!("?token={}", token.reveal())).unwrap_or_default();
        let stream = format!("live/film-{number}{query}");
        let live = || Ok::<_, anyhow::Error>(Live::new(Clip::demo()?, Stamps::None, 0));
        match self {
            Self::Rtmp => Ok(Publisher::start(gateway.rtmp, &stream, live()?).await.ok().map(Admitted::Publisher)),
            Self::Rtmps => {
                let started = Publisher::start_encrypted(gateway.unified, &stream, live()?).await;
                Ok(started.ok().map(Admitted::Publisher))
            }
            Self::Publish(transport) => {
                let viewer = Viewer::publish(address(gateway, transport), transport, &stream).await?;
                answered(viewer, "NetStream.Publish.Start", "NetStream.Publish.Rejected").await
            }
            Self::Play(transport) => {
                let viewer = Viewer::play(address(gateway, transport), transport, &stream).await?;
                answered(viewer, "NetStream.Play.Start", "NetStream.Play.Failed").await
            }
            Self::Connect(transport) => {
                let stream = format!("live{query}/film-{number}");
                let viewer = Viewer::play(address(gateway, transport), transport, &stream).await?;
                answered(viewer, "NetStream.Play.Start", "NetStream.Play.Failed").await
            }
            Self::WithoutFlows(dialect) => match tlv::Viewer::play(gateway.websocket, dialect, &stream).await {
                Ok(viewer) => Ok(Some(Admitted::WithoutFlows(Box::new(viewer)))),
                Err(error) => {
                    let said = error.to_string();
                    ensure!(said.contains("HTTP/1.1 401") || said.contains("HTTP/1.1 403"), "{said}");
                    Ok(None)
                }
            },
        }
    }
}

impl State {
    const ALL: [Self; 9] = [
        Self::None,
        Self::Wrong,
        Self::Expired,
        Self::WrongPath,
        Self::WrongAction,
        Self::WrongAddress,
        Self::Revoked,
        Self::Right,
        Self::RevokedMeanwhile,
    ];

    fn token(self, action: Action, id: &str) -> Option<Secret> {
        let other = if action == Action::Publish { Action::View } else { Action::Publish };
        let mut claims = Claims {
            paths: vec!["live/*".parse().ok()?],
            actions: vec![action],
            exp: now() + 600,
            jti: Some(id.into()),
            ..Claims::default()
        };
        match self {
            Self::None => return None,
            Self::Wrong => return Some(Secret::new(format!("hunter2-guessed-{id}"))),
            Self::Expired => claims.exp = now() - 1,
            Self::WrongPath => claims.paths = vec!["other/**".parse().ok()?],
            Self::WrongAction => claims.actions = vec![other],
            Self::WrongAddress => claims.addresses = vec!["192.0.2.0/24".parse().ok()?],
            Self::Revoked => claims.sub = Some("thief".into()),
            Self::Right | Self::RevokedMeanwhile => {}
        }
        Some(Signer::new(Algorithm::Hs256, &Secret::new(SHARED.into())).ok()?.sign(&claims))
    }

    fn is_let_in(self) -> bool {
        matches!(self, Self::Right | Self::RevokedMeanwhile)
    }
}

impl Admitted {
    /// Waits until it has been cut off.
    async fn ends(self) -> Result<()> {
        match self {
            Self::Publisher(publisher) => publisher.ended().await,
            Self::Viewer(mut viewer) => loop {
                match viewer.next().await? {
                    Seen::Ended(End::Closed(Some(1008))) => return Ok(()),
                    Seen::Ended(end) => bail!("ended otherwise: {end:?}"),
                    _ => {}
                }
            },
            Self::WithoutFlows(mut viewer) => loop {
                if let Err(error) = viewer.next().await {
                    ensure!(error.to_string().contains("1008"), "{error}");
                    return Ok(());
                }
            },
        }
    }
}

/// What a viewer's or a publisher's first command has come to.
async fn answered(mut viewer: Viewer, yes: &str, no: &str) -> Result<Option<Admitted>> {
    let answer = async {
        loop {
            match viewer.next().await? {
                Seen::Status(code) if code == yes => return Ok(true),
                Seen::Status(code) if code == no => return Ok(false),
                Seen::Ended(end) => bail!("ended without an answer: {end:?}"),
                _ => {}
            }
        }
    };
    let is_in = timeout(PATIENCE, answer).await.context("no answer")??;
    Ok(is_in.then(|| Admitted::Viewer(Box::new(viewer))))
}

fn address(gateway: &Running, transport: Transport) -> SocketAddr {
    match transport {
        // In the clear, the port for everything is for this machine's names.
        Transport::Ws => gateway.websocket,
        Transport::Wss | Transport::Quic | Transport::WebTransport => gateway.unified,
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

async fn closed() -> Result<Running> {
    gateway_with(|config| {
        let authority = &mut config.authority;
        (authority.publish, authority.view) = (Rule::Closed, Rule::Closed);
        authority.revoked = vec!["thief".into()];
        let key = Secret::new(SHARED.into());
        authority.tokens = vec![TokenKey { name: "shop".into(), algorithm: Algorithm::Hs256, key }];
        authority.keys = vec![Key {
            name: "studio".into(),
            secret: Secret::new(STUDIO.into()),
            paths: ["live/*"].iter().filter_map(|path| path.parse().ok()).collect(),
            actions: vec![Action::Publish],
            addresses: Vec::new(),
        }];
        // The tests guess more than people.
        config.limits.address.denials_per_minute = None;
    })
    .await
}

/// All that is logged while a test runs.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Said {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[tokio::test]
async fn every_entrance_holds_every_credential_to_the_same_policy_and_tells_none() -> Result<()> {
    let said = Said::default();
    let log = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE);
    // Of this thread, which is all of this test: it says more than the others'.
    let _log = log.with_writer(said.clone()).finish().set_default();
    let gateway = closed().await?;
    let mut secrets = vec![Secret::new(SHARED.into()), Secret::new(STUDIO.into())];
    let mut told = Vec::new();
    for (row, entrance) in Entrance::ALL.into_iter().enumerate() {
        for (column, state) in State::ALL.into_iter().enumerate() {
            let number = row * State::ALL.len() + column;
            let id = format!("token-{number}");
            let token = state.token(entrance.action(), &id);
            secrets.extend(token.clone());
            let cell = || format!("{entrance:?} with {state:?}");
            let entered = entrance.enter(&gateway, token.as_ref(), number).await.with_context(cell)?;
            ensure!(entered.is_some() == state.is_let_in(), "{}: let in: {}", cell(), entered.is_some());
            let Some(admitted) = entered else { continue };
            told.push(format!("{:?}", gateway.authority.sessions()));
            told.push(String::from_utf8_lossy(&over_http1(gateway.unified, "/api/v1/streams").await?.2).into_owned());
            if state == State::RevokedMeanwhile {
                let start = Instant::now();
                ensure!(gateway.authority.revoke(&id) == 1, "{}: not there", cell());
                timeout(PATIENCE, admitted.ends()).await.with_context(cell)?.with_context(cell)?;
                ensure!(start.elapsed() < CUT, "{}: it took {:?}", cell(), start.elapsed());
            }
        }
    }
    gateway.stop().await?;
    told.push(said.to_string());
    ensure!(told.iter().any(|told| told.contains("refused: a wrong credential")), "nothing is said");
    for secret in secrets {
        // Its last part is a token's signature.
        let tail = secret.reveal().rsplit('.').next().unwrap_or_default();
        for told in &told {
            if let Some(line) = told.lines().find(|line| line.contains(tail)) {
                bail!("a secret is told: {line}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_expires_ends_what_it_has_granted_within_a_second() -> Result<()> {
    let gateway = closed().await?;
    let claims =
        Claims { paths: vec!["live/*".parse()?], actions: vec![Action::View], exp: now() + 2, ..Claims::default() };
    let token = Signer::new(Algorithm::Hs256, &Secret::new(SHARED.into()))?.sign(&claims);
    let entered = Entrance::Play(Transport::Quic).enter(&gateway, Some(&token), 0).await?;
    timeout(PATIENCE, entered.context("refused")?.ends()).await??;
    let late = SystemTime::now().duration_since(claims.expires())?;
    ensure!(late < CUT, "{late:?} late");
    gateway.stop().await
}

#[tokio::test]
async fn streams_that_are_not_for_everybody_are_told_to_whom_they_are_for() -> Result<()> {
    let gateway = closed().await?;
    let key = Secret::new(STUDIO.into());
    let _publisher = Entrance::Rtmp.enter(&gateway, Some(&key), 7).await?.context("refused")?;
    let token = State::Right.token(Action::View, "a").context("no token")?;
    for (query, is_told) in [(String::new(), false), (format!("?token={}", token.reveal()), true)] {
        let told = over_http1(gateway.unified, &format!("/api/v1/streams{query}")).await?.2;
        ensure!(String::from_utf8_lossy(&told).contains("film-7") == is_told, "{told:?}");
    }
    gateway.stop().await
}

#[tokio::test]
async fn a_key_that_stays_the_same_publishes_from_a_stream_key_and_from_the_server_s_address() -> Result<()> {
    let gateway = closed().await?;
    let key = Secret::new(STUDIO.into());
    ensure!(Entrance::Rtmp.enter(&gateway, Some(&key), 0).await?.is_some());
    let live = Live::new(Clip::demo()?, Stamps::None, 0);
    Publisher::start(gateway.rtmp, &format!("live?token={STUDIO}/film"), live).await?.stop().await?;
    ensure!(Entrance::Play(Transport::Ws).enter(&gateway, Some(&key), 0).await?.is_none());
    gateway.stop().await
}
