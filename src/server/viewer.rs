//! One viewer on a link of any kind, from its first command to its goodbye.

use std::net::SocketAddr;

use tracing::{debug, info};

use super::{Context, Shutdown};
use crate::authority::{Cut, Entrance, Secret};
use crate::delivery::{self, Format};
use crate::session::link::{CloseReason, Link, LinkError, PathStats};
use crate::session::{Event, Flows};

/// Who comes, and how.
#[derive(Debug)]
pub(super) struct Guest {
    /// From where.
    pub(super) peer: SocketAddr,
    /// Over what.
    pub(super) entrance: Entrance,
    /// By what right, if the connection has said so.
    pub(super) credential: Option<Secret>,
    /// What is delivered unless a play asks for something else.
    pub(super) format: Format,
}

/// Serves a viewer until it leaves, is cut off or the gateway stops.
///
/// A block in a function, and the goodbye in a box: an asynchronous function has room for a link twice, as it was given and as it is
/// used, and once more for whoever it is given to, in each of thousands of viewers.
pub(super) fn serve<L: Link>(
    mut link: L,
    guest: Guest,
    context: &Context,
    mut shutdown: Shutdown,
) -> impl Future<Output = ()> + Send {
    let Context { registry, delivery, clock, .. } = context;
    let Guest { peer, entrance, credential, format } = guest;
    let (visitor, leash) = context.authority.visit(peer, entrance, credential, clock.wall());
    let mut meter = context.viewers.viewer(visitor.id(), entrance.name());
    async move {
        let mut reason = None;
        let lent = Lent { link: &mut link, reason: &mut reason };
        let served = tokio::select! {
            biased;
            served = delivery::serve_as(lent, format, registry, delivery, *clock, &visitor, &mut meter) => End::Served(served),
            cut = leash => End::Cut(cut),
            () = shutdown.begun() => End::Shutdown,
        };
        let rest = link.flows().take_tally();
        visitor.spend(rest.bytes);
        meter.report(&rest, link.path(), clock.now());
        meter.ended(served.name());
        match served {
            End::Shutdown => reason = Some(CloseReason::GoingAway),
            End::Cut(cut) => {
                info!("viewer cut off: {cut}");
                reason = Some(match cut {
                    Cut::Kicked | Cut::Revoked | Cut::Expired => CloseReason::NotAllowed,
                    Cut::Idle => CloseReason::Idle,
                    Cut::NoRoom => CloseReason::TryAgainLater,
                });
            }
            End::Served(Ok(())) => debug!("viewer left"),
            End::Served(Err(error)) => {
                debug!(%error, "viewer lost");
                if matches!(error, LinkError::Misbehaved(_)) {
                    reason = Some(CloseReason::Misbehaved);
                }
            }
        }
        if let Some(reason) = reason {
            Box::pin(link.close(reason)).await;
        }
    }
}

/// Why a viewer is served no longer.
enum End {
    Served(Result<(), LinkError>),
    Cut(Cut),
    Shutdown,
}

impl End {
    /// Its name, in figures.
    fn name(&self) -> &'static str {
        match self {
            Self::Served(Ok(()) | Err(LinkError::Closed)) => "left",
            Self::Served(Err(LinkError::Misbehaved(_))) => "misbehaved",
            Self::Served(Err(LinkError::Failed(_))) => "lost",
            Self::Served(Err(LinkError::TimedOut)) => "silent",
            Self::Cut(Cut::Idle) => "idle",
            Self::Cut(Cut::Kicked | Cut::Revoked | Cut::Expired | Cut::NoRoom) => "cut_off",
            Self::Shutdown => "shutdown",
        }
    }
}

/// A link that is taken back at shutdown, to say goodbye on it.
struct Lent<'a, L> {
    link: &'a mut L,
    /// Why it is to be closed, once its user wants that.
    reason: &'a mut Option<CloseReason>,
}

impl<L: Link> Link for Lent<'_, L> {
    async fn next(&mut self) -> Result<Event, LinkError> {
        self.link.next().await
    }

    fn flows(&mut self) -> &mut Flows {
        self.link.flows()
    }

    fn path(&self) -> PathStats {
        self.link.path()
    }

    async fn close(self, reason: CloseReason) {
        *self.reason = Some(reason);
    }
}
