//! The gateway: start-up order, the task set, shutdown and drain, all in one place.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::authority::{Action, Authority, PolicyError};
use crate::broadcast::Registry;
use crate::clock::Clock;
use crate::config::{Address, Config};
use crate::server::admin::{self, Office, Order, Reloaded, Standing};
use crate::server::client::Client;
use crate::server::detect::Protocol;
use crate::server::reset::Secret;
use crate::server::tls::{Certificates, TlsError};
use crate::server::verdicts::Verdicts;
use crate::server::{Context, Shutdown, hook, hooks, http, sources, tcp, udp, upkeep};
use crate::{delivery, ingest, telemetry};

/// Orders that wait for the one before.
const MAX_ORDERS: usize = 4;

/// A gateway that has its ports and does not serve them yet.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    source: Option<Source>,
    orders: (mpsc::Sender<Order>, mpsc::Receiver<Order>),
    standing: watch::Sender<Standing>,
    ports: Vec<(tcp::Port, TcpListener)>,
    udp_ports: Vec<(udp::Port, UdpSocket, (quinn::EndpointConfig, quinn::ServerConfig))>,
    addresses: Addresses,
    certificates: Arc<Certificates>,
    context: Arc<Context>,
    /// What goes on beside the connections, for ever.
    chores: JoinSet<()>,
}

/// Where a gateway listens; `None` where its configuration says `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Addresses {
    /// RTMP.
    pub rtmp: Option<SocketAddr>,
    /// WebSocket and pages.
    pub websocket: Option<SocketAddr>,
    /// Native QUIC.
    pub quic: Option<SocketAddr>,
    /// WebTransport.
    pub webtransport: Option<SocketAddr>,
    /// WebTransport for players of fMP4.
    pub webtransport_fmp4: Option<SocketAddr>,
    /// Everything on one port, of TCP and of UDP.
    pub unified: Option<SocketAddr>,
    /// The operator's.
    pub admin: Option<SocketAddr>,
}

impl Addresses {
    /// What the player is told of WebTransport: the port for everything first, which is the one that networks let through.
    fn webtransport_offers(&self) -> Arc<[http::WebTransport]> {
        let offer = |address: SocketAddr, path, format| http::WebTransport { port: address.port(), path, format };
        let raw = [self.unified, self.webtransport].into_iter().flatten().map(|address| offer(address, "/wt/", "raw"));
        let fmp4 = self.webtransport_fmp4.map(|address| offer(address, "/wt-fmp4/", "fmp4"));
        raw.chain(fmp4).collect()
    }
}

/// Where the configuration is read again; an error says what is wrong with it.
type Read = dyn Fn() -> Result<Config, String> + Send;

struct Source(Box<Read>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// Why a gateway can't start. [`StartError::key`] says which setting to change.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port can't be had.
    #[error("{key}: can't listen on {address}: {source}; take another address, port 0 for any free one, or off")]
    Bind {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// There is no certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A credential can't be used.
    #[error(transparent)]
    Authority(#[from] PolicyError),
    /// Every address is `off`.
    #[error("nothing to do: every address is off; set rtmp.address and websocket.address")]
    AllOff,
}

impl StartError {
    /// The setting that has to change, in the configuration's dotted form.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Bind { key, .. } | Self::Tls(TlsError::File { key, .. }) => key,
            Self::Tls(_) => "tls.key",
            Self::Authority(error) => error.key,
            Self::AllOff => "rtmp.address",
        }
    }
}

impl Gateway {
    /// Takes all ports, then the certificates, and begins nothing.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn bind(config: Config) -> Result<Self, StartError> {
        let clock = Clock;
        let whole = config.clone();
        let (mut ports, mut udp_ports) = (Vec::new(), Vec::new());
        let mut bind = |key, port, address: Address| -> Result<Option<SocketAddr>, StartError> {
            let Some(address) = address.socket() else { return Ok(None) };
            let refuse = |source| StartError::Bind { key, address, source };
            let listener = tcp::bind(address).map_err(refuse)?;
            let bound = listener.local_addr().map_err(refuse)?;
            ports.push((key, port, listener, bound));
            Ok(Some(bound))
        };
        let mut bind_udp = |key, port, address: Option<SocketAddr>| -> Result<Option<SocketAddr>, StartError> {
            let Some(address) = address else { return Ok(None) };
            let refuse = |source| StartError::Bind { key, address, source };
            let socket = udp::bind(address).map_err(refuse)?;
            let bound = socket.local_addr().map_err(refuse)?;
            udp_ports.push((key, port, socket, bound));
            Ok(Some(bound))
        };
        let webtransport = &config.webtransport;
        let addresses = Addresses {
            rtmp: bind("rtmp.address", tcp::Port::Rtmp, config.rtmp.address)?,
            websocket: bind("websocket.address", tcp::Port::Http, config.websocket.address)?,
            quic: bind_udp("quic.address", udp::Port::Native, config.quic.address.socket())?,
            webtransport: bind_udp("webtransport.address", udp::Port::Http3, webtransport.address.socket())?,
            webtransport_fmp4: bind_udp(
                "webtransport.fmp4_address",
                udp::Port::Http3,
                webtransport.fmp4_address.socket(),
            )?,
            unified: bind("unified.address", tcp::Port::Unified, config.unified.address)?,
            admin: bind("admin.address", tcp::Port::Admin, config.admin.address)?,
        };
        // One number for both: with port 0, the one that TCP was given.
        bind_udp("unified.address", udp::Port::Unified, addresses.unified)?;
        if ports.iter().all(|(_, port, ..)| *port == tcp::Port::Admin) && udp_ports.is_empty() {
            return Err(StartError::AllOff);
        }
        let certificates = Certificates::load(&config.tls, clock)?;
        let tls = certificates.tcp(&[Protocol::Http1])?;
        let unified_tls = certificates.tcp(&[Protocol::Http2, Protocol::Http1, Protocol::Rtmp])?;
        for (setting, _, _, address) in &ports {
            info!(%address, setting, "listening");
        }
        let secret = Secret::find_or_make(&config.quic.reset_key)?;
        let mut udp_configs = Vec::new();
        for (setting, port, socket, address) in udp_ports {
            let tls = certificates.quic(port.protocols())?;
            let mut server = udp::server_config(tls, port, &config.quic.connection)?;
            server.token_key(secret.token_key(address.port()));
            udp_configs.push((port, socket, (secret.endpoint(address.port()), server)));
            info!(%address, setting, "listening over UDP");
        }
        let ports = ports.into_iter().map(|(_, port, listener, _)| (port, listener)).collect();
        let registry = Registry::with_rules(config.delivery.cache.clone(), config.rtmp.publisher_rules());
        let authority = Authority::new(&config.authority, config.limits.of_authority())?;
        let site = http::Site {
            authority: authority.clone(),
            registry: registry.clone(),
            certificates: Arc::clone(&certificates),
            webtransport: addresses.webtransport_offers(),
            clock,
        };
        let (publishers, viewers) = (ingest::Metrics::default(), delivery::Metrics::default());
        let verdicts = Arc::<Verdicts>::default();
        let panics = Counter::default();
        let figures =
            telemetry::figures(&registry, &publishers, &viewers, &authority, &verdicts, &panics, &certificates);
        let orders = mpsc::channel(MAX_ORDERS);
        let (standing, stands) = watch::channel(Standing::Starting);
        let office = Office {
            registry: registry.clone(),
            authority: authority.clone(),
            viewers: viewers.clone(),
            figures: Arc::new(figures),
            orders: orders.0.clone(),
            standing: stands,
            clock,
            started: clock.now(),
        };
        let context = Arc::new(Context {
            http: http::router(site),
            admin: admin::router(office),
            registry,
            authority,
            ingest: config.rtmp.limits,
            delivery: config.delivery,
            publishers,
            viewers,
            session: config.session,
            websocket: config.websocket.keep_alive,
            tls,
            unified_tls,
            challenges: certificates.challenges(),
            // The port for everything is open for both.
            http3: addresses.unified.map(|address| address.port()),
            verdicts,
            panics,
            unsent_bytes: config.websocket.unsent_bytes,
            connections: Arc::new(Semaphore::new(config.limits.connections.min(Semaphore::MAX_PERMITS))),
            admin_connections: Arc::new(Semaphore::new(admin::MAX_CONNECTIONS)),
            limits: config.limits,
            clock,
        });
        Ok(Self {
            config: whole,
            source: None,
            orders,
            standing,
            ports,
            udp_ports: udp_configs,
            addresses,
            certificates,
            context,
            chores: JoinSet::new(),
        })
    }

    /// Has the configuration read again by `read` when that is asked for, whose error says what is wrong with it.
    #[must_use]
    pub fn reading_again(mut self, read: impl Fn() -> Result<Config, String> + Send + 'static) -> Self {
        self.source = Some(Source(Box::new(read)));
        self
    }

    /// Takes the operator's orders while it serves.
    pub fn orders(&self) -> mpsc::Sender<Order> {
        self.orders.0.clone()
    }

    /// Where it listens, with the ports that the system chose.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// What connections turn out to be, counted while it serves.
    pub fn verdicts(&self) -> Arc<Verdicts> {
        Arc::clone(&self.context.verdicts)
    }

    /// The certificate in use.
    pub fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.certificates)
    }

    /// Who may do what, and who is here.
    pub fn authority(&self) -> Authority {
        self.context.authority.clone()
    }

    /// Says who may do what without being asked who they are.
    pub fn warn_of_openness(&self) {
        for action in [Action::Publish, Action::View] {
            if self.context.authority.is_open(action) {
                warn!("anybody may {action}; to change that, see authority.{action} in config/headwater.yml");
            }
        }
    }

    /// Serves until `shutdown` is done or the operator wants it to end; then says for
    /// [`drain_notice`](crate::server::Limits::drain_notice) that it is not ready, takes no more connections, ends the publishers', lets the viewers' say
    /// goodbye, and cuts off what is left after [`drain`](crate::server::Limits::drain).
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let (stop, stopping) = Shutdown::new();
        // The operator is answered until the end.
        let (close, closing) = Shutdown::new();
        let (mut tasks, mut offices) = (JoinSet::new(), JoinSet::new());
        let (contexts, context) = watch::channel(Arc::clone(&self.context));
        for (port, listener) in std::mem::take(&mut self.ports) {
            if port == tcp::Port::Admin {
                offices.spawn(tcp::serve(listener, port, context.clone(), closing.clone()));
            } else {
                tasks.spawn(tcp::serve(listener, port, context.clone(), stopping.clone()));
            }
        }
        for (port, socket, config) in std::mem::take(&mut self.udp_ports) {
            tasks.spawn(udp::serve(socket, config, port, context.clone(), stopping.clone()));
        }
        let (certificates, clock) = (Arc::clone(&self.certificates), self.context.clock);
        let authority = &self.context.authority;
        let (mut chores, client) = (std::mem::take(&mut self.chores), Client::default());
        chores.spawn(upkeep::sweep(authority.clone(), clock));
        if let Some(questions) = authority.questions() {
            chores.spawn(hook::ask(authority.clone(), questions, client.clone(), clock));
        }
        chores.spawn(async move { certificates.keep_fresh(clock).await });
        let (hooks, hooked) = watch::channel(self.config.hooks.clone());
        chores.spawn(hooks::run(self.context.registry.events(), hooked, client));
        let (limits, limited) = watch::channel(self.config.rtmp.limits.clone());
        let (registry, sources) = (self.context.registry.clone(), self.config.sources.clone());
        chores.spawn(sources::run(registry, sources, limited, clock));
        self.standing.send_replace(Standing::Serving);
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                // Without it nobody would be let go, or nobody be asked: to begin anew is better.
                // A pattern that only a mistake fits would have `select!` look no more once a chore has ended in order.
                Some(ended) = chores.join_next() => if let Err(ended) = ended {
                    error!(%ended, "a mistake of the gateway's own: it ends");
                    self.context.panics.inc();
                    break;
                },
                Some(order) = self.orders.1.recv() => match order {
                    Order::Drain => break,
                    Order::Reload(reply) => {
                        let reloaded = self.reload(&contexts);
                        hooks.send_replace(self.config.hooks.clone());
                        limits.send_replace(self.config.rtmp.limits.clone());
                        // An error is somebody who does not wait for the answer.
                        let _ = reply.send(reloaded);
                    }
                },
            }
        }
        info!("stopping");
        self.standing.send_replace(Standing::Draining);
        self.orders.1.close();
        let limits = contexts.borrow().limits.clone();
        sleep(limits.drain_notice).await;
        // Nobody listening means that all is over already.
        let _ = stop.send(true);
        let drained = timeout(limits.drain, async { while tasks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            warn!("connections cut off");
        }
        tasks.shutdown().await;
        drop(close);
        offices.shutdown().await;
        info!(connections = %self.context.verdicts, "stopped");
    }

    /// Reads the configuration again, and takes on what can be for connections that come from now on.
    fn reload(&mut self, contexts: &watch::Sender<Arc<Context>>) -> Reloaded {
        let source = self.source.as_ref().ok_or("there is no file to read again")?;
        let config = (source.0)().inspect_err(|error| warn!(%error, "configuration not reloaded"))?;
        let (authority, clock) = (&self.context.authority, self.context.clock);
        let replaced = authority.replace(&config.authority, config.limits.of_authority(), clock.wall());
        replaced.map_err(|error| error.to_string()).inspect_err(|error| warn!(%error, "configuration not reloaded"))?;
        let changes = self.config.changes(&config);
        let before = Arc::clone(&contexts.borrow());
        contexts.send_replace(Arc::new(Context {
            ingest: config.rtmp.limits.clone(),
            delivery: config.delivery.clone(),
            session: config.session.clone(),
            websocket: config.websocket.keep_alive,
            unsent_bytes: config.websocket.unsent_bytes,
            limits: config.limits.clone(),
            ..Context::clone(&before)
        }));
        info!(applied = ?changes.applied, needs_restart = ?changes.needs_restart, "configuration reloaded");
        // What needs a restart is told again until then.
        self.config.take_on(&config);
        serde_json::to_value(changes).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;

    fn config() -> Config {
        let mut config = Config::default();
        config.rtmp.address = Address::local(0);
        config.admin.address = Address::local(0);
        config.websocket.address = Address::local(0);
        config.quic.address = Address::local(0);
        config.webtransport.address = Address::local(0);
        config.webtransport.fmp4_address = Address::local(0);
        config.limits.drain = Duration::from_millis(100);
        config
    }

    #[tokio::test]
    async fn port_0_is_answered_with_the_port_that_was_bound() {
        let addresses = Gateway::bind(config()).unwrap().addresses();
        assert_ne!(addresses.rtmp.unwrap().port(), 0);
        assert_ne!(addresses.websocket.unwrap().port(), 0);
        assert_ne!(addresses.quic.unwrap().port(), 0);
        assert_eq!(addresses.unified, None);
    }

    #[tokio::test]
    async fn the_one_port_has_one_number_for_tcp_and_udp() {
        let mut config = config();
        config.unified.address = Address::local(0);
        let gateway = Gateway::bind(config).unwrap();
        let udp: Vec<_> = gateway.udp_ports.iter().map(|(_, socket, _)| socket.local_addr().ok()).collect();
        assert!(udp.contains(&gateway.addresses().unified));
    }

    #[tokio::test]
    async fn a_taken_port_is_refused_by_its_key() {
        let first = Gateway::bind(config()).unwrap();
        let mut second = config();
        second.rtmp.address = Address::On(first.addresses().rtmp.unwrap());
        let error = Gateway::bind(second).unwrap_err();
        assert_eq!(error.key(), "rtmp.address");
        assert!(error.to_string().contains("in use"), "{error}");
    }

    #[tokio::test]
    async fn a_gateway_without_a_port_is_refused() {
        let mut config = config();
        config.rtmp.address = Address::Off;
        config.websocket.address = Address::Off;
        config.quic.address = Address::Off;
        config.webtransport.address = Address::Off;
        config.webtransport.fmp4_address = Address::Off;
        assert!(matches!(Gateway::bind(config), Err(StartError::AllOff)));
    }

    #[tokio::test]
    async fn one_port_serves_pages_and_then_websocket_on_the_same_connection() {
        let gateway = Gateway::bind(config()).unwrap();
        let address = gateway.addresses().websocket.unwrap();
        tokio::spawn(gateway.run(std::future::pending()));
        let mut socket = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut socket, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "</html>").await.starts_with("HTTP/1.1 200"));
        let upgrade = "GET /live HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        assert!(ask(&mut socket, upgrade, "\r\n\r\n").await.starts_with("HTTP/1.1 101"));
        // A masked, empty ping is answered by a pong: the connection is WebSocket's now.
        socket.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
        let mut pong = [0; 2];
        socket.read_exact(&mut pong).await.unwrap();
        assert_eq!(pong, [0x8a, 0]);
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_connection_and_is_counted() {
        let mut gateway = Gateway::bind(config()).unwrap();
        let mistake = || async {
            if true {
                panic!("a mistake")
            }
        };
        let address = gateway.addresses().websocket.unwrap();
        let context = Arc::get_mut(&mut gateway.context).unwrap();
        context.http = context.http.clone().route("/mistake", axum::routing::get(mistake));
        let permits = Arc::clone(&context.connections);
        let (panics, free) = (context.panics.clone(), permits.available_permits());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(gateway.run(async move { stopped.await.unwrap_or_default() }));
        let mut other = TcpStream::connect(address).await.unwrap();
        let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        ask(&mut other, request, "</html>").await;
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"GET /mistake HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        assert_eq!(socket.read(&mut [0]).await.unwrap_or_default(), 0);
        assert!(ask(&mut other, request, "</html>").await.starts_with("HTTP/1.1 200"));
        stop.send(()).unwrap();
        running.await.unwrap();
        assert_eq!((panics.get(), permits.available_permits()), (1, free));
    }

    async fn ask(socket: &mut TcpStream, request: &str, end: &str) -> String {
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) && !answer.ends_with(format!("{end}\n").as_bytes()) {
            assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn a_panic_in_what_all_depend_on_is_counted_and_ends_the_gateway() {
        let mut gateway = Gateway::bind(config()).unwrap();
        let panics = gateway.context.panics.clone();
        gateway.chores.spawn(async {
            // What has nothing to do has ended by then.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            panic!("a mistake")
        });
        gateway.run(std::future::pending()).await;
        assert_eq!(panics.get(), 1);
    }

    #[tokio::test]
    async fn shutdown_ends_idle_connections_and_the_ports() {
        let gateway = Gateway::bind(config()).unwrap();
        let address = gateway.addresses().websocket.unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(gateway.run(async move { stopped.await.unwrap_or_default() }));
        let mut idle = TcpStream::connect(address).await.unwrap();
        stop.send(()).unwrap();
        running.await.unwrap();
        assert_eq!(idle.read(&mut [0]).await.unwrap_or_default(), 0);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
