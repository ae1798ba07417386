//! The tasks of a port's connections.
//!
//! A panic is a mistake of the gateway's own. It costs the connection in whose task it is, and gives back what that had; the
//! others don't notice. It is counted, and whoever sets up the log sees to it that it is told there.

use prometheus_client::metrics::counter::Counter;
use tokio::task::JoinSet;

/// Connections that are served. Dropping it cuts them off.
#[derive(Debug)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    panics: Counter,
}

impl Connections {
    /// None yet; those that will panic are counted by `panics`.
    pub(super) fn new(panics: Counter) -> Self {
        Self { tasks: JoinSet::new(), panics }
    }

    /// Serves another.
    pub(super) fn spawn(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(connection);
    }

    /// Waits for the end of one; `None` if there is none. Cancel safe.
    pub(super) async fn ended(&mut self) -> Option<()> {
        let result = self.tasks.join_next().await?;
        if result.is_err_and(|error| error.is_panic()) {
            self.panics.inc();
        }
        Some(())
    }

    /// Waits for the end of all. Cancel safe.
    pub(super) async fn all_ended(&mut self) {
        while self.ended().await.is_some() {}
    }
}
