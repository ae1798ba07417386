//! The tasks of a port's connections, and those of a connection's answers.
//!
//! A panic is a mistake of the gateway's own. It costs the connection in whose task it is, and gives back what that had; the
//! others don't notice. It is counted, and whoever sets up the log sees to it that it is told there.

use prometheus_client::metrics::counter::Counter;
use tokio::task::{JoinError, JoinSet};

/// Connections that are served, or answers of one of them. Dropping it cuts them off.
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

    /// Forgets those that have ended, where nobody waits for their end.
    pub(super) fn forget_ended(&mut self) {
        while let Some(result) = self.tasks.try_join_next() {
            self.count(result);
        }
    }

    /// Waits for the end of one; `None` if there is none. Cancel safe.
    pub(super) async fn ended(&mut self) -> Option<()> {
        let result = self.tasks.join_next().await?;
        self.count(result);
        Some(())
    }

    /// Waits for the end of all. Cancel safe.
    pub(super) async fn all_ended(&mut self) {
        while self.ended().await.is_some() {}
    }

    fn count(&self, result: Result<(), JoinError>) {
        if result.is_err_and(|error| error.is_panic()) {
            self.panics.inc();
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.forget_ended();
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_counted_though_nobody_waits_for_its_task() {
        let panics = Counter::default();
        let mut connections = Connections::new(panics.clone());
        connections.spawn(async { panic!("a mistake") });
        yield_now().await;
        connections.forget_ended();
        assert_eq!(panics.get(), 1);
        connections.spawn(async { panic!("another") });
        yield_now().await;
        drop(connections);
        assert_eq!(panics.get(), 2);
    }
}
